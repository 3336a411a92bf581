// SPDX-License-Identifier: MIT OR Apache-2.0

//! The options of `start` that make the settings of a fleet.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use qemu_harness::{emulator, machine::Accelerator};

use super::images::{GuestKind, Images};
use crate::clones::{self, CloneError, Clones};
use crate::host;
use crate::placement::Pin;
use crate::settings::{CONSOLE_LIMIT, ImageFile, Settings};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// The disk image that all guests start from; it is only read
    #[arg(long, value_name = "FILE", conflicts_with = "guest")]
    image: Option<PathBuf>,
    /// Make the image of this kind of guest
    #[arg(long, value_enum, default_value_t)]
    guest: GuestKind,
    /// The loader, an ELF
    #[arg(long, value_name = "FILE")]
    loader: Option<PathBuf>,
    /// The RAM of a guest, in MiB or with M or G appended [default: the image's, else 128]
    #[arg(long, value_name = "SIZE", value_parser = mebibytes)]
    memory: Option<u64>,
    /// The accelerator; auto uses a hypervisor if there is one
    #[arg(long, value_enum, default_value_t)]
    accel: Accel,
    /// The CPU model under emulation
    #[arg(long, value_name = "MODEL", default_value = "cortex-a57")]
    cpu: String,
    /// The buffer for translated code under emulation, in MiB; 0 leaves the size to QEMU [default:
    /// 32; for clones 6]
    #[arg(long, value_name = "MIB")]
    tb_size: Option<u32>,
    /// Boot one guest, and let the others continue from its state with an identity of their own
    #[arg(long)]
    pub(super) clones: bool,
    /// The folder for the RAM of the guest that is cloned, on a file system in memory [default:
    /// /dev/shm]
    #[arg(long, value_name = "FOLDER", requires = "clones")]
    template_memory: Option<PathBuf>,
    /// The seconds that the guest that is cloned rests before its state is saved
    #[arg(long, value_name = "SECONDS", requires = "clones", default_value_t = 8)]
    template_settle: u32,
    /// Start the guests without a network card, so that `exec` and updates through the guest are
    /// not possible
    #[arg(long)]
    no_net: bool,
    /// Added to the kernel's command line
    #[arg(long, value_name = "ARGUMENTS", allow_hyphen_values = true)]
    append: Option<String>,
    /// A text on the console that means that the guest is up
    #[arg(long, value_name = "TEXT")]
    up_line: Option<String>,
    /// How much of each guest's console is kept, in MiB; what is older is discarded. 0 keeps all
    #[arg(long, value_name = "MIB", default_value_t = CONSOLE_LIMIT)]
    console_limit: u32,
    /// Have guests give free memory back to the host; not together with --clones
    #[arg(long)]
    free_page_reporting: bool,
    /// The number of the first guest, which its serial number, host name and MAC address come from
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99_999_999))]
    first: u32,
    /// The host's memory that guests leave free [default: 5 % of it, at least 512M]
    #[arg(long, value_name = "SIZE", value_parser = mebibytes)]
    reserve: Option<u64>,
    /// How many guests may boot at the same time; 0 sets no limit [default: 4 for each CPU,
    /// clones 3]
    #[arg(long, value_name = "N")]
    max_booting: Option<u32>,
    /// The host's CPUs of a guest
    #[arg(long, value_enum, default_value_t)]
    pin: Pin,
    /// Have the host merge equal pages of guests (Linux's KSM), which runs QEMU at fixed addresses.
    /// If it is off, it is turned on while the fleet runs, which takes root
    #[arg(long)]
    ksm: bool,
    /// QEMU
    #[arg(long, value_name = "PROGRAM")]
    qemu: Option<PathBuf>,
    /// A further argument for QEMU; can be repeated
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    qemu_argument: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Accel {
    #[default]
    Auto,
    Kvm,
    Hvf,
    Tcg,
}

