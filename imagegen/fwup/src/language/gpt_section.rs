// SPDX-License-Identifier: MIT OR Apache-2.0

//! A `gpt` section while an archive is made.

use super::convert;
use super::schema::{self, Entry, Kind};
use super::tree::{Tree, TreeValue};
use crate::firmware::gpt::{Gpt, flags};
use crate::firmware::model::{Section, Stage, Value};

/// Checks a section, and returns it as it goes into the archive.
///
/// # Errors
///
/// Those of [`Gpt::parse`] and [`Gpt::check_layout`].
pub(super) fn gpt(entry: &'static Entry, title: &str, tree: &mut Tree) -> Result<Section, String> {
    if let Kind::Titled(schema) = entry.kind {
        for (at, title, partition) in &mut tree.sections {
            merge_flags(&schema[*at], title, partition)?;
        }
    }
    let section = convert::section(entry, title, tree);
    let gpt = Gpt::parse(&section, Stage::Create).map_err(|error| error.what)?;
    gpt.check_layout()?;
    Ok(section)
}

/// Replaces `boot` by the attribute that it sets, as fwup does: releases of fwup before 1.7 do not
/// know `boot`. Flags of 0 are the default, which an archive omits.
fn merge_flags(entry: &'static Entry, title: &str, partition: &mut Tree) -> Result<(), String> {
    let Kind::Titled(schema) = entry.kind else {
        return Ok(());
    };
    let place = |name| schema::find(schema, name).map(|(at, _)| at);
    let (Some(flags_at), Some(boot_at)) = (place("flags"), place("boot")) else {
        return Ok(());
    };
    let section = convert::section(entry, title, partition);
    let is_boot = section.options.boolean("boot") == Some(true);
    let Some(merged) = flags(&section, Stage::Create)? else {
        // Only the device can resolve the flags; it merges them.
        return Ok(());
    };
    if is_boot {
        let text = Value::Text(format!("{merged:#x}"));
        partition.values.insert(flags_at, TreeValue::One(text));
        partition.values.remove(&boot_at);
    } else if section.options.text("flags") == Some("0") {
        partition.values.remove(&flags_at);
    }
    Ok(())
}
