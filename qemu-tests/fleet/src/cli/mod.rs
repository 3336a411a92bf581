// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line, as a library: the command `fleet` and `cargo qemu fleet` are thin layers over
//! it.

mod console;
mod exec;
mod guests;
mod images;
mod logs;
mod progress;
mod settings;
mod start;
mod status;
mod stop;
mod supervise;
mod update;

pub use images::{GuestImage, GuestKind, Images, NoImages};

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::engines::libvirt::{self, LibvirtArgs};
use crate::engines::nomad::{self, NomadArgs};
use crate::engines::slurm::{self, SlurmArgs, TaskArgs};
use crate::folder::Folder;
use crate::launch;
use crate::metrics::MetricsArgs;
use crate::plan::{self, PlanArgs};
use crate::report::ReportArgs;
use crate::screen::StatusArgs;

/// Run, watch and update a fleet of virtual devices that boot from one disk image
#[derive(Args, Debug)]
pub struct Arguments {
    /// The folder with the fleet's disks, consoles and sockets
    #[arg(long, global = true, value_name = "FOLDER")]
    state: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Start(Box<start::Arguments>),
    /// Shows each guest's state.
    Status(status::OfJobs<StatusArgs>),
    Stop(stop::Arguments),
    Restart(stop::RestartArguments),
    Update(update::Arguments),
    Rollback(update::RollbackArguments),
    Logs(logs::Arguments),
    Console(console::Arguments),
    Exec(exec::Arguments),
    /// Draws what happened in a fleet into one HTML file.
    Report(status::OfJobs<ReportArgs>),
    Metrics(MetricsArgs),
    Plan(PlanArgs),
    Libvirt(LibvirtArgs),
    Nomad(NomadArgs),
    Slurm(Box<SlurmArgs>),
    #[command(hide = true)]
    SlurmTask(TaskArgs),
    #[command(hide = true)]
    Launch(launch::Arguments),
    #[command(hide = true)]
    Supervise(supervise::Arguments),
}

/// Executes a command of the fleet.
///
/// # Errors
/// What went wrong, for people.
pub fn main(arguments: &Arguments, images: &dyn Images) -> Result<ExitCode> {
    let state = arguments.state.clone();
    let folder = Folder::new(&state.unwrap_or_else(|| images.state()))?;
    match &arguments.command {
        Command::Start(arguments) => start::main(arguments, &folder, images),
        Command::Status(arguments) => status::main(arguments, &folder),
        Command::Stop(arguments) => stop::main(arguments, &folder),
        Command::Restart(arguments) => stop::restart(arguments, &folder),
        Command::Update(arguments) => update::main(arguments, &folder),
        Command::Rollback(arguments) => update::rollback(arguments, &folder),
        Command::Logs(arguments) => logs::main(arguments, &folder),
        Command::Console(arguments) => console::main(arguments, &folder),
        Command::Exec(arguments) => exec::main(arguments, &folder),
        Command::Report(arguments) => status::report(arguments, &folder),
        Command::Metrics(arguments) => status::metrics(arguments, &folder),
        Command::Plan(arguments) => done(plan::main(arguments)),
        Command::Libvirt(arguments) => done(libvirt::main(arguments)),
        Command::Nomad(arguments) => done(nomad::main(arguments)),
        Command::Slurm(arguments) => done(slurm::main(arguments, images.words())),
        Command::SlurmTask(arguments) => done(slurm::run_task(arguments, images.words())),
        Command::Launch(arguments) => done(launch::main(arguments)),
        Command::Supervise(arguments) => supervise::main(arguments, &folder, images),
    }
}

fn done(result: Result<()>) -> Result<ExitCode> {
    result.map(|()| ExitCode::SUCCESS)
}
