// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks made while a configuration is read to make an archive, so that errors name their line and
//! every archive can be applied.

use std::fs;

use super::convert;
use super::definitions::Definitions;
use super::error::Problem;
use super::gpt_section;
use super::schema::{self, Entry, Kind};
use super::tree::{Tree, TreeValue};
use crate::archive::entry_of;
use crate::firmware::action::Action;
use crate::firmware::call::CallError;
use crate::firmware::env_section::EnvSection;
use crate::firmware::gpt::GptPartition;
use crate::firmware::mbr::{BOOT_CODE, Mbr, Partition};
use crate::firmware::model::{Call, Firmware, Resource, Stage, Value};
use crate::firmware::requirement::Requirement;
use crate::hex;

/// Checks a text that goes into the archive: an unclosed variable would extend into the text that
/// follows in `meta.conf`.
pub(super) fn text(text: &str) -> Result<(), Problem> {
    match text.rfind("${") {
        Some(start) if !text[start..].contains('}') => Err(Problem::OpenVariable),
        _ => Ok(()),
    }
}

/// Checks an action or a requirement in the section `within`, after the calls `before` it.
pub(super) fn call(
    call: &Call,
    kind: Kind,
    before: &[Call],
    within: &str,
    declared: &Firmware,
) -> Result<(), Problem> {
    call.arguments
        .iter()
        .try_for_each(|argument| text(argument))?;
    // An archive is read once, so only one action can use a resource's data.
    let reads = |call: &Call| {
        matches!(
            call.name.as_str(),
            "raw_write" | "path_write" | "pipe_write" | "ubi_volume_write"
        )
    };
    let is_repeated = reads(call) && before.iter().any(reads);
    if is_repeated {
        return Err(Problem::Repeated(call.name.clone()));
    }
    let checked = match kind {
        Kind::Requirement => Requirement::parse(call, declared, Stage::Create).map(|_| ()),
        _ => Action::parse(call, within, declared, Stage::Create).map(|_| ()),
    };
    checked.map_err(|error| match error {
        CallError::Missing { kind, title, .. } => Problem::Missing { kind, title },
        error => Problem::Call(error),
    })
}

/// Checks a titled section before its contents are read.
pub(super) fn before(kind: &str, title: &str, declared: &Firmware) -> Result<(), Problem> {
    text(title)?;
    match kind {
        "file-resource" => match entry_of(title) {
            Ok(_) => Ok(()),
            Err(what) => Err(Problem::Section {
                kind: kind.to_owned(),
                title: title.to_owned(),
                what: what.to_owned(),
            }),
        },
        "on-resource" if declared.resource(title).is_none() => Err(Problem::Missing {
            kind: "file-resource",
            title: title.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Checks a titled section with its contents and adds it to `declared`, the sections that actions
/// can refer to.
pub(super) fn after(
    entry: &'static Entry,
    title: &str,
    tree: &mut Tree,
    declared: &mut Firmware,
    definitions: &mut Definitions,
) -> Result<(), Problem> {
    let kind = entry.name;
    let failed = |what: String| Problem::Section {
        kind: kind.to_owned(),
        title: title.to_owned(),
        what,
    };
    match kind {
        "file-resource" => {
            resource(title, tree, definitions).map_err(failed)?;
            declared.resources.push(Resource {
                name: title.to_owned(),
                ..Resource::default()
            });
        }
        "mbr" => {
            read_boot_code(entry, tree).map_err(failed)?;
            let section = convert::section(entry, title, tree);
            let mbr = Mbr::parse(&section, Stage::Create).map_err(|error| failed(error.what))?;
            mbr.check_layout(0).map_err(failed)?;
            declared.mbrs.push(section);
        }
        "gpt" => {
            let section = gpt_section::gpt(entry, title, tree).map_err(failed)?;
            declared.gpts.push(section);
        }
        "partition" => {
            let section = convert::section(entry, title, tree);
            if schema::is_of_gpt(entry) {
                GptPartition::parse(&section, Stage::Create).map_err(failed)?;
            } else {
                Partition::parse(&section, Stage::Create).map_err(failed)?;
            }
        }
        "uboot-environment" => {
            let section = convert::section(entry, title, tree);
            EnvSection::parse(&section).map_err(|error| failed(error.error.to_string()))?;
            declared.environments.push(section);
        }
        _ => {}
    }
    Ok(())
}

/// Replaces the path of the boot code with the code.
fn read_boot_code(entry: &'static Entry, tree: &mut Tree) -> Result<(), String> {
    let Kind::Titled(schema) = entry.kind else {
        return Ok(());
    };
    let Some(TreeValue::One(path)) = tree.value(schema, "bootstrap-code-host-path") else {
        return Ok(());
    };
    let Some((at, _)) = schema::find(schema, "bootstrap-code") else {
        return Ok(());
    };
    if tree.values.contains_key(&at) {
        return Ok(());
    }
    let path = path.to_string();
    let bytes = fs::read(&path)
        .map_err(|error| format!("cannot read the bootstrap code '{path}': {error}"))?;
    let code = bytes.get(..BOOT_CODE).ok_or_else(|| {
        format!(
            "the bootstrap code '{path}' has {} bytes, it must have {BOOT_CODE}",
            bytes.len()
        )
    })?;
    let code = Value::Text(hex::encode(code));
    tree.values.insert(at, TreeValue::One(code));
    Ok(())
}

/// Checks a resource, and defines `FWUP_SIZE_…` as the size of its files in bytes.
fn resource(title: &str, tree: &Tree, definitions: &mut Definitions) -> Result<(), String> {
    let options = convert::options(schema::RESOURCE, tree);
    let paths = options.paths("host-path");
    let has_contents = tree.value(schema::RESOURCE, "contents").is_some();
    match (paths, has_contents) {
        (None, false) => return Err("host-path or contents must be set".to_owned()),
        (Some(_), true) => {
            return Err("only one of host-path and contents can be set".to_owned());
        }
        _ => {}
    }
    let sizes = paths.map(|paths| {
        let sizes = paths
            .iter()
            .map(|path| fs::metadata(path).map(|found| found.len()));
        sizes.sum::<Result<u64, _>>()
    });
    // A missing file is reported when the archive is made: it may be created before then.
    if let Some(Ok(size)) = sizes {
        let name = format!("FWUP_SIZE_{title}").replace(['-', '/', '.'], "_");
        definitions.set(name, size.to_string());
    }
    Ok(())
}
