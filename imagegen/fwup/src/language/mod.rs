// SPDX-License-Identifier: MIT OR Apache-2.0

//! The language of configurations, and of the `meta.conf` in archives, which has a subset of it.
//!
//! It is libconfuse's: options, sections and calls, read from front to back. A variable is replaced
//! by the value that it has where it is read; `define` changes it for what follows.
//!
//! Everything that a text could use to take long or to need much memory has a limit: the depth and
//! the number of includes, the length of one text, and the sum of all of them.

mod arithmetic;
mod check;
mod convert;
mod definitions;
mod error;
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
pub use meta_conf::{quoted, to_meta_conf};
pub use read::{configuration, meta_conf, read_file};
pub use version::FWUP_VERSION;
