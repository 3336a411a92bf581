// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a task does outside the destination if the user allows it (`--unsafe`): runs programs, and
//! writes resources to files, to programs and to UBI volumes.

mod error;
mod path;
mod sequential;
mod shell;
mod ubi;
mod write;

pub use error::OutsideError;
pub(super) use shell::succeeds;
pub(super) use write::{execute, write};
