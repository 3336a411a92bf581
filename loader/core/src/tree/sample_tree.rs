// SPDX-License-Identifier: MIT OR Apache-2.0

//! Builds valid and invalid DTBs for tests, word by word.

extern crate std;

use std::vec::Vec;

use crate::tree::format::{
    BEGIN_NODE, END, END_NODE, HEADER_SIZE, MAGIC, PROP, RESERVATION, TOTALSIZE, put_word,
};

/// A DTB under construction.
#[derive(Clone, Default)]
pub(super) struct SampleTree {
    structure: Vec<u8>,
    strings: Vec<u8>,
}

impl SampleTree {
    /// Adds a word to the structure block.
    pub(super) fn word(mut self, word: u32) -> Self {
        self.structure.extend(word.to_be_bytes());
        self
    }

    /// Starts a node.
    pub(super) fn begin(self, name: &[u8]) -> Self {
        self.word(BEGIN_NODE).padded(name, 1)
    }

    /// Ends a node.
    pub(super) fn end(self) -> Self {
        self.word(END_NODE)
    }

    /// Adds a property with a new string for its name.
    pub(super) fn property(mut self, name: &[u8], value: &[u8]) -> Self {
        let at = self.strings.len();
        self.strings.extend(name);
        self.strings.push(0);
        self.property_at(at, value)
    }

    /// Adds a property whose name is at an offset in the strings block.
    pub(super) fn property_at(self, name: usize, value: &[u8]) -> Self {
        self.word(PROP)
            .word(value.len() as u32)
            .word(name as u32)
            .padded(value, 0)
    }

    /// Adds bytes to the strings block.
    pub(super) fn strings(mut self, bytes: &[u8]) -> Self {
        self.strings.extend(bytes);
        self
    }

    /// Returns the DTB, with the token that ends the structure block.
    pub(super) fn finish(self) -> Vec<u8> {
        self.word(END).finish_without_end()
    }

    /// Returns the DTB without adding that token.
    pub(super) fn finish_without_end(self) -> Vec<u8> {
        let structure = HEADER_SIZE + RESERVATION;
        let strings = structure + self.structure.len();
        let fields = [
            MAGIC as usize,
            0,
            structure,
            strings,
            HEADER_SIZE,
            17,
            16,
            0,
            self.strings.len(),
            self.structure.len(),
        ];
        let mut dtb: Vec<u8> = fields
            .iter()
            .flat_map(|field| (*field as u32).to_be_bytes())
            .collect();
        dtb.extend([0; RESERVATION]);
        dtb.extend(self.structure);
        dtb.extend(self.strings);
        let size = dtb.len() as u32;
        put_word(&mut dtb, TOTALSIZE, size);
        dtb
    }

    fn padded(mut self, bytes: &[u8], nul: usize) -> Self {
        self.structure.extend(bytes);
        let length = self.structure.len() + nul;
        self.structure.resize(length.next_multiple_of(4), 0);
        self
    }
}
