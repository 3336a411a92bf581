// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fleets of virtual devices: many QEMU machines that boot from one read-only disk image, each with
//! an overlay, an identity and a console of its own.
//!
//! [`model`] is what is known about a fleet, which all commands show. A [`supervisor::Supervisor`]
//! runs the guests of one state [`folder`]; within its process a [`supervisor::Handle`] leads to
//! them, from other processes the protocol of [`control`]. [`cli`] is the command line.

#![forbid(unsafe_code)]

pub mod agent;
pub mod cli;
pub mod clones;
pub mod console;
pub mod control;
pub mod engines;
pub mod error;
pub mod folder;
pub mod host;
pub mod identity;
pub mod ksm;
pub mod launch;
pub mod limits;
pub mod machine;
pub mod metrics;
pub mod model;
pub mod pace;
pub mod placement;
pub mod plan;
pub mod process;
pub mod qmp;
pub mod report;
pub mod rollout;
pub mod screen;
pub mod settings;
pub mod supervisor;
pub mod totals;
pub mod update;
pub mod watch;
mod whole_file;

use whole_file::write_whole;
