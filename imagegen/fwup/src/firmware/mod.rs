// SPDX-License-Identifier: MIT OR Apache-2.0

//! The contents of a configuration or of an archive's `meta.conf`: [`model`] has the sections with
//! their options. The other modules parse the parts that tasks use, both to check an archive when
//! it is made and to apply it.

pub(crate) mod action;
pub mod call;
pub mod delta_source;
pub mod env_section;
pub(crate) mod fat_action;
pub mod gpt;
pub(crate) mod guid;
pub(crate) mod integer;
pub mod mbr;
mod mbr_layout;
pub mod model;
pub(crate) mod osip;
pub(crate) mod requirement;
mod table_option;
pub(crate) mod unsafe_action;
