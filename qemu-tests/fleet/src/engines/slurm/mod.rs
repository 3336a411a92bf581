// SPDX-License-Identifier: MIT OR Apache-2.0

//! A fleet as a job array of Slurm, and the command `slurm`.
//!
//! Each task of the array is a supervisor with a chunk of the guests. Everything is in one folder
//! that all nodes see, so that a task whose node died goes on elsewhere with the disks of its guests:
//!
//! | path | contents |
//! | --- | --- |
//! | `files/` | image, loader and program, copied there if they are elsewhere |
//! | `NAME/job.json` | what the tasks run |
//! | `NAME/job.sbatch` | the script for `sbatch` |
//! | `NAME/TASK.log` | what a task prints |
//! | `NAME/TASK/` | the state folder of a task's supervisor |
//! | `NAME/TASK/owner.json` | the attempt that may use the folder |
//! | `NAME/TASK/status.json` | the state of its guests, refreshed every few seconds |
//!
//! The supervisors' sockets do not reach beyond their nodes, so [`status()`] and [`events()`] read these files.

mod attempt;
mod gather;
mod history;
mod job;
mod resources;
mod script;
mod share;
mod task;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use qemu_harness::emulator;
use qemu_harness::process::shell_line;

use crate::placement::Pin;
use crate::plan::{Kind, Size};
use crate::settings::{CONSOLE_LIMIT, ImageFile, Settings};

pub use gather::status;
pub use history::events;
pub use job::Job;
pub use task::TaskArgs;
pub use task::main as run_task;

/// Writes a fleet as a job array for Slurm's sbatch
#[derive(Args, Clone, Debug)]
pub struct SlurmArgs {
    /// How many guests
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub guests: u32,
    /// How many guests one task has
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub chunk: u32,
    /// The number of the first guest
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=89_999_999))]
    pub first: u32,
    /// The folder that all nodes see under the same path
    #[arg(long, value_name = "FOLDER")]
    pub shared: PathBuf,
    /// The job's name, and that of its folder in the shared one
    #[arg(long, default_value = "fleet", value_parser = name)]
    pub name: String,
    /// The disk image that all guests start from; copied if it is not in the shared folder
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// The loader, an ELF; copied if it is not in the shared folder
    #[arg(long, value_name = "FILE")]
    pub loader: PathBuf,
    /// The program `fleet` on the nodes [default: this program, copied if it is not in the shared
    /// folder]
    #[arg(long, value_name = "PROGRAM")]
    pub program: Option<PathBuf>,
    /// QEMU on the nodes
    #[arg(long, value_name = "PROGRAM")]
    pub qemu: Option<PathBuf>,
    /// A guest's RAM
    #[arg(long, value_name = "SIZE", default_value = "128M")]
    pub memory: Size,
    /// How the nodes run guests
    #[arg(long, value_enum, default_value_t)]
    pub accel: Kind,
    /// The CPU model under emulation
    #[arg(long, value_name = "MODEL", default_value = "cortex-a57")]
    pub cpu: String,
    /// The buffer for translated code under emulation, in MiB; 0 leaves the size to QEMU
    #[arg(long, value_name = "MIB", default_value_t = 32)]
    pub tb_size: u32,
    /// Start the guests without a network card
    #[arg(long)]
    pub no_net: bool,
    /// Added to the kernel's command line
    #[arg(long, value_name = "ARGUMENTS", allow_hyphen_values = true)]
    pub append: Option<String>,
    /// A text on the console that means that the guest is up
    #[arg(long, value_name = "TEXT")]
    pub up_line: Option<String>,
    /// A further argument for QEMU; can be repeated
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub qemu_argument: Vec<String>,
    /// Compute memory and CPUs from the figures of this file, which `report --measured` writes
    #[arg(long, value_name = "FILE")]
    pub measured: Option<PathBuf>,
    /// The CPUs of a task [default: computed]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub cpus: Option<u32>,
    /// How many tasks run at the same time [default: as many as Slurm finds room for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub at_once: Option<u32>,
    /// The seconds between two refreshes of a task's status.json
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub refresh: u32,
    /// A further option for sbatch, such as --partition=arm; can be repeated
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub sbatch: Vec<String>,
    /// The script to write [default: job.sbatch in the job's folder]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Submit the script
    #[arg(long)]
    pub submit: bool,
}

