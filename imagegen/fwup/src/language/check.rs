// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is checked while a configuration is read to make an archive, so that errors name their line and no archive is made
//! that cannot be applied.

mod mbr;

use std::fs;

use super::parser::{Declared, Tree, Value};
use super::schema::{self, Entry};
use super::{Environment, FWUP_VERSION, Problem, integer};
use crate::archive::entry_of;
use crate::environment::{MOST_BLOCKS, is_name};
use crate::model::Call;
use crate::partitions::PRIMARY;

/// What an argument must be.
#[derive(Clone, Copy, Debug)]
enum Argument {
    Text,
    /// A number, and what it is at most.
    Number(u64),
    Mbr,
    Environment,
}

/// A text that stands in the archive: a variable that does not end would take in what stands behind the text there.
pub(super) fn text(text: &str) -> Result<(), Problem> {
    match text.rfind("${") {
        Some(start) if !text[start..].contains('}') => Err(Problem::OpenVariable),
        _ => Ok(()),
    }
}

/// An action or a requirement: may it stand here, behind the calls before it, and are its arguments right?
pub(super) fn call(
    call: &Call,
    before: &[Call],
    within: &str,
    declared: &Declared,
) -> Result<(), Problem> {
    use Argument::{Environment, Mbr, Number, Text};

    // In bytes it must have 64 bits.
    let block = Number(u64::MAX / 512);
    let name = call.name.as_str();
    let (arguments, expected): (&[Argument], &'static str) = match name {
        "raw_write" => (&[block], "a block"),
        "raw_memset" => (
            &[block, block, Number(255)],
            "a block, a count of blocks and a byte",
        ),
        "trim" => (&[block, block], "a block and a count of blocks"),
        "mbr_write" => (&[Mbr], "an mbr"),
        "uboot_clearenv" | "uboot_recover" => (&[Environment], "a uboot-environment"),
        "uboot_setenv" => (
            &[Environment, Text, Text],
            "a uboot-environment, a name and a value",
        ),
        "uboot_unsetenv" => (&[Environment, Text], "a uboot-environment and a name"),
        "error" | "info" | "reboot_param" => (&[Text], "a text"),
        "require-uboot-variable" => (
            &[Environment, Text, Text],
            "a uboot-environment, a name and a value",
        ),
        "require-partition-offset" => (
            &[Number(PRIMARY as u64 - 1), block],
            "a partition and a block",
        ),
        "require-path-on-device" => (&[Text, Text], "a path and a device"),
        "require-path-at-offset" => (&[Text, block], "a path and a block"),
        _ => return Err(Problem::Unsupported(name.to_owned())),
    };
    if name == "raw_write" {
        if within != "on-resource" {
            return Err(Problem::WrongSection {
                action: name.to_owned(),
                section: within.to_owned(),
            });
        }
        let options = call.arguments.iter().skip(1);
        if let Some(option) = options.filter_map(|option| option.split_once('=')).next() {
            return Err(Problem::Unsupported(format!("{name} with {}=", option.0)));
        }
    }
    if call.arguments.len() != arguments.len() {
        return Err(Problem::Arguments {
            name: name.to_owned(),
            expected,
            found: call.arguments.len(),
        });
    }
    call.arguments
        .iter()
        .try_for_each(|argument| text(argument))?;
    if name == "raw_write" && before.iter().any(|call| call.name == name) {
        return Err(Problem::Repeated(name.to_owned()));
    }
    if name == "uboot_setenv" && !is_name(call.arguments[1].as_bytes()) {
        return Err(Problem::Variable {
            action: name.to_owned(),
            variable: call.arguments[1].clone(),
        });
    }
    let ordinals = ["first", "second", "third"];
    for ((argument, found), which) in arguments.iter().zip(&call.arguments).zip(ordinals) {
        // What is left to the device is not known yet.
        if found.contains("${") {
            continue;
        }
        match argument {
            Text => {}
            Number(most) => {
                if integer::unsigned(found).is_none_or(|number| number > *most) {
                    return Err(Problem::NoNumber {
                        name: name.to_owned(),
                        which,
                        most: *most,
                        found: found.clone(),
                    });
                }
            }
            Mbr => exists("mbr", found, declared)?,
            Environment => exists("uboot-environment", found, declared)?,
        }
    }
    Ok(())
}

