// SPDX-License-Identifier: MIT OR Apache-2.0

//! Loaders with one changed instruction or value.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use goblin::elf::Elf;
use goblin::elf::program_header::PT_LOAD;

/// Returns the address of the symbol whose name contains `part`.
pub(super) fn symbol(elf: &Path, part: &str) -> Result<u64> {
    let bytes = fs::read(elf)?;
    let elf = Elf::parse(&bytes)?;
    let mut symbols = elf.syms.iter();
    let found = symbols.find(|symbol| {
        let name = elf.strtab.get_at(symbol.st_name);
        name.is_some_and(|name| name.contains(part))
    });
    Ok(found.with_context(|| format!("no symbol {part}"))?.st_value)
}

/// Writes a copy of `elf` to `copy` that has `word` at `address`.
pub(super) fn write(elf: &Path, copy: &Path, address: u64, word: u32) -> Result<()> {
    let mut bytes = fs::read(elf)?;
    let offset = offset(&bytes, address)?;
    let place = bytes.get_mut(offset..offset + 4);
    let place = place.context("the word is beyond the file")?;
    place.copy_from_slice(&word.to_le_bytes());
    fs::write(copy, bytes)?;
    Ok(())
}

/// Returns the word at `address`.
pub(super) fn read(elf: &Path, address: u64) -> Result<u32> {
    let bytes = fs::read(elf)?;
    let offset = offset(&bytes, address)?;
    let word = bytes.get(offset..).and_then(|rest| rest.first_chunk());
    Ok(u32::from_le_bytes(*word.context("beyond the file")?))
}

fn offset(elf: &[u8], address: u64) -> Result<usize> {
    let parsed = Elf::parse(elf)?;
    let mut headers = parsed.program_headers.iter();
    let segment = headers.find(|header| {
        let addresses = header.p_paddr..header.p_paddr + header.p_filesz;
        header.p_type == PT_LOAD && addresses.contains(&address)
    });
    let segment = segment.with_context(|| format!("{address:#x} is not in the file"))?;
    Ok(usize::try_from(
        segment.p_offset + address - segment.p_paddr,
    )?)
}
