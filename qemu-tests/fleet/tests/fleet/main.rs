// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tests of the command `fleet` with a fake QEMU, which needs neither a loader nor an image that can
//! be booted.

mod clones;
mod commands;
mod ending;
mod guests;
mod many;
mod starting;
mod support;
mod updates;
