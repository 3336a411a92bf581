// SPDX-License-Identifier: MIT OR Apache-2.0

//! The loader's size: code by source file, and constants.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use addr2line::Loader;
use goblin::elf::Elf;
use goblin::elf::section_header::{SHF_ALLOC, SHF_EXECINSTR, SHT_NOBITS};
use serde::Serialize;
use thiserror::Error;

use super::budget::grouped;
use super::execution::INSTRUCTION;

/// The reason that the bytes cannot be attributed.
#[derive(Debug, Error)]
pub enum SizeError {
    /// The file is not an ELF.
    #[error("cannot read {path}")]
    Elf {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: goblin::error::Error,
    },
    /// The file or its line tables cannot be read.
    #[error("cannot read the lines of {path}: {what}")]
    Lines {
        /// The file.
        path: PathBuf,
        /// The cause.
        what: String,
    },
}

/// A part of the loader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// A file of `loader/src` or `loader/core/src`, a crate, or a kind of data.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Attributes the `loaded` bytes of an ELF with line tables to parts, the largest part first.
///
/// # Errors
/// When the file is not an ELF, or its line tables are invalid.
pub fn parts(path: &Path, loaded: u64) -> Result<Vec<Part>, SizeError> {
    let lines = |what: String| SizeError::Lines {
        path: path.into(),
        what,
    };
    let bytes = std::fs::read(path).map_err(|error| lines(error.to_string()))?;
    let elf = Elf::parse(&bytes).map_err(|source| SizeError::Elf {
        path: path.into(),
        source,
    })?;
    let loader = Loader::new(path).map_err(|error| lines(error.to_string()))?;
    let mut sizes = BTreeMap::<String, u64>::new();
    let mut sections = 0;
    for section in &elf.section_headers {
        if section.sh_flags & u64::from(SHF_ALLOC) == 0 || section.sh_type == SHT_NOBITS {
            continue;
        }
        sections += section.sh_size;
        if section.sh_flags & u64::from(SHF_EXECINSTR) == 0 {
            let name = elf.shdr_strtab.get_at(section.sh_name).unwrap_or_default();
            *sizes.entry(constants(name)).or_default() += section.sh_size;
            continue;
        }
        let range = section.sh_addr..section.sh_addr + section.sh_size;
        for address in range.step_by(INSTRUCTION as usize) {
            let frames = frames(&loader, address).map_err(|error| lines(error.to_string()))?;
            let symbol = loader.find_symbol(address).unwrap_or_default();
            *sizes.entry(part(&frames, symbol)).or_default() += INSTRUCTION;
        }
    }
    sizes.insert(
        "gaps between sections".to_owned(),
        loaded.saturating_sub(sections),
    );
    let mut parts: Vec<_> = sizes
        .into_iter()
        .filter(|(_, bytes)| *bytes > 0)
        .map(|(name, bytes)| Part { name, bytes })
        .collect();
    parts.sort_by(|a, b| (b.bytes, &a.name).cmp(&(a.bytes, &b.name)));
    Ok(parts)
}

/// Returns the source files of the functions at `address`, the innermost inlined one first.
fn frames(loader: &Loader, address: u64) -> Result<Vec<String>, addr2line::gimli::Error> {
    let mut files = Vec::new();
    let Ok(mut frames) = loader.find_frames(address) else {
        return Ok(files);
    };
    while let Some(frame) = frames.next()? {
        if let Some(file) = frame.location.and_then(|location| location.file) {
            files.push(file.to_owned());
        }
    }
    Ok(files)
}

fn constants(section: &str) -> String {
    match section {
        ".rodata" => "texts and other constants".to_owned(),
        ".data" => "settings and variables".to_owned(),
        other => other.to_owned(),
    }
}

/// Returns the part that an instruction belongs to: the innermost file outside of the standard
/// library, whose functions are inlined everywhere. Assembly has no line information, so its symbol
/// decides.
fn part(files: &[String], symbol: &str) -> String {
    let own = files.iter().find_map(|file| own(file));
    own.unwrap_or_else(|| {
        let name = format!("{:#}", rustc_demangle::demangle(symbol));
        let mut path = name.trim_start_matches('<').split("::");
        match (path.next(), path.next(), path.next()) {
            (Some("little_loader"), Some(folder), Some(module)) if files.is_empty() => {
                format!("{folder}/{module}.rs")
            }
            (Some("_start"), ..) => "cpu/reset.rs".to_owned(),
            _ if symbol.starts_with("OUTLINED") => "shared by functions".to_owned(),
            _ => "core and compiler_builtins".to_owned(),
        }
    })
}

/// Returns the name of a loader's file, or the crate of another file; `None` for the standard
/// library.
fn own(file: &str) -> Option<String> {
    if let Some((_, name)) = file.rsplit_once("loader/core/src/") {
        return Some(format!("core/{name}"));
    }
    if let Some((_, name)) = file.rsplit_once("loader/src/") {
        return Some(name.to_owned());
    }
    let mut folders = file.split('/').rev();
    // A crate's folder is named `name-version`.
    let name = folders.find_map(|folder| {
        let (name, version) = folder.rsplit_once('-')?;
        let mut numbers = version.split('.');
        let is_version =
            numbers.clone().count() == 3 && numbers.all(|number| number.parse::<u32>().is_ok());
        is_version.then_some(name)
    })?;
    (name != "compiler_builtins").then(|| name.to_owned())
}

/// Formats the parts as a Markdown table for the book.
#[must_use]
pub fn markdown(parts: &[Part]) -> String {
    let total: u64 = parts.iter().map(|part| part.bytes).sum();
    let mut text = String::from("| part | bytes |\n| --- | ---: |\n");
    for part in parts {
        text += &format!("| {} | {} |\n", part.name, grouped(part.bytes));
    }
    text + &format!("| all | {} |\n", grouped(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part_of(files: &[&str], symbol: &str) -> String {
        let files: Vec<_> = files.iter().map(|file| (*file).to_owned()).collect();
        part(&files, symbol)
    }

    #[test]
    fn an_instruction_counts_for_the_innermost_file_that_is_ours_or_a_crates() {
        let core = "library/core/src/slice/mod.rs";
        let crate_file = "virtio-drivers-0.13.0/src/queue.rs";
        let of_home = "/home/x/.cargo/registry/src/index-1949/virtio-drivers-0.13.0/src/queue.rs";
        assert_eq!(
            part_of(
                &[core, "loader/core/src/tree/fdt.rs", "loader/src/main.rs"],
                ""
            ),
            "core/tree/fdt.rs"
        );
        assert_eq!(
            part_of(&[core, crate_file, "loader/src/disk/virtio_blk.rs"], ""),
            "virtio-drivers"
        );
        assert_eq!(part_of(&[of_home], ""), "virtio-drivers");
        assert_eq!(
            part_of(&[core], "_RNvNtCs1_4core3fmt5write"),
            "core and compiler_builtins"
        );
        // Naked functions have no line information.
        let naked = "_RNvNtNtCs2bVYhQhq54Y_13little_loader3cpu3el211drop_to_el1";
        assert_eq!(part_of(&[], naked), "cpu/el2.rs");
        assert_eq!(part_of(&[], "OUTLINED_FUNCTION_7"), "shared by functions");
        assert_eq!(part_of(&[], "memcpy"), "core and compiler_builtins");
    }
}