/// Checks a job's name, which is also that of its folder.
fn name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if text.is_empty() || text.len() > 100 || !text.bytes().all(is_plain) || text == "files" {
        return Err("use at most 100 letters, digits, - and _, but not `files`".to_owned());
    }
    Ok(text.to_owned())
}

/// Writes the job, and submits it if that is asked for. `words` stand between the program and the
/// fleet's subcommand.
///
/// # Errors
/// When the files cannot be copied or written, another job has the name, or sbatch fails.
pub fn main(arguments: &SlurmArgs, words: &[&str]) -> anyhow::Result<()> {
    let shared = &arguments.shared;
    std::fs::create_dir_all(shared)
        .with_context(|| format!("making the shared folder {}", shared.display()))?;
    let shared = shared
        .canonicalize()
        .with_context(|| format!("finding the shared folder {}", shared.display()))?;
    ensure!(
        script::is_plain(&shared),
        "Slurm would change the path {}: use a shared folder without \\, %, quotes and control characters",
        shared.display()
    );
    let program = match &arguments.program {
        Some(program) => program.clone(),
        None => {
            let this = std::env::current_exe().context("finding this program")?;
            share::copy(&this, &shared)?
        }
    };
    let settings = settings(arguments, &shared)?;
    let job = Job {
        guests: arguments.guests,
        chunk: arguments.chunk,
        cpus: match arguments.cpus {
            Some(cpus) => cpus,
            None => resources::cpus(arguments)?,
        },
        memory_mib: resources::memory_mib(arguments)?,
        refresh: arguments.refresh,
        settings,
    };
    let folder = shared.join(&arguments.name);
    if let Ok(earlier) = Job::read(&folder)
        && earlier != job
    {
        bail!(
            "{} has another job: choose another --name, or remove the folder, which discards what its guests have written",
            folder.display()
        );
    }
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("making the job's folder {}", folder.display()))?;
    job.write(&folder)?;
    let text = script::text(arguments, &job, &folder, &program, words);
    let usual = folder.join("job.sbatch");
    let output = arguments.output.as_ref().unwrap_or(&usual);
    crate::write_whole(output, text.as_bytes())?;
    println!(
        "{} guests in {} tasks, each with {} CPUs and {} MiB",
        job.guests,
        job.tasks(),
        job.cpus,
        job.memory_mib
    );
    let mut sbatch = Command::new("sbatch");
    sbatch.arg("--parsable").arg(output);
    if !arguments.submit {
        println!("{}", shell_line(&sbatch));
        return Ok(());
    }
    let answer = sbatch
        .output()
        .context("starting sbatch, which Debian has in slurm-client")?;
    ensure!(
        answer.status.success(),
        "sbatch refuses {}: {}",
        output.display(),
        String::from_utf8_lossy(&answer.stderr).trim()
    );
    // With several clusters the answer is `ID;CLUSTER`.
    println!("job {}", String::from_utf8_lossy(&answer.stdout).trim());
    Ok(())
}

fn settings(arguments: &SlurmArgs, shared: &std::path::Path) -> anyhow::Result<Settings> {
    Ok(Settings {
        image: ImageFile::of(&share::copy(&arguments.image, shared)?)?,
        loader: share::copy(&arguments.loader, shared)?,
        qemu: arguments.qemu.clone().unwrap_or_else(emulator::program),
        accelerator: arguments.accel.accelerator().to_owned(),
        cpu: arguments.cpu.clone(),
        memory_mib: u32::try_from(arguments.memory.whole_mib())
            .context("no guest has so much --memory")?,
        tb_size_mib: arguments.tb_size,
        net: !arguments.no_net,
        append: arguments.append.clone(),
        up_line: arguments.up_line.clone(),
        console_limit_mib: CONSOLE_LIMIT,
        free_page_reporting: false,
        first: arguments.first,
        // A template belongs to one host.
        clones: None,
        // Those of the node, which the task sets.
        reserve_mib: 0,
        max_booting: 0,
        pin: Pin::None,
        ksm: false,
        qemu_arguments: arguments.qemu_argument.clone(),
    })
}

#[cfg(test)]
mod tests;
