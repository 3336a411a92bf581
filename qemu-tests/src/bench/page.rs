// SPDX-License-Identifier: MIT OR Apache-2.0

//! The generated parts of the book, each between two comments that name it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::output;
use crate::paths;

/// The reason that a part was not drawn.
#[derive(Debug, Error)]
pub enum PageError {
    /// The page lacks the comments around the part.
    #[error("{path} has no lines {begin:?} and {end:?} in this order")]
    NoPlace {
        /// The page.
        path: PathBuf,
        /// The first line.
        begin: String,
        /// The last line.
        end: String,
    },
    /// A file could not be used.
    #[error("cannot use {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The path of the page with the benchmarks.
#[must_use]
pub fn benchmarks() -> PathBuf {
    paths::workspace().join("docs/src/benchmarks.md")
}

/// The path of one of its pictures.
#[must_use]
pub fn image(name: &str) -> PathBuf {
    paths::workspace().join("docs/src/images").join(name)
}

/// Replaces the part `name` of `page` with `text`.
///
/// # Errors
/// When the page has no such part, or cannot be used.
pub fn draw(page: &Path, name: &str, text: &str) -> Result<(), PageError> {
    let failed = |source| PageError::Io {
        path: page.into(),
        source,
    };
    let old = fs::read_to_string(page).map_err(failed)?;
    let (begin, end) = (
        format!("<!-- begin of {name} -->"),
        format!("<!-- end of {name} -->"),
    );
    let new = replace(&old, &begin, &end, text).ok_or_else(|| PageError::NoPlace {
        path: page.into(),
        begin,
        end,
    })?;
    output::write_whole(page, new.as_bytes()).map_err(failed)
}

fn replace(page: &str, begin: &str, end: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    let text = text.trim_end();
    Some(format!("{before}{begin}\n\n{text}\n\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_part_changes() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("page.md");
        let text = "a\n<!-- begin of b -->\nold\n<!-- end of b -->\nc\n";
        fs::write(&page, text).unwrap();
        draw(&page, "b", "new\n").unwrap();
        let drawn = "a\n<!-- begin of b -->\n\nnew\n\n<!-- end of b -->\nc\n";
        assert_eq!(fs::read_to_string(&page).unwrap(), drawn);
        draw(&page, "b", "new\n").unwrap();
        assert_eq!(fs::read_to_string(&page).unwrap(), drawn, "drawn again");
        draw(&page, "c", "new\n").unwrap_err();
    }

    #[test]
    fn the_book_has_the_parts() {
        let page = fs::read_to_string(benchmarks()).unwrap();
        for name in ["figures", "growth", "size", "ways"] {
            let begin = format!("<!-- begin of {name} -->");
            let end = format!("<!-- end of {name} -->");
            assert!(replace(&page, &begin, &end, "").is_some(), "{name}");
        }
    }
}
