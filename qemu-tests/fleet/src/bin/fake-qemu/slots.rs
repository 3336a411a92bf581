// SPDX-License-Identifier: MIT OR Apache-2.0

//! The slots of the guest, in a small file beside its disk.

use std::fs;
use std::io;
use std::path::Path;

use crate::archive::Archive;

const FILE: &str = "fake-slots";

/// The state of the slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slots {
    /// The active slot.
    pub(crate) active: char,
    /// Boots left of its trial; without one, it is validated.
    pub(crate) trial: Option<u32>,
    /// Whether the image in the active slot never validates.
    pub(crate) is_bad: bool,
    /// The versions in slots a and b.
    versions: [String; 2],
}

impl Slots {
    /// Reads the file; a new guest runs slot a.
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string(FILE).unwrap_or_default();
        let mut words = text.split_whitespace();
        let mut next = || words.next();
        Self {
            active: next().and_then(|word| word.chars().next()).unwrap_or('a'),
            trial: next().and_then(|word| word.parse().ok()),
            is_bad: next() == Some("bad"),
            versions: [(); 2].map(|()| next().unwrap_or("1.0.0").to_owned()),
        }
    }

    /// Writes the file, whole or not at all.
    pub(crate) fn write(&self) -> io::Result<()> {
        let trial = self
            .trial
            .map_or_else(|| "-".to_owned(), |left| left.to_string());
        let kind = if self.is_bad { "bad" } else { "good" };
        let new = Path::new(FILE).with_extension("new");
        let [a, b] = &self.versions;
        fs::write(&new, format!("{} {trial} {kind} {a} {b}\n", self.active))?;
        fs::rename(new, FILE)
    }

    /// Decides what to boot, as the loader does, and returns the slot and the reason.
    pub(crate) fn boot(&mut self) -> io::Result<(char, &'static str)> {
        let reason = match self.trial {
            None => return Ok((self.active, "active")),
            Some(0) => {
                self.active = self.other();
                self.trial = None;
                self.is_bad = false;
                "reverted"
            }
            Some(left) => {
                self.trial = Some(left - 1);
                "trial"
            }
        };
        self.write()?;
        Ok((self.active, reason))
    }

    /// Writes the other slot, and puts it on trial.
    pub(crate) fn update(&mut self, archive: &Archive) {
        self.active = self.other();
        self.trial = Some(1);
        self.is_bad = archive.is_bad;
        self.versions[self.index()].clone_from(&archive.version);
    }

    /// Returns the version in the active slot.
    pub(crate) fn version(&self) -> &str {
        &self.versions[self.index()]
    }

    fn index(&self) -> usize {
        usize::from(self.active != 'a')
    }

    /// Returns the slot that is not active.
    pub(crate) fn other(&self) -> char {
        if self.active == 'a' { 'b' } else { 'a' }
    }
}
