// SPDX-License-Identifier: MIT OR Apache-2.0

//! `imagegen initrd`

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use fwup::output::Output;
use imagegen::initrd::{Busybox, Initrd as Parts};
use imagegen::modules::{LoadOrder, ModuleTree};

use super::print::show;

/// Where a root file system has busybox.
const PLACES: [&str; 2] = ["usr/bin/busybox", "bin/busybox"];

#[derive(Debug, Args)]
pub(crate) struct Initrd {
    /// The modules to load, with all that they depend on; those built into the kernel are left out
    #[arg(
        long,
        required = true,
        value_name = "NAME,…",
        value_delimiter = ',',
        value_parser = NonEmptyStringValueParser::new()
    )]
    modules: Vec<String>,
    /// The folder with lib/modules/RELEASE: an unpacked kernel package or a root file system
    #[arg(long, value_name = "DIR", default_value = "/")]
    tree: PathBuf,
    /// The release of the kernel, if the folder has modules of several
    #[arg(long)]
    release: Option<String>,
    /// The static busybox for arm64 to put in; the default is the one of the root file system
    #[arg(long, value_name = "FILE")]
    busybox: Option<PathBuf>,
    /// The initrd to write
    #[arg(short, long, value_name = "FILE", required_unless_present = "list")]
    output: Option<PathBuf>,
    /// List the modules in the order in which they load
    #[arg(long)]
    list: bool,
}

impl Initrd {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let tree = ModuleTree::open(&self.tree, self.release.as_deref())?;
        let order = tree.load_order(&self.modules)?;
        let list = self.list.then(|| list(&order, &self.tree)).transpose()?;
        if let Some(output) = &self.output {
            let path = self.busybox_path()?;
            let busybox =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let busybox = Busybox::new(busybox).with_context(|| path.display().to_string())?;
            let mut parts = Parts::new(busybox);
            for module in order.modules {
                parts = parts.module(module.file_name(), module.contents);
            }
            let context = || format!("cannot write {}", output.display());
            let bytes = parts.build().with_context(context)?;
            let mut file = Output::create(output).with_context(context)?;
            file.write_all(&bytes).with_context(context)?;
            file.finish().with_context(context)?;
        }
        if let Some(list) = list {
            show(list)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn busybox_path(&self) -> anyhow::Result<PathBuf> {
        if let Some(path) = &self.busybox {
            return Ok(path.clone());
        }
        let found = PLACES.map(|place| self.tree.join(place));
        match found.into_iter().find(|path| path.is_file()) {
            Some(path) => Ok(path),
            None => bail!(
                "{} has no busybox: give a static one for arm64 by --busybox, for example from Debian's package \
                 busybox-static",
                self.tree.display()
            ),
        }
    }
}

/// Returns a line for each module to load, then for each that was requested and is built in.
fn list(order: &LoadOrder, tree: &Path) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for module in &order.modules {
        let path = module.path.strip_prefix(tree).unwrap_or(&module.path);
        writeln!(text, "{:<20} {}", module.name, path.display())?;
    }
    for name in &order.built_in {
        writeln!(text, "{name:<20} built in")?;
    }
    Ok(text)
}
