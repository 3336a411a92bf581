// SPDX-License-Identifier: MIT OR Apache-2.0

//! The loader's code and layout, from its ELF.

use std::collections::BTreeMap;
use std::ops::Range;

use goblin::elf::Elf;
use thiserror::Error;

use super::instruction::{Instruction, decode};
use super::model::Layout;
use crate::bench::symbols::Symbols;

/// The size of an instruction in bytes.
const INSTRUCTION: u64 = 4;

/// The maximum length of an argument; Linux's is 128 KiB (`MAX_ARG_STRLEN`).
const LONGEST_FILTER: usize = 100_000;

/// One past the highest address that a machine uses.
const END_OF_ADDRESSES: u64 = 1 << 48;

/// The start of RAM of a `virt` machine (QEMU, `hw/arm/virt.c`, `VIRT_MEM`).
const RAM_BASE: u64 = 0x4000_0000;

/// The reason that a loader cannot be used.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// The file is not an ELF.
    #[error("the loader is not an ELF")]
    Elf(#[from] goblin::error::Error),
    /// The ELF lacks its code, or a symbol of the linker script.
    #[error("the loader's ELF has no {0}")]
    Missing(&'static str),
}

/// A loader: its instructions that matter to caches, and the places of its memory.
#[derive(Clone, Debug)]
pub struct Program {
    symbols: Symbols,
    instructions: BTreeMap<u64, Instruction>,
    pub(super) code: Range<u64>,
    /// All of the loader's memory, with its buffers.
    image: Range<u64>,
    /// The rings of its virtqueue.
    rings: u64,
}

fn instructions(start: u64, words: impl IntoIterator<Item = u32>) -> BTreeMap<u64, Instruction> {
    let addresses = (start..).step_by(INSTRUCTION as usize);
    let decoded = addresses.zip(words.into_iter().map(decode));
    decoded
        .filter_map(|(address, instruction)| Some((address, instruction?)))
        .collect()
}

impl Program {
    /// Reads the loader's ELF. The flat binary has the same addresses.
    ///
    /// # Errors
    /// When the file is not an ELF, or lacks a symbol of the linker script.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProgramError> {
        let elf = Elf::parse(bytes)?;
        let symbol = |name: &'static str| {
            let mut symbols = elf.syms.iter();
            let found = symbols.find(|symbol| elf.strtab.get_at(symbol.st_name) == Some(name));
            found
                .map(|symbol| symbol.st_value)
                .ok_or(ProgramError::Missing(name))
        };
        let code = elf.program_headers.iter().find(|it| it.is_executable());
        let code = code.ok_or(ProgramError::Missing("code"))?;
        let words = bytes.get(code.file_range()).unwrap_or_default();
        let words = words.as_chunks().0.iter().copied().map(u32::from_le_bytes);
        let instructions = instructions(code.p_vaddr, words);
        Ok(Self {
            symbols: Symbols::parse(bytes)?,
            instructions,
            code: code.vm_range().start as u64..code.vm_range().end as u64,
            image: symbol("__image_start")?..symbol("__image_end")?,
            rings: symbol("__dma_start")?,
        })
    }

    /// Returns what the model has to know of a machine with `memory_mib` MiB of RAM.
    #[must_use]
    pub fn layout(&self, memory_mib: u32) -> Layout {
        Layout {
            ram: RAM_BASE..RAM_BASE + (u64::from(memory_mib) << 20),
            unread: vec![self.image.clone()],
            rings: self.rings,
        }
    }

    pub(super) fn instruction(&self, address: u64) -> Option<Instruction> {
        self.instructions.get(&address).copied()
    }

    /// Returns the name of the function at an address in the code.
    #[must_use]
    pub fn function(&self, address: u64) -> String {
        let symbol = self.symbols.at(address);
        symbol.map_or_else(String::new, |symbol| symbol.name.clone())
    }

    /// Returns a name for an address in the code: its function, and the offset in bytes.
    #[must_use]
    pub fn place(&self, address: u64) -> String {
        match self.symbols.at(address) {
            Some(symbol) => format!("{}+{:#x}", symbol.name, address - symbol.address),
            None => format!("{address:#x}"),
        }
    }

    /// The addresses that QEMU has to log, as an argument of its `-dfilter`: everything except the
    /// loader's instructions that do not matter, which are most of them.
    pub(super) fn filter(&self) -> String {
        // More than needed is logged rather than too long an argument made.
        let mut filter = self.filter_with_gaps(0);
        let mut gap = INSTRUCTION;
        while filter.len() > LONGEST_FILTER {
            filter = self.filter_with_gaps(gap);
            gap *= 2;
        }
        filter
    }

    /// Leaves out only what is longer than `gap` bytes.
    fn filter_with_gaps(&self, gap: u64) -> String {
        let (before, after) = (0..self.code.start, self.code.end..END_OF_ADDRESSES);
        let mut logged = vec![before];
        let ours = self.instructions.keys();
        let ours = ours.map(|address| *address..address + INSTRUCTION);
        for range in ours.chain([after]) {
            match logged.last_mut() {
                Some(last) if last.end + gap >= range.start => last.end = range.end,
                _ => logged.push(range),
            }
        }
        let arguments = logged
            .iter()
            .map(|range| format!("{:#x}+{:#x}", range.start, range.end - range.start));
        arguments.collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
impl Program {
    /// A program of these instructions alone.
    pub(super) fn of_words(start: u64, words: &[u32]) -> Self {
        let code = start..start + INSTRUCTION * words.len() as u64;
        Self {
            symbols: Symbols::new(start, code.clone(), Vec::new()),
            instructions: instructions(start, words.iter().copied()),
            image: code.clone(),
            code,
            rings: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_leaves_out_what_does_not_matter() {
        // add x0, x1, x2; isb; dsb sy; add; isb
        let words = [
            0x8b02_0020,
            0xd503_3fdf,
            0xd503_3f9f,
            0x8b02_0020,
            0xd503_3fdf,
        ];
        let program = Program::of_words(0x1000, &words);
        assert_eq!(
            program.filter(),
            "0x0+0x1000,0x1004+0x8,0x1010+0xffffffffeff0"
        );
        assert_eq!(
            program.filter_with_gaps(4),
            "0x0+0x1000000000000",
            "the gaps have one instruction"
        );
        assert_eq!(program.place(0x1010), "0x1010");
    }
}
