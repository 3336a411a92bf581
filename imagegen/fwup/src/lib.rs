// SPDX-License-Identifier: MIT OR Apache-2.0

//! An independent implementation of fwup's firmware archives (version 1.16): the configuration
//! language, the archive format, and the effects of tasks on a disk.
//!
//! [`create`] makes an archive from a configuration, [`apply`] applies one to a disk or an image,
//! and [`command`] is fwup's command line on top of both, used by the program `fwup` and by
//! `imagegen fwup`.

#![forbid(unsafe_code)]

pub mod apply;
pub mod archive;
mod blake2b;
pub mod command;
pub mod create;
pub mod destination;
pub mod disk_cipher;
pub mod firmware;
pub mod hex;
pub mod keys;
pub mod language;
mod links;
pub mod output;
