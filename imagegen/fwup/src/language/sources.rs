// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tokens of a configuration and of the files that it includes, with limits on their size.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::definitions::Definitions;
use super::error::Problem;
use super::lexer::{Lexer, Token};

/// The maximum size of a configuration in bytes, with includes and values of variables.
const LARGEST: usize = 16 << 20;
/// The maximum nesting depth of includes.
const DEPTH: usize = 10;
/// The maximum number of includes.
const INCLUDES: usize = 1000;

pub(super) struct Sources {
    /// The last file is being read; each of the others includes the next one.
    files: Vec<Lexer>,
    /// The file and line at the end of the last token.
    place: (String, usize),
    includes: usize,
    /// The number of bytes that may still be read.
    budget: usize,
}

impl Sources {
    pub(super) fn new(file: Lexer) -> Self {
        Self {
            place: (file.name.to_string(), 1),
            budget: LARGEST.saturating_sub(file.length()),
            files: vec![file],
            includes: 0,
        }
    }

    /// The file and line at the end of the last token.
    pub(super) fn place(&self) -> (String, usize) {
        self.place.clone()
    }

    /// Returns the next token. After the end of an included file, reading continues in the file
    /// that includes it.
    pub(super) fn token(&mut self, definitions: &Definitions) -> Result<Token, Problem> {
        loop {
            let Some(file) = self.files.last_mut() else {
                return Ok(Token::End);
            };
            let token = file.token(definitions);
            if file.name.as_ref() != self.place.0 {
                self.place.0 = file.name.to_string();
            }
            self.place.1 = file.line;
            match token? {
                Token::End if self.files.len() > 1 => {
                    self.files.pop();
                }
                token => {
                    let cost = match &token {
                        Token::Text(text) => text.len(),
                        Token::Bytes(bytes) => bytes.len(),
                        _ => 1,
                    };
                    self.spend(cost)?;
                    return Ok(token);
                }
            }
        }
    }

    /// Continues with another file.
    pub(super) fn include(&mut self, path: &str) -> Result<(), Problem> {
        self.includes += 1;
        if self.files.len() > DEPTH {
            return Err(Problem::IncludeDepth);
        }
        if self.includes > INCLUDES {
            return Err(Problem::Includes);
        }
        let file = self.resolve(path);
        let file = Path::new(&file);
        // The first two reasons are fwup's.
        let bytes = regular(file)
            .and_then(|()| read_limited(file))
            .map_err(|error| Problem::Include {
                path: path.to_owned(),
                reason: match error.kind() {
                    io::ErrorKind::NotFound => "File not found".to_owned(),
                    io::ErrorKind::InvalidInput => "Not a regular file".to_owned(),
                    _ => error.to_string(),
                },
            })?;
        self.spend(bytes.len())?;
        let folder = file.parent().map(Path::to_owned).unwrap_or_default();
        let lexer = Lexer::new(bytes, &file.to_string_lossy(), folder);
        self.files.push(lexer);
        Ok(())
    }

    /// Resolves a path from the folder of the current file.
    pub(super) fn resolve(&self, path: &str) -> String {
        self.files.last().map_or_else(
            || path.to_owned(),
            |file| {
                // fwup takes a path that starts with '~' as absolute.
                if path.starts_with('~') {
                    return path.to_owned();
                }
                file.folder.join(path).to_string_lossy().into_owned()
            },
        )
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Problem> {
        let left = self.budget.checked_sub(bytes);
        self.budget = left.ok_or(Problem::TooLarge)?;
        Ok(())
    }
}

/// Refuses a folder, a pipe or a device as [`io::ErrorKind::InvalidInput`].
fn regular(path: &Path) -> io::Result<()> {
    if path.metadata()?.is_file() {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

/// Reads at most [`LARGEST`] bytes of a file and one more, to detect a file that exceeds the limit.
pub(super) fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
