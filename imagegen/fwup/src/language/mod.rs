// SPDX-License-Identifier: MIT OR Apache-2.0

//! The language of configurations, and of the `meta.conf` in archives, which uses a subset of it.
//!
//! The language is libconfuse's: options, sections and calls, read from front to back. A variable
//! is replaced by its value at that point; `define` changes the value for the text that follows.
//!
//! To bound time and memory, the depth and number of includes, the length of each text, and the
//! total length of all texts are limited.

mod arithmetic;
mod check;
mod convert;
mod definitions;
mod error;
mod gpt_section;
mod lexer;
mod meta_conf;
mod option;
mod parser;
mod read;
mod schema;
mod sources;
#[cfg(test)]
mod tests;
mod tree;
mod version;

pub use arithmetic::ArithmeticError;
pub use definitions::Definitions;
pub use error::{LanguageError, Problem};
pub(crate) use meta_conf::META_CONF_SIZE;
pub use meta_conf::{FWUP_META_CONF_LIMIT, quoted, to_meta_conf};
pub use read::{configuration, meta_conf, read_file};
pub use version::FWUP_VERSION;
pub(crate) use version::version_numbers;
