// SPDX-License-Identifier: MIT OR Apache-2.0

//! Loaders with one changed instruction or value.

use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use goblin::elf::Elf;
use goblin::elf::program_header::{PF_X, PT_LOAD};

use qemu_tests::harness::gdb::{self, Access, Stub};
use qemu_tests::harness::machine::{Accelerator, Machine};

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

/// Writes a copy of `elf` to `copy` in which `change` has replaced instructions, at least one.
pub(super) fn rewrite(elf: &Path, copy: &Path, change: fn(u32) -> Option<u32>) -> Result<()> {
    let mut bytes = fs::read(elf)?;
    let parsed = Elf::parse(&bytes)?;
    let mut headers = parsed.program_headers.iter();
    let is_code = |kind: u32, flags: u32| kind == PT_LOAD && flags & PF_X != 0;
    let code = headers.find(|header| is_code(header.p_type, header.p_flags));
    let code = code.context("no code")?.file_range();
    let mut changed = 0;
    for word in bytes[code].as_chunks_mut().0 {
        if let Some(other) = change(u32::from_le_bytes(*word)) {
            *word = other.to_le_bytes();
            changed += 1;
        }
    }
    ensure!(changed > 0, "no instruction to change");
    fs::write(copy, bytes)?;
    Ok(())
}

/// Runs `machine`, emulated, until it accesses one of the `watched` addresses. Returns the two
/// addresses of which one is that of the instruction. `socket` is a path for QEMU's GDB stub.
pub(super) fn find_access(
    machine: &Machine,
    socket: &Path,
    access: Access,
    watched: Range<u64>,
) -> Result<[u64; 2]> {
    let machine = machine.clone().accelerator(Accelerator::Tcg);
    let _running = machine.arguments(gdb::arguments(socket)).start()?;
    let mut stub = Stub::connect(socket)?;
    let counter = stub.run_to_access(access, watched)?;
    Ok([counter, counter - 4])
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
