// SPDX-License-Identifier: MIT OR Apache-2.0

//! `imagegen loader`

use std::fmt::{self, Write};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use fwup::output::Output;
use imagegen::loader_elf::LoaderElf;
use imagegen::size::Size;
use little_loader_core::settings::Settings;
use little_loader_core::units::{Bytes, Lba};
use serde_json::json;

use super::print::{show, show_json};

#[derive(Debug, Args)]
pub(crate) struct Loader {
    /// The loader's ELF
    elf: PathBuf,
    /// Change a setting in the ELF: env-lba=BLOCK, env-size=SIZE, env-redundant-lba=BLOCK|none
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Write the flat binary, with the changed settings
    #[arg(long, value_name = "FILE")]
    flat: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Loader {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let context = || format!("{}", self.elf.display());
        let bytes =
            fs::read(&self.elf).with_context(|| format!("cannot read {}", self.elf.display()))?;
        let mut elf = LoaderElf::parse(bytes).with_context(context)?;
        elf.check_place().with_context(context)?;
        let mut settings = elf.settings().with_context(context)?;
        for setting in &self.set {
            change(&mut settings, setting)?;
        }
        elf.set_settings(settings).with_context(context)?;
        // All checks come before the first write.
        let flat = match &self.flat {
            Some(path) if is_same(path, &self.elf) => {
                bail!("--flat {}: that is the ELF itself", path.display())
            }
            Some(path) => Some((path, elf.flat().with_context(context)?)),
            None => None,
        };
        if !self.set.is_empty() {
            replace(&self.elf, elf.bytes())?;
        }
        if let Some((path, flat)) = flat {
            replace(path, &flat)?;
        }
        if self.json {
            show_json(&as_json(&elf, &settings))?;
        } else {
            let mut text = String::new();
            write(&elf, &settings, &mut text)?;
            show(text)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns whether two paths lead to the same file.
fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

fn change(settings: &mut Settings, setting: &str) -> anyhow::Result<()> {
    let (name, value) = setting
        .split_once('=')
        .with_context(|| format!("--set {setting}: write NAME=VALUE"))?;
    let block = || {
        value
            .parse()
            .map(Lba)
            .with_context(|| format!("--set {setting}: \"{value}\" is not a block number"))
    };
    match name {
        "env-lba" => settings.env.lba = block()?,
        "env-redundant-lba" if value == "none" => settings.env.redundant_lba = None,
        "env-redundant-lba" => settings.env.redundant_lba = Some(block()?),
        "env-size" => {
            let size: Size = value.parse().with_context(|| format!("--set {setting}"))?;
            let size = u32::try_from(size.0).with_context(|| {
                format!("--set {setting}: larger than the buffer of any loader")
            })?;
            settings.env.size = Bytes(size.into());
        }
        _ => bail!("--set {setting}: the settings are env-lba, env-size and env-redundant-lba"),
    }
    Ok(())
}

fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    let mut output = Output::create(path).with_context(context)?;
    output.write_all(bytes).with_context(context)?;
    output.finish().with_context(context)?;
    Ok(())
}

fn write(elf: &LoaderElf, settings: &Settings, out: &mut String) -> fmt::Result {
    writeln!(out, "entry             {:#x}", elf.entry)?;
    for segment in &elf.segments {
        writeln!(
            out,
            "segment           {:#x}, {} bytes from the file, {} in memory, {}",
            segment.address,
            segment.file_size,
            segment.memory_size,
            segment.flags.iter().collect::<String>()
        )?;
    }
    writeln!(
        out,
        "size              text {}, data {}, bss {}",
        elf.sizes.text, elf.sizes.data, elf.sizes.bss
    )?;
    writeln!(out, "env-lba           {}", settings.env.lba)?;
    writeln!(out, "env-size          {}", settings.env.size.0)?;
    let redundant = settings
        .env
        .redundant_lba
        .map_or_else(|| "none".to_owned(), |lba| lba.to_string());
    writeln!(out, "env-redundant-lba {redundant}")?;
    writeln!(
        out,
        "buffer            {} bytes for all copies",
        settings.buffer_size.0
    )?;
    Ok(())
}

fn as_json(elf: &LoaderElf, settings: &Settings) -> serde_json::Value {
    let segments: Vec<_> = elf
        .segments
        .iter()
        .map(|segment| {
            json!({
                "address": segment.address,
                "file_size": segment.file_size,
                "memory_size": segment.memory_size,
                "flags": segment.flags.iter().collect::<String>(),
            })
        })
        .collect();
    json!({
        "entry": elf.entry,
        "segments": segments,
        "text": elf.sizes.text,
        "data": elf.sizes.data,
        "bss": elf.sizes.bss,
        "settings": {
            "env_lba": settings.env.lba.0,
            "env_size": settings.env.size.0,
            "env_redundant_lba": settings.env.redundant_lba.map(|lba| lba.0),
            "buffer_size": settings.buffer_size.0,
        },
    })
}