fn exists(kind: &'static str, title: &str, declared: &Declared) -> Result<(), Problem> {
    if declared.has(kind, title) {
        Ok(())
    } else {
        Err(Problem::Missing {
            kind,
            title: title.to_owned(),
        })
    }
}

/// A titled section, before its inside is read.
pub(super) fn before(kind: &str, title: &str, declared: &Declared) -> Result<(), Problem> {
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
        "gpt" | "osii" => Err(Problem::Unsupported(kind.to_owned())),
        "on-resource" => exists("file-resource", title, declared),
        _ => Ok(()),
    }
}

/// A titled section, with its inside.
pub(super) fn after(
    kind: &str,
    title: &str,
    schema: &'static [Entry],
    tree: &mut Tree,
    environment: &mut Environment,
) -> Result<(), Problem> {
    if option(schema, tree, "include-osip") == Some("true") {
        return Err(Problem::Unsupported("include-osip".to_owned()));
    }
    let checked = match kind {
        "file-resource" => resource(title, schema, tree, environment),
        "mbr" => mbr::mbr(schema, tree),
        "partition" => mbr::partition(title, schema, tree),
        "uboot-environment" => uboot_environment(schema, tree),
        _ => Ok(()),
    };
    checked.map_err(|what| Problem::Section {
        kind: kind.to_owned(),
        title: title.to_owned(),
        what,
    })
}

/// The option's text, where it is set.
fn option<'a>(schema: &'static [Entry], tree: &'a Tree, name: &str) -> Option<&'a str> {
    let (at, _) = schema::find(schema, name)?;
    match tree.values.get(&at)? {
        Value::One(text) => Some(text),
        Value::Many(_) | Value::Bytes(_) => None,
    }
}

/// Defines `FWUP_SIZE_…` with the size of the file, for what follows.
fn resource(
    title: &str,
    schema: &'static [Entry],
    tree: &Tree,
    environment: &mut Environment,
) -> Result<(), String> {
    let paths = option(schema, tree, "host-path");
    let has_contents =
        schema::find(schema, "contents").is_some_and(|(at, _)| tree.values.contains_key(&at));
    match (paths.is_some(), has_contents) {
        (false, false) => return Err("host-path or contents must be set".to_owned()),
        (true, true) => {
            return Err("only one of host-path and contents can be set".to_owned());
        }
        _ => {}
    }
    let sizes = paths.map(|paths| {
        paths
            .split(';')
            .map(|path| fs::metadata(path).map(|found| found.len()))
            .sum::<Result<u64, _>>()
    });
    // A file that is missing is an error only when the archive is made: it may be made in between.
    if let Some(Ok(size)) = sizes {
        let name = format!("FWUP_SIZE_{title}").replace(['-', '/', '.'], "_");
        environment.set(name, size.to_string());
    }
    Ok(())
}

fn uboot_environment(schema: &'static [Entry], tree: &Tree) -> Result<(), String> {
    let number = |name| option(schema, tree, name).and_then(integer::parse);
    let offset = number("block-offset")
        .filter(|offset| (0..i64::from(i32::MAX)).contains(offset))
        .ok_or("block-offset must be set, to 0 to 2147483646")?;
    let count = number("block-count")
        .filter(|count| (1..=MOST_BLOCKS as i64).contains(count))
        .ok_or("block-count must be set, to 1 to 2048")?;
    if let Some(second) = number("block-offset-redund").filter(|second| *second >= 0) {
        if second >= i64::from(i32::MAX) {
            return Err("block-offset-redund must be less than 2147483647".to_owned());
        }
        if second < offset + count && offset < second + count {
            return Err("the two copies share blocks; move block-offset-redund".to_owned());
        }
    }
    Ok(())
}

/// `require-fwup-version`: at most the version that is understood here. Only the numbers are compared.
pub(super) fn version(text: &str) -> Result<(), Problem> {
    let numbers = |text: &str| {
        let text = text.split(['-', '+']).next()?;
        let mut parts = [0_u64; 3];
        let mut found = text.split('.');
        for part in &mut parts {
            *part = found.next().map_or(Ok(0), str::parse).ok()?;
        }
        found.next().is_none().then_some(parts)
    };
    let wanted = numbers(text).ok_or_else(|| Problem::BadVersion(text.to_owned()))?;
    if numbers(FWUP_VERSION).is_some_and(|ours| wanted <= ours) {
        Ok(())
    } else {
        Err(Problem::NewerVersion(text.to_owned()))
    }
}
