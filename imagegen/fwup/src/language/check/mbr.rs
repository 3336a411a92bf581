// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is checked of a partition table.

use std::fs;

use super::super::integer;
use super::super::parser::{Tree, Value};
use super::super::schema::{self, Entry};
use super::option;
use crate::partitions::{EXTENDED, MOST, PRIMARY, gap, is_extended_type};
use crate::{hex, unhex};

/// The code that starts a PC, in bytes.
const BOOTSTRAP: usize = 440;

/// Reads the code that starts a PC.
pub(super) fn mbr(schema: &'static [Entry], tree: &mut Tree) -> Result<(), String> {
    let code = option(schema, tree, "bootstrap-code").map(str::to_owned);
    let code = match (code, option(schema, tree, "bootstrap-code-host-path")) {
        (None, Some(path)) => {
            let bytes = fs::read(path)
                .map_err(|error| format!("cannot read the bootstrap code '{path}': {error}"))?;
            if bytes.len() < BOOTSTRAP {
                return Err(format!(
                    "the bootstrap code '{path}' has {} bytes, it must have {BOOTSTRAP}",
                    bytes.len()
                ));
            }
            let code = hex(&bytes[..BOOTSTRAP]);
            if let Some((at, _)) = schema::find(schema, "bootstrap-code") {
                tree.values.insert(at, Value::One(code.clone()));
            }
            Some(code)
        }
        (code, _) => code,
    };
    if code.is_some_and(|code| unhex(&code).is_none_or(|code| code.len() != BOOTSTRAP)) {
        return Err(format!(
            "bootstrap-code must be {} hexadecimal digits",
            2 * BOOTSTRAP
        ));
    }
    if let Some(signature) = option(schema, tree, "signature")
        && !signature.contains("${")
        && integer::parse(signature).is_none_or(|number| u32::try_from(number).is_err())
    {
        return Err(format!(
            "signature must be a number of 32 bits, not '{signature}'"
        ));
    }
    partitions(schema, tree)
}

/// A partition as far as it is known: what is left to the device is not.
struct Partition {
    number: usize,
    kind: Option<u32>,
    start: Option<u64>,
    blocks: u64,
    expands: bool,
}

impl Partition {
    fn of(title: &str, schema: &'static [Entry], tree: &Tree) -> Option<Self> {
        let number = |name| option(schema, tree, name).and_then(integer::unsigned);
        Some(Self {
            number: integer::unsigned(title)?.try_into().ok()?,
            kind: number("type").and_then(|kind| kind.try_into().ok()),
            start: number("block-offset"),
            blocks: number("block-count").unwrap_or(0),
            expands: option(schema, tree, "expand") == Some("true"),
        })
    }

    fn is_used(&self) -> bool {
        self.kind != Some(0)
    }

    fn overlaps(&self, other: &Self) -> bool {
        match (self.start, other.start) {
            (Some(start), Some(other_start)) => {
                start < other_start + other.blocks && other_start < start + self.blocks
            }
            _ => false,
        }
    }
}

/// The partitions of an `mbr` together: none may be where another is, and only what comes last can grow.
fn partitions(schema: &'static [Entry], tree: &Tree) -> Result<(), String> {
    let mut partitions: Vec<_> = tree
        .sections
        .iter()
        .filter_map(|(at, title, section)| match schema[*at].kind {
            schema::Kind::Titled(inner) => Partition::of(title, inner, section),
            _ => None,
        })
        .collect();
    partitions.sort_by_key(|partition| partition.number);
    if let Some(twice) = partitions
        .windows(2)
        .find(|pair| pair[0].number == pair[1].number)
    {
        return Err(format!("partition {} is there twice", twice[0].number));
    }
    let find = |number| {
        let mut found = partitions.iter();
        found.find(|partition| partition.number == number)
    };
    let extends = |partition: &Partition| partition.kind.is_some_and(is_extended_type);
    if partitions
        .iter()
        .any(|partition| partition.number >= PRIMARY)
        && !find(EXTENDED).is_some_and(extends)
    {
        return Err(
            "partitions from 4 on are inside partition 3, whose type must then be 0x05 or 0x0f"
                .to_owned(),
        );
    }
    if let Some(gap) = gap(|number| find(number).is_some_and(Partition::is_used)) {
        return Err(format!(
            "there is no partition {gap}, but one behind it; number the partitions from 4 on without gaps"
        ));
    }
    let primary: Vec<_> = partitions
        .iter()
        .filter(|partition| partition.number < PRIMARY && partition.is_used())
        .collect();
    for (at, partition) in primary.iter().enumerate() {
        if extends(partition) && partition.number != EXTENDED {
            return Err(format!(
                "partition {} has the type of an extended partition, which only partition 3 may have",
                partition.number
            ));
        }
        for other in &primary[at + 1..] {
            if partition.expands {
                return Err(format!(
                    "partition {} is behind partition {}, which expands; only the last one may",
                    other.number, partition.number
                ));
            }
            if partition.overlaps(other) {
                return Err(format!(
                    "partitions {} and {} share blocks",
                    partition.number, other.number
                ));
            }
        }
    }
    Ok(())
}

pub(super) fn partition(title: &str, schema: &'static [Entry], tree: &Tree) -> Result<(), String> {
    if integer::parse(title).is_none_or(|number| !(0..MOST as i64).contains(&number)) {
        return Err("a partition's title must be its number, 0 to 11".to_owned());
    }
    let kind = option(schema, tree, "type").and_then(|kind| kind.parse().ok());
    for (name, most) in [
        // The largest numbers stand for "not set".
        ("block-offset", i64::from(u32::MAX - 1)),
        ("block-count", i64::from(i32::MAX - 1)),
        ("type", 0xff),
    ] {
        let Some(text) = option(schema, tree, name) else {
            // It grows to the end of the disk.
            if name == "block-count" && kind.is_some_and(is_extended_type) {
                continue;
            }
            return Err(format!("{name} must be set"));
        };
        if !text.contains("${")
            && integer::parse(text).is_none_or(|number| !(0..=most).contains(&number))
        {
            return Err(format!("{name} must be 0 to {most}, not '{text}'"));
        }
    }
    Ok(())
}
