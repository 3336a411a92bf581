// SPDX-License-Identifier: MIT OR Apache-2.0

//! From the tree of sections to the model.

use super::Problem;
use super::parser::{Tree, Value};
use super::schema::{self, Entry, Kind};
use crate::model::{Call, Firmware, Handler, Resource, Section, Task};
use crate::unhex;

/// The whole configuration.
///
/// # Errors
///
/// What is wrong, and in which of the sections, counted from 0.
pub(super) fn firmware(tree: Tree) -> Result<Firmware, (usize, Problem)> {
    let mut firmware = Firmware {
        metadata: options(schema::TOP, &tree),
        ..Firmware::default()
    };
    for (number, (at, title, section)) in tree.sections.into_iter().enumerate() {
        let entry = &schema::TOP[at];
        let here = |problem| (number, problem);
        match entry.name {
            "file-resource" => firmware
                .resources
                .push(resource(title, &section).map_err(here)?),
            "mbr" => firmware.mbrs.push(plain(entry, title, section)),
            "gpt" => firmware.gpts.push(plain(entry, title, section)),
            "uboot-environment" => firmware.environments.push(plain(entry, title, section)),
            _ => firmware.tasks.push(task(title, section).map_err(here)?),
        }
    }
    Ok(firmware)
}

/// The options that have one value, in the order of the schema.
fn options(schema: &'static [Entry], tree: &Tree) -> Vec<(String, String)> {
    let one = |(at, value): (&usize, &Value)| match value {
        Value::One(text) => Some((schema[*at].name.to_owned(), text.clone())),
        Value::Many(_) | Value::Bytes(_) => None,
    };
    tree.values.iter().filter_map(one).collect()
}

/// The values of a list.
fn list<'a>(schema: &'static [Entry], tree: &'a Tree, name: &str) -> &'a [String] {
    match schema::find(schema, name).and_then(|(at, _)| tree.values.get(&at)) {
        Some(Value::Many(values)) => values,
        _ => &[],
    }
}

fn plain(entry: &Entry, title: String, tree: Tree) -> Section {
    let (Kind::Titled(schema) | Kind::Section(schema)) = entry.kind else {
        return Section::default();
    };
    Section {
        kind: entry.name.to_owned(),
        title,
        options: options(schema, &tree),
        sections: tree
            .sections
            .into_iter()
            .map(|(at, title, section)| plain(&schema[at], title, section))
            .collect(),
    }
}

fn resource(name: String, tree: &Tree) -> Result<Resource, Problem> {
    let length = list(schema::RESOURCE, tree, "length")
        .iter()
        .map(|text| {
            text.parse().map_err(|_| Problem::Integer {
                name: "length".to_owned(),
                value: text.clone(),
            })
        })
        .collect::<Result<_, _>>()?;
    let mut options = options(schema::RESOURCE, tree);
    let hash = options
        .iter()
        .position(|(name, _)| name == "blake2b-256")
        .map(|at| options.remove(at).1);
    let hash = match hash {
        Some(text) => Some(
            unhex(&text)
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or_else(|| Problem::Hash(name.clone()))?,
        ),
        None => None,
    };
    let contents = schema::find(schema::RESOURCE, "contents")
        .and_then(|(at, _)| tree.values.get(&at))
        .and_then(|value| match value {
            Value::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        });
    Ok(Resource {
        name,
        length,
        hash,
        contents,
        options,
    })
}

fn task(name: String, tree: Tree) -> Result<Task, Problem> {
    let mut task = Task {
        name,
        requirements: calls(schema::TASK, "reqlist", &tree)?,
        options: options(schema::TASK, &tree),
        ..Task::default()
    };
    for (at, title, section) in tree.sections {
        let actions = |schema| calls(schema, "funlist", &section);
        match schema::TASK[at] {
            Entry {
                name: "on-resource",
                ..
            } => task.on_resource.push(Handler {
                resource: title,
                actions: actions(schema::ON_RESOURCE)?,
                options: options(schema::ON_RESOURCE, &section),
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
                *list = actions(schema)?;
            }
            _ => {}
        }
    }
    Ok(task)
}

/// The calls of a section: those that are flattened into a list, and those that are written out.
fn calls(schema: &'static [Entry], name: &'static str, tree: &Tree) -> Result<Vec<Call>, Problem> {
    let mut calls = Vec::new();
    let mut rest = list(schema, tree, name);
    while let Some((count, behind)) = rest.split_first() {
        let count: usize = count.parse().map_err(|_| Problem::Flattened(name))?;
        let (call, behind) = behind
            .split_at_checked(count)
            .ok_or(Problem::Flattened(name))?;
        let (called, arguments) = call.split_first().ok_or(Problem::Flattened(name))?;
        calls.push(Call {
            name: called.clone(),
            arguments: arguments.to_vec(),
        });
        rest = behind;
    }
    calls.extend(tree.calls.iter().cloned());
    Ok(calls)
}
