// SPDX-License-Identifier: MIT OR Apache-2.0

//! The subcommands. Each parses its options, calls the library, and prints.

mod apply;
mod command;
mod disk;
mod env;
mod env_repair;
mod firmware;
mod initrd;
mod inspect;
mod loader;
mod overlay;
mod pack;
mod place;
mod print;
#[cfg(test)]
mod share;
mod slot;

pub(crate) use command::Command;
