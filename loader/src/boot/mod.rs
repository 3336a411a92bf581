// SPDX-License-Identifier: MIT OR Apache-2.0

//! The steps of a boot that carry out the decisions of little_loader_core.

pub(crate) mod build_settings;
pub(crate) mod environment;
pub(crate) mod fatal;
pub(crate) mod find_environment;
pub(crate) mod load_slot;
