// SPDX-License-Identifier: MIT OR Apache-2.0

//! The code symbols of an ELF by address.

use std::ops::Range;

use goblin::elf::Elf;
use goblin::elf::section_header::SHF_EXECINSTR;
use goblin::elf::sym::{STT_FUNC, STT_NOTYPE};

/// A function, or a label in assembly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Its name, without the compiler's hash.
    pub name: String,
    /// The address of its first byte.
    pub address: u64,
    /// Its size in bytes; 0 for a label, which extends to the next symbol.
    pub size: u64,
}

/// The code symbols of an ELF, and its range of code.
#[derive(Clone, Debug)]
pub struct Symbols {
    /// The ELF's entry point.
    pub entry: u64,
    /// The lowest address of the ELF's code.
    pub start: u64,
    /// One past the highest address.
    pub end: u64,
    symbols: Vec<Symbol>,
}

impl Symbols {
    /// Reads the symbols of the ELF `bytes`.
    ///
    /// # Errors
    /// When `bytes` are not an ELF.
    pub fn parse(bytes: &[u8]) -> Result<Self, goblin::error::Error> {
        let elf = Elf::parse(bytes)?;
        let code: Vec<bool> = elf
            .section_headers
            .iter()
            .map(|section| section.sh_flags & u64::from(SHF_EXECINSTR) != 0)
            .collect();
        let ranges = elf.program_headers.iter().filter(|it| it.is_executable());
        let ranges: Vec<Range<u64>> = ranges
            .map(|header| header.p_vaddr..header.p_vaddr.saturating_add(header.p_memsz))
            .collect();
        let start = ranges.iter().map(|range| range.start).min();
        let end = ranges.iter().map(|range| range.end).max();
        let symbols = elf.syms.iter().filter_map(|symbol| {
            let name = elf.strtab.get_at(symbol.st_name)?;
            let is_code = code.get(symbol.st_shndx) == Some(&true)
                && matches!(symbol.st_type(), STT_FUNC | STT_NOTYPE);
            // `$x` and `$d` mark code and data (ELF for the Arm 64-bit Architecture, "Mapping
            // symbols").
            let is_mark = name.is_empty() || name.starts_with('$') || name.starts_with(".L");
            (is_code && !is_mark).then(|| Symbol {
                name: format!("{:#}", rustc_demangle::demangle(name)),
                address: symbol.st_value,
                size: symbol.st_size,
            })
        });
        Ok(Self::new(
            elf.entry,
            start.unwrap_or(0)..end.unwrap_or(0),
            symbols.collect(),
        ))
    }

    /// Creates the table from `symbols` in any order.
    #[must_use]
    pub fn new(entry: u64, range: Range<u64>, mut symbols: Vec<Symbol>) -> Self {
        // `at` uses the last symbol at an address: a function, which has a size, is sorted after
        // labels.
        symbols.sort_by(|a, b| (a.address, a.size, &a.name).cmp(&(b.address, b.size, &b.name)));
        Self {
            entry,
            start: range.start,
            end: range.end,
            symbols,
        }
    }

    /// Returns the symbol that contains `address`.
    #[must_use]
    pub fn at(&self, address: u64) -> Option<&Symbol> {
        let after = self
            .symbols
            .partition_point(|symbol| symbol.address <= address);
        let symbol = self.symbols[..after].last()?;
        (symbol.size == 0 || address - symbol.address < symbol.size).then_some(symbol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_the_last_symbol_that_holds_it() {
        let symbol = |name: &str, address, size| Symbol {
            name: name.to_owned(),
            address,
            size,
        };
        let symbols = Symbols::new(
            0x100,
            0x100..0x200,
            vec![
                symbol("function", 0x110, 8),
                symbol("label at it", 0x110, 0),
                symbol("label", 0x100, 0),
            ],
        );
        let name = |address| symbols.at(address).map(|symbol| symbol.name.as_str());
        assert_eq!(name(0xff), None);
        assert_eq!(name(0x10c), Some("label"));
        assert_eq!(name(0x114), Some("function"));
        assert_eq!(name(0x118), None, "past its end");
    }

    #[test]
    fn what_is_no_elf_has_no_symbols() {
        Symbols::parse(b"not one").unwrap_err();
    }
}
