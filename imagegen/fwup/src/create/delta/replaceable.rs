// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tasks of the new archive can make from deltas.

use std::collections::{BTreeMap, BTreeSet};

use vcdiff_stream::encode::LONGEST_SOURCE;

use crate::firmware::delta_source::SourceKind;
use crate::firmware::fat_action::is_same_path;
use crate::firmware::integer;
use crate::firmware::model::{Firmware, Handler, Resource};

/// A task that cannot be applied with the delta archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullTask {
    /// The task's name.
    pub name: String,
    /// The resources that are deltas, and for which the task has no source that it can use.
    pub resources: Vec<String>,
}

/// Returns the resources that a task can make from a delta, each with the number of bytes of the
/// old one that every such task can read. They have no holes, and an `on-resource` section names a
/// source.
pub(super) fn replaceable(firmware: &Firmware) -> BTreeMap<&str, usize> {
    let mut found = BTreeMap::new();
    for handler in firmware.tasks.iter().flat_map(|task| &task.on_resource) {
        let resource = firmware.resource(&handler.resource);
        let Some(source) = usable_source(handler) else {
            continue;
        };
        if resource.is_none_or(|resource| !resource.has_no_holes()) {
            continue;
        }
        let readable = match source {
            SourceKind::Raw(Some(length)) => usize::try_from(length).unwrap_or(usize::MAX),
            SourceKind::Raw(None) | SourceKind::File => usize::MAX,
        };
        let least = found
            .entry(handler.resource.as_str())
            .or_insert(LONGEST_SOURCE);
        *least = readable.min(*least);
    }
    found
}

/// Returns the source of an `on-resource` section, unless the section overwrites it.
fn usable_source(handler: &Handler) -> Option<SourceKind> {
    SourceKind::of(&handler.options)
        .filter(|kind| *kind != SourceKind::File || !overwrites_file(handler))
}

/// Whether a section writes to the file that is its source. Offsets with variables are the same if
/// their texts are.
fn overwrites_file(handler: &Handler) -> bool {
    let text = |name| handler.options.text(name).unwrap_or_default();
    let (volume, path) = (
        text("delta-source-fat-offset"),
        text("delta-source-fat-path"),
    );
    let number = |text: &str| integer::parse(text).ok_or_else(|| text.to_owned());
    handler.actions.iter().any(|call| {
        let [target, target_path] = call.arguments.as_slice() else {
            return false;
        };
        call.name == "fat_write"
            && number(target) == number(volume)
            && is_same_path(target_path, path)
    })
}

/// Returns the number of bytes at the start of an old resource that a device has in one piece.
pub(super) fn first_run(resource: &Resource) -> usize {
    let first = resource.length.first().copied().unwrap_or(0);
    usize::try_from(first).unwrap_or(usize::MAX)
}

/// Returns the tasks that have no source that they can use for a resource that is a delta, such as
/// those that make a new disk.
pub(super) fn full_tasks(firmware: &Firmware, deltas: &BTreeSet<&str>) -> Vec<FullTask> {
    let tasks = firmware.tasks.iter().map(|task| FullTask {
        name: task.name.clone(),
        resources: task
            .on_resource
            .iter()
            .filter(|handler| deltas.contains(handler.resource.as_str()))
            .filter(|handler| usable_source(handler).is_none())
            .map(|handler| handler.resource.clone())
            .collect(),
    });
    tasks.filter(|task| !task.resources.is_empty()).collect()
}
