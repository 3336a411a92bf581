// SPDX-License-Identifier: MIT OR Apache-2.0

//! The data that a delta starts from.

pub(crate) mod cache;
mod read_at;

pub use cache::{BLOCK_LENGTH, DEFAULT_CACHE_LENGTH};
pub use read_at::{SeekableSource, Source};
