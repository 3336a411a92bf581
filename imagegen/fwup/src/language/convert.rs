// SPDX-License-Identifier: MIT OR Apache-2.0

//! Converts the tree of sections to the model.

use super::error::Problem;
use super::schema::{self, Entry, Kind};
use super::tree::{Tree, TreeValue};
use crate::firmware::model::{
    Call, Firmware, Handler, Resource, Section, SectionOptions, Task, Value,
};
use crate::hex;

/// Converts the whole configuration.
///
/// # Errors
///
/// The error, and the index of the top-level section that contains it.
pub(super) fn firmware(tree: &Tree) -> Result<Firmware, (usize, Problem)> {
    let mut firmware = Firmware {
        metadata: options(schema::TOP, tree),
        ..Firmware::default()
    };
    for (number, (at, title, inner)) in tree.sections.iter().enumerate() {
        let entry = &schema::TOP[*at];
        let here = |problem| (number, problem);
        match entry.name {
            "file-resource" => firmware
                .resources
                .push(resource(title, inner).map_err(here)?),
            "mbr" => firmware.mbrs.push(section(entry, title, inner)),
            "gpt" => firmware.gpts.push(section(entry, title, inner)),
            "uboot-environment" => firmware.environments.push(section(entry, title, inner)),
            _ => firmware.tasks.push(task(title, inner).map_err(here)?),
        }
    }
    Ok(firmware)
}

/// Converts a section that consists of options and nested sections.
pub(super) fn section(entry: &Entry, title: &str, tree: &Tree) -> Section {
    let (Kind::Titled(schema) | Kind::Section(schema)) = entry.kind else {
        return Section::default();
    };
    let inner = tree.sections.iter();
    Section {
        kind: entry.name.to_owned(),
        title: title.to_owned(),
        options: options(schema, tree),
        sections: inner
            .map(|(at, title, inner)| section(&schema[*at], title, inner))
            .collect(),
    }
}

/// Returns the options that have a single value, in the order of the schema.
pub(super) fn options(schema: &'static [Entry], tree: &Tree) -> SectionOptions {
    let single = |(at, value): (&usize, &TreeValue)| match value {
        TreeValue::One(value) => Some((schema[*at].name.to_owned(), value.clone())),
        TreeValue::List(_) | TreeValue::Bytes(_) => None,
    };
    SectionOptions(tree.values.iter().filter_map(single).collect())
}

fn resource(name: &str, tree: &Tree) -> Result<Resource, Problem> {
    let length = tree
        .list(schema::RESOURCE, "length")
        .iter()
        .map(|value| match value {
            Value::Integer(length @ 0..) => Ok(*length as u64),
            value => Err(Problem::Integer {
                name: "length".to_owned(),
                value: value.to_string(),
            }),
        })
        .collect::<Result<_, _>>()?;
    let mut options = options(schema::RESOURCE, tree);
    let at = options.0.iter().position(|(name, _)| name == "blake2b-256");
    let hash = at
        .map(|at| options.0.remove(at).1.to_string())
        .map(|text| {
            hex::decode(&text)
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or_else(|| Problem::Hash(name.to_owned()))
        })
        .transpose()?;
    let contents = match tree.value(schema::RESOURCE, "contents") {
        Some(TreeValue::Bytes(bytes)) => Some(bytes.clone()),
        _ => None,
    };
    Ok(Resource {
        name: name.to_owned(),
        length,
        hash,
        contents,
        options,
    })
}

fn task(name: &str, tree: &Tree) -> Result<Task, Problem> {
    let mut task = Task {
        name: name.to_owned(),
        requirements: calls(schema::TASK, "reqlist", tree)?,
        options: options(schema::TASK, tree),
        ..Task::default()
    };
    for (at, title, section) in &tree.sections {
        match schema::TASK[*at] {
            Entry {
                name: "on-resource",
                ..
            } => task.on_resource.push(Handler {
                resource: title.clone(),
                actions: with_default_paths(calls(schema::ON_RESOURCE, "funlist", section)?, title),
                options: options(schema::ON_RESOURCE, section),
            }),
            Entry {
                name,
                kind: Kind::Section(schema),
                ..
            } => {
                let list = match name {
                    "on-init" => &mut task.on_init,
                    "on-finish" => &mut task.on_finish,
                    _ => &mut task.on_error,
                };
                *list = calls(schema, "funlist", section)?;
            }
            _ => {}
        }
    }
    Ok(task)
}

/// Adds the path of each `fat_write` that has none: as in fwup, the name of the resource. Versions of
/// fwup before 1.10 need a path to apply the archive.
fn with_default_paths(mut actions: Vec<Call>, resource: &str) -> Vec<Call> {
    for call in &mut actions {
        if call.name == "fat_write" && call.arguments.len() == 1 {
            call.arguments.push(resource.to_owned());
        }
    }
    actions
}

/// Returns the calls of a section: those in the flat list of an archive, and those that are written
/// out.
fn calls(schema: &'static [Entry], name: &'static str, tree: &Tree) -> Result<Vec<Call>, Problem> {
    let mut calls = Vec::new();
    let mut rest = tree.list(schema, name);
    while let Some((count, words)) = rest.split_first() {
        let malformed = Problem::Flattened(name);
        let Some(count) = count.as_text().and_then(|count| count.parse().ok()) else {
            return Err(malformed);
        };
        let Some((call, following)) = words.split_at_checked(count) else {
            return Err(malformed);
        };
        let Some((called, arguments)) = call.split_first() else {
            return Err(malformed);
        };
        calls.push(Call {
            name: called.to_string(),
            arguments: arguments.iter().map(Value::to_string).collect(),
        });
        rest = following;
    }
    calls.extend(tree.calls.iter().cloned());
    Ok(calls)
}
