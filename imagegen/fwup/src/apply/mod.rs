// SPDX-License-Identifier: MIT OR Apache-2.0

//! Applies an archive: chooses a task and runs its actions on the destination, resource by resource
//! in the archive's order. Errors that do not depend on the data are found before anything is
//! written.
//!
//! Changes to partition tables and environments are collected. They are written before the next
//! data and at the end, each time after all preceding data.

mod archive_file;
mod boot_records;
mod delta;
mod device_path;
mod error;
mod execution;
mod fat_actions;
mod fat_device;
mod fat_file;
mod gpt_store;
mod gpt_tables;
mod hashing;
mod observer;
mod osip_table;
mod outside;
mod progress;
mod raw_target;
mod read_ahead;
mod requirement;
mod resource_copy;
mod resource_data;
mod steps;
pub mod uboot_env;
mod unmet;
mod write_resource;

pub use archive_file::{ApplyFileError, apply_opened, apply_to, apply_with};
pub use error::{ApplyError, FatActionError, ResourceDataError, UnpackingError};
pub use execution::{Applied, apply};
pub use hashing::HashingError;
pub use observer::Observer;
pub use outside::OutsideError;
pub use requirement::RequirementError;
pub use unmet::{UnmetReason, UnmetRequirement, explain};
