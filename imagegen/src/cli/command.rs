// SPDX-License-Identifier: MIT OR Apache-2.0

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Subcommand;

use super::{apply, disk, env, firmware, initrd, inspect, loader, overlay, pack, slot};

/// A subcommand.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Apply a task of a firmware archive to an image.
    Apply(apply::Apply),
    /// Create a disk image from a kernel and a root file system.
    Disk(Box<disk::Disk>),
    /// Show, change and repair the variables of an image.
    Env(env::EnvCommand),
    /// Accept the command line of fwup, for scripts that use it.
    #[command(disable_help_flag = true)]
    Fwup {
        /// fwup's options; -h lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Show the metadata of a firmware archive.
    Info(firmware::Info),
    /// Create an initrd that loads the modules of a distribution's kernel.
    Initrd(initrd::Initrd),
    /// Show the contents of an image, and the errors in it.
    Inspect(inspect::Inspect),
    /// Show a built loader, change its settings, create its flat binary.
    Loader(loader::Loader),
    /// Create qcow2 images that store only what differs from a backing file.
    Overlay(overlay::Overlay),
    /// Create a firmware archive from a configuration, as fwup does.
    Pack(pack::Pack),
    /// Change the slots of an image as firmware does: activate, validate, revert, install.
    Slot(slot::SlotCommand),
    /// Show the tasks of a firmware archive.
    Tasks(firmware::Tasks),
}

impl Command {
    /// Runs the subcommand.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Apply(command) => command.run(),
            Self::Disk(command) => command.run(),
            Self::Env(command) => command.run(),
            Self::Fwup { arguments } => Ok(fwup::command::run(arguments)),
            Self::Info(command) => command.run(),
            Self::Initrd(command) => command.run(),
            Self::Inspect(command) => command.run(),
            Self::Loader(command) => command.run(),
            Self::Overlay(command) => command.run(),
            Self::Pack(command) => command.run(),
            Self::Slot(command) => command.run(),
            Self::Tasks(command) => command.run(),
        }
    }
}