impl Options {
    /// Returns the settings; builds and makes what is not named.
    pub(super) fn settings(&self, images: &dyn Images) -> Result<Settings> {
        let loader = match &self.loader {
            Some(path) => path.clone(),
            None => images.loader()?,
        };
        let loader = loader
            .canonicalize()
            .with_context(|| format!("cannot find the loader {}", loader.display()))?;
        let (image, made) = match &self.image {
            Some(path) => (path.clone(), None),
            None => {
                let made = images.image(self.guest)?;
                (made.path.clone(), Some(made))
            }
        };
        let memory = match self.memory {
            Some(size) => Some(u32::try_from(size).context("no guest has so much --memory")?),
            None => None,
        };
        let image_memory = made.as_ref().and_then(|made| made.memory_mib);
        let host = host::measure();
        // More clones at the same time only wait longer, and their clocks tick meanwhile.
        let in_flight = if self.clones { 3 } else { 4 };
        Ok(Settings {
            image: ImageFile::of(&image)?,
            loader,
            qemu: match &self.qemu {
                Some(path) => located(path)?,
                None => located(&emulator::program())?,
            },
            accelerator: self.accel.accelerator().to_string(),
            cpu: self.cpu.clone(),
            memory_mib: memory.or(image_memory).unwrap_or(128),
            tb_size_mib: self.tb_size.unwrap_or(32),
            net: !self.no_net,
            append: self.append.clone(),
            up_line: self.up_line.clone(),
            console_limit_mib: self.console_limit,
            free_page_reporting: self.free_page_reporting,
            first: self.first,
            reserve_mib: self
                .reserve
                .unwrap_or_else(|| (host.memory / 1024 / 20).max(512)),
            max_booting: self.max_booting.unwrap_or(host.cpus * in_flight),
            clones: self.clones()?,
            pin: self.pin,
            ksm: self.ksm,
            qemu_arguments: self.qemu_argument.clone(),
        })
    }
}

impl Options {
    fn clones(&self) -> Result<Option<Clones>> {
        if !self.clones {
            return Ok(None);
        }
        if self.free_page_reporting {
            bail!(CloneError::GivesBack("--free-page-reporting".to_owned()));
        }
        let folder = self.template_memory.clone();
        let folder = folder.unwrap_or_else(clones::usual_memory_folder);
        Ok(Some(Clones {
            memory_folder: std::path::absolute(&folder)
                .with_context(|| format!("cannot find {}", folder.display()))?,
            tb_size_mib: self.tb_size.unwrap_or(6),
            settle_seconds: self.template_settle,
        }))
    }
}

impl Accel {
    fn accelerator(self) -> Accelerator {
        match self {
            Self::Auto => Accelerator::of_host(),
            Self::Kvm => Accelerator::Kvm,
            Self::Hvf => Accelerator::Hvf,
            Self::Tcg => Accelerator::Tcg,
        }
    }
}

/// Makes a path with folders absolute, because QEMU is started in another folder; a bare name is
/// searched for on the `PATH`.
fn located(program: &Path) -> Result<PathBuf> {
    if program.components().count() < 2 {
        return Ok(program.to_owned());
    }
    program
        .canonicalize()
        .with_context(|| format!("cannot find QEMU at {}", program.display()))
}

/// Parses `512`, `512M`, `2G` or `1T` as MiB.
pub(super) fn mebibytes(text: &str) -> Result<u64, String> {
    let units = [('M', 1), ('G', 1 << 10), ('T', 1 << 20)];
    let unit = text.chars().last().map(|last| last.to_ascii_uppercase());
    let unit = units.iter().find(|(name, _)| Some(*name) == unit);
    let (digits, factor) = match unit {
        Some((_, factor)) => (&text[..text.len() - 1], *factor),
        None => (text, 1),
    };
    let size = digits.parse::<u32>().ok().filter(|size| *size > 0);
    size.map(|size| u64::from(size) * factor)
        .ok_or_else(|| "not a size such as 512, 512M or 2G".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(mebibytes("80"), Ok(80));
        assert_eq!(mebibytes("80m"), Ok(80));
        assert_eq!(mebibytes("2G"), Ok(2048));
        assert_eq!(mebibytes("1T"), Ok(1 << 20));
        for bad in ["", "0", "G", "1.5G", "-1", "64K", "µ"] {
            assert!(mebibytes(bad).is_err(), "{bad}");
        }
    }
}
