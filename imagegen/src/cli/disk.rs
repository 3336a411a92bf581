// SPDX-License-Identifier: MIT OR Apache-2.0

//! `imagegen disk`

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use imagegen::disk::DiskBuilder;
use imagegen::kernel::{Kernel, banner};
use imagegen::layout::{Layout, Sizes};
use imagegen::rootfs;
use imagegen::size::Size;
use indicatif::{ProgressBar, ProgressStyle};
use little_loader_core::kernel::command_line::MAX_COMMAND_LINE;
use little_loader_core::slots::slot::Slot;

use super::print::show;

/// The slots to fill.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Slots {
    A,
    B,
    Both,
}

#[derive(Debug, Args)]
pub(crate) struct Disk {
    /// The kernel: a raw arm64 Image, Image.gz, or an EFI zboot vmlinuz
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// An initrd
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// The root file system: a squashfs, or a folder that becomes one
    #[arg(long, value_name = "FILE|DIR")]
    rootfs: PathBuf,
    /// The image to create; an existing one is replaced when the new one is complete
    #[arg(short, long, value_name = "IMAGE")]
    output: PathBuf,
    /// The slots to fill; slot a is active, or slot b if only b is filled
    #[arg(long, value_enum, default_value = "a")]
    slot: Slots,
    /// The kernel arguments, replacing root=/dev/vdaN and the default ones
    #[arg(long, value_name = "ARGS")]
    args: Option<String>,
    /// Set a variable of the environment, overriding its default value
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// The space for each kernel with its initrd
    #[arg(long, value_name = "SIZE", default_value = "50M")]
    kernel_size: Size,
    /// The space for each root file system
    #[arg(long, value_name = "SIZE", default_value = "50M")]
    rootfs_size: Size,
    /// The size of the data partition
    #[arg(long, value_name = "SIZE", default_value = "64M")]
    data_size: Size,
    /// The environment's first block of 512 bytes
    #[arg(long, value_name = "BLOCK", default_value_t = 16)]
    env_lba: u64,
    /// The size of one copy of the environment
    #[arg(long, value_name = "SIZE", default_value = "128K")]
    env_size: Size,
    /// The first block of a second copy of the environment
    #[arg(long, value_name = "BLOCK")]
    env_redundant_lba: Option<u64>,
}

impl Disk {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let layout = Layout::new(&Sizes {
            env_lba: self.env_lba,
            env_size: self.env_size,
            env_redundant_lba: self.env_redundant_lba,
            kernel: self.kernel_size,
            rootfs: self.rootfs_size,
            data: self.data_size,
        })?;
        let bytes = read(&self.kernel)?;
        let kernel =
            Kernel::unpack(bytes).with_context(|| format!("kernel {}", self.kernel.display()))?;
        let initrd = self.initrd.as_ref().map(read).transpose()?;
        if let (Some(path), Some([])) = (&self.initrd, initrd.as_deref()) {
            bail!(
                "initrd {} is empty: omit --initrd to boot without one",
                path.display()
            );
        }
        let rootfs = rootfs::load(&self.rootfs)?;
        let slots: &[Slot] = match self.slot {
            Slots::A => &[Slot::A],
            Slots::B => &[Slot::B],
            Slots::Both => &[Slot::A, Slot::B],
        };
        let mut builder = DiskBuilder::new(layout).active(slots[0]);
        for slot in slots {
            builder = builder
                .kernel(*slot, &kernel.image)
                .kernel_room(*slot, kernel.bytes_on_disk())
                .rootfs(*slot, &rootfs);
            if let Some(initrd) = &initrd {
                builder = builder.initrd(*slot, initrd);
            }
            if let Some(args) = &self.args {
                builder = builder.args(*slot, args);
            }
        }
        for variable in &self.set {
            let (name, value) = variable
                .split_once('=')
                .with_context(|| format!("--set {variable}: write NAME=VALUE"))?;
            builder = builder.variable(name, value);
        }
        let variables = builder.variables();
        for slot in slots {
            let name = format!("{slot}.kernel_args");
            let length = variables.get(&name).map_or(0, <[u8]>::len);
            ensure!(
                length <= MAX_COMMAND_LINE,
                "{name} has {length} bytes; Linux takes at most {MAX_COMMAND_LINE}: shorten --args"
            );
        }
        // Hidden if stderr is not a terminal.
        let progress = ProgressBar::new(0).with_style(
            ProgressStyle::with_template("{msg} [{bar:40}] {bytes}/{total_bytes}")?
                .progress_chars("=> "),
        );
        progress.set_message("writing");
        builder
            .write_to(&self.output, |done, total| {
                progress.set_length(total);
                progress.set_position(done);
            })
            .with_context(|| format!("{}", self.output.display()))?;
        progress.finish_and_clear();

        let packed = match kernel.packed.as_slice() {
            [] => String::new(),
            packed => format!(" (unpacked from {})", packed.join(" in ")),
        };
        let version = banner(&kernel.image).unwrap_or_else(|| {
            "unknown version (no \"Linux version\" text in the Image)".to_owned()
        });
        let mut text = format!(
            "kernel: {version}{packed}\n{}: {}, slot {} active\n",
            self.output.display(),
            Size(layout.blocks() * 512),
            slots[0]
        );
        if let Some(settings) = self.loader_settings() {
            text += &format!(
                "the loader does not look for the environment there by default; change its settings: imagegen loader little-loader.elf{settings}\n"
            );
        }
        show(text)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Returns the options of `imagegen loader` if the environment is not at the default place.
    fn loader_settings(&self) -> Option<String> {
        let default = Sizes::default();
        let mut options = String::new();
        if self.env_lba != default.env_lba {
            options += &format!(" --set env-lba={}", self.env_lba);
        }
        if self.env_size != default.env_size {
            options += &format!(" --set env-size={}", self.env_size.0);
        }
        if let Some(lba) = self.env_redundant_lba {
            options += &format!(" --set env-redundant-lba={lba}");
        }
        Some(options).filter(|options| !options.is_empty())
    }
}

fn read(path: &PathBuf) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
