// SPDX-License-Identifier: MIT OR Apache-2.0

//! Guests for libvirt, and the command `libvirt`.

mod domain;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::Args;
use qemu_harness::process::shell_line;

use crate::plan::{Kind, Size};
use crate::settings::USUAL_TB_SIZE;

pub use domain::{Accelerator, Domain};

/// Prints guests as libvirt's domain XML.
#[derive(Args, Clone, Debug)]
pub struct LibvirtArgs {
    /// The disk image that all guests start from; it is only read
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// The loader, an ELF
    #[arg(long, value_name = "FILE")]
    pub loader: PathBuf,
    /// The folder of the guests' overlays and console logs
    #[arg(long, value_name = "FOLDER", default_value = "/var/lib/libvirt/images")]
    pub overlays: PathBuf,
    /// How many guests
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub count: u32,
    /// The number of the first guest
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99_999_999))]
    pub first: u32,
    /// A guest's RAM
    #[arg(long, value_name = "SIZE", default_value = "128M")]
    pub memory: Size,
    /// How the host runs guests
    #[arg(long, value_enum, default_value_t)]
    pub accel: Kind,
    /// The CPU model under emulation
    #[arg(long, value_name = "MODEL", default_value = "cortex-a57")]
    pub cpu: String,
    /// The buffer for translated code under emulation, in MiB; 0 leaves the size to QEMU
    #[arg(long, value_name = "MIB", default_value_t = USUAL_TB_SIZE)]
    pub tb_size: u32,
    /// QEMU, an absolute path, instead of the one that libvirt chooses
    #[arg(long, value_name = "PROGRAM")]
    pub emulator: Option<PathBuf>,
    /// Added to the kernel's command line
    #[arg(long, value_name = "ARGUMENTS", allow_hyphen_values = true)]
    pub append: Option<String>,
    /// The port of the first guest's agent on the loopback interface, the next ones for the others
    /// [default: no network]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1024..))]
    pub port: Option<u16>,
    /// Let guests give freed pages back to the host
    #[arg(long)]
    pub free_page_reporting: bool,
    /// Write a file per guest into this folder instead
    #[arg(long, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
}

/// Prints the domains, or writes them to files.
///
/// # Errors
/// When a file cannot be written, or there are not enough ports.
pub fn main(arguments: &LibvirtArgs) -> anyhow::Result<()> {
    let domains = arguments.domains()?;
    let Some(folder) = &arguments.output else {
        let mut text = String::new();
        for domain in &domains {
            text += &domain.xml()?;
        }
        let mut output = std::io::stdout().lock();
        return output
            .write_all(text.as_bytes())
            .context("writing to standard output");
    };
    std::fs::create_dir_all(folder)
        .with_context(|| format!("making the folder {}", folder.display()))?;
    for domain in &domains {
        let name = crate::identity::host(domain.id) + ".xml";
        crate::write_whole(&folder.join(name), domain.xml()?.as_bytes())?;
    }
    print!("{}", instructions(folder, &domains));
    Ok(())
}

impl LibvirtArgs {
    fn domains(&self) -> anyhow::Result<Vec<Domain>> {
        let last = self.first.saturating_add(self.count - 1);
        (self.first..=last)
            .zip(0_u32..)
            .map(|(id, index)| self.domain(id, index))
            .collect()
    }

    fn domain(&self, id: u32, index: u32) -> anyhow::Result<Domain> {
        let port = self.port.map(|first| {
            let port = u32::from(first) + index;
            u16::try_from(port).with_context(|| {
                format!("the ports from {first} end before guest {id}: lower --port or --count")
            })
        });
        Ok(Domain {
            id,
            loader: absolute(&self.loader)?,
            image: absolute(&self.image)?,
            folder: absolute(&self.overlays)?,
            memory_mib: self.memory.whole_mib(),
            accelerator: match self.accel {
                Kind::Kvm => Accelerator::Kvm,
                Kind::Tcg => Accelerator::Tcg {
                    cpu: self.cpu.clone(),
                    buffer_mib: self.tb_size,
                },
            },
            emulator: self.emulator.clone(),
            append: self.append.clone(),
            port: port.transpose()?,
            free_page_reporting: self.free_page_reporting,
        })
    }
}

/// Returns `path` from the root: libvirt knows no current folder.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("finding {}", path.display()))
}

/// Returns the commands that start the domains.
fn instructions(folder: &Path, domains: &[Domain]) -> String {
    let lines = domains.iter().map(|domain| {
        let mut overlay = Command::new("qemu-img");
        overlay.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]);
        overlay.args([&domain.image, &domain.overlay()]);
        let mut create = Command::new("virsh");
        let xml = folder.join(crate::identity::host(domain.id) + ".xml");
        create.arg("create").arg(xml);
        format!("{} && {}\n", shell_line(&overlay), shell_line(&create))
    });
    lines.collect()
}

#[cfg(test)]
mod tests;
