// SPDX-License-Identifier: MIT OR Apache-2.0

//! One module for each subcommand.

pub(crate) mod bench;
pub(crate) mod binutils;
pub(crate) mod boot;
pub(crate) mod build;
pub(crate) mod fleet;
pub(crate) mod fwup_suite;
pub(crate) mod guest;
pub(crate) mod lint;
pub(crate) mod setup;
pub(crate) mod test;
