// SPDX-License-Identifier: MIT OR Apache-2.0

//! Device trees for `-dtb`: QEMU's own, decompiled by dtc, changed as text, and compiled again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::machine::Machine;
use crate::process;

/// The time limit for QEMU and for dtc.
const LIMIT: Duration = Duration::from_secs(20);

/// A device tree as source text.
#[derive(Clone, Debug)]
pub struct Tree {
    source: String,
}

impl Tree {
    /// Returns the tree that QEMU generates for `machine`; `folder` is for temporary files.
    ///
    /// # Errors
    /// When QEMU or dtc fails.
    pub fn of(machine: Machine, folder: &Path) -> Result<Self> {
        let (dtb, dts) = (folder.join("dumped.dtb"), folder.join("dumped.dts"));
        let machine = machine.machine_option(&format!("dumpdtb={}", dtb.display()));
        process::capture(&mut machine.command(), LIMIT)?;
        dtc("dtb", "dts", &dtb, &dts, &[])?;
        let source = fs::read_to_string(&dts).context("dtc's output")?;
        Ok(Self { source })
    }

    /// Replaces `old`, which must occur exactly once.
    ///
    /// # Errors
    /// When `old` does not occur exactly once.
    pub fn replace(self, old: &str, new: &str) -> Result<Self> {
        let count = self.source.matches(old).count();
        ensure!(
            count == 1,
            "{old:?} is {count} times in the tree:\n{}",
            self.source
        );
        let source = self.source.replace(old, new);
        Ok(Self { source })
    }

    /// Adds a node below the root.
    ///
    /// # Errors
    /// When the tree has no root.
    pub fn node(self, text: &str) -> Result<Self> {
        // In a node, properties precede subnodes, so the new node is added at the end of the root.
        let end = self.source.rfind("};").context("no end of the root")?;
        let (before, after) = self.source.split_at(end);
        Ok(Self {
            source: format!("{before}{text}\n{after}"),
        })
    }

    /// Adds a property to `/chosen`.
    ///
    /// # Errors
    /// When the tree has no such node.
    pub fn chosen(self, property: &str) -> Result<Self> {
        self.replace("chosen {", &format!("chosen {{\n{property}"))
    }

    /// Reserves memory with a `/memreserve/` entry; start and length are in bytes.
    ///
    /// # Errors
    /// When the source does not contain `/dts-v1/;` exactly once.
    pub fn memreserve(self, start: u64, length: u64) -> Result<Self> {
        let entry = format!("/dts-v1/;\n/memreserve/ {start:#x} {length:#x};");
        self.replace("/dts-v1/;", &entry)
    }

    /// Writes the DTB with `padding` bytes of free space at its end.
    ///
    /// # Errors
    /// When dtc rejects the source, or a file cannot be written.
    pub fn write(&self, path: &Path, padding: usize) -> Result<PathBuf> {
        let dts = path.with_extension("dts");
        fs::write(&dts, &self.source)?;
        dtc("dts", "dtb", &dts, path, &["-p", &padding.to_string()])?;
        Ok(path.to_owned())
    }
}

fn dtc(from: &str, to: &str, input: &Path, output: &Path, more: &[&str]) -> Result<()> {
    let mut command = Command::new("dtc");
    command.args(["-q", "-I", from, "-O", to]).args(more);
    command.arg("-o").arg(output).arg(input);
    process::capture(&mut command, LIMIT)?;
    Ok(())
}
