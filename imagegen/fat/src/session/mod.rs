// SPDX-License-Identifier: MIT OR Apache-2.0

//! The operations, each as the fwup action of nearly the same name.

pub(crate) mod copy;
pub(crate) mod files;
pub(crate) mod map;
pub(crate) mod mounts;
pub(crate) mod query;
pub(crate) mod tree;
pub(crate) mod writer;
