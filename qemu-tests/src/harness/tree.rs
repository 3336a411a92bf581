// SPDX-License-Identifier: MIT OR Apache-2.0

//! Device trees for `-dtb`: QEMU's own, taken apart by dtc, changed as text, and put together
//! again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::harness::machine::Machine;
use crate::harness::process;

/// How long QEMU and dtc may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A device tree as source text.
#[derive(Clone, Debug)]
pub struct Tree {
    source: String,
}

impl Tree {
    /// The tree that QEMU makes for `machine`; `folder` is for files in between.
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
    /// When it does not.
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
        // Properties come first, and the root has some: the new node goes to its end.
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

    /// Reserves memory by a `/memreserve/` entry.
    ///
    /// # Errors
    /// When the source has no first line.
    pub fn memreserve(self, start: u64, length: u64) -> Result<Self> {
        let entry = format!("/dts-v1/;\n/memreserve/ {start:#x} {length:#x};");
        self.replace("/dts-v1/;", &entry)
    }

    /// Writes the DTB, `padding` bytes longer than needed.
    ///
    /// # Errors
    /// When dtc refuses the source.
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
