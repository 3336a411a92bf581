// SPDX-License-Identifier: MIT OR Apache-2.0

//! Firmware archives: an independent implementation of fwup's format (version 1.16): its
//! configuration language, its archives, and what its tasks do to a disk.
//!
//! [`create`] makes an archive from a configuration, [`apply`] applies one to a disk or an image,
//! and [`command`] is fwup's command line on top of both, for the program `fwup` and for
//! `imagegen fwup`.

#![forbid(unsafe_code)]

pub mod apply;
pub mod archive;
pub mod command;
pub mod create;
pub mod destination;
pub mod firmware;
pub mod hex;
pub mod language;
mod links;
pub mod output;
