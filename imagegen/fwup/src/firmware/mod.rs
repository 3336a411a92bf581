// SPDX-License-Identifier: MIT OR Apache-2.0

//! The contents of a configuration or of an archive's `meta.conf`: [`model`] has its sections with
//! their options; the other modules read from them what tasks need, for the checks when an archive
//! is made and for the work when it is applied.

pub(crate) mod action;
pub mod call;
pub mod env_section;
pub(crate) mod integer;
pub mod mbr;
pub mod model;
pub(crate) mod requirement;
