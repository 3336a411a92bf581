// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writes `meta.conf`: the configuration in an archive, without the options that only the host
//! needs.

use std::fmt::Write;
use std::ops::RangeInclusive;

use super::schema::{self, Entry};
use crate::firmware::model::{Call, Firmware, Section, SectionOptions, Task};
use crate::hex;

/// The sizes of a `meta.conf` in bytes that are read. A thousand resources need some 120 kB.
pub(crate) const META_CONF_SIZE: RangeInclusive<usize> = 10..=(1 << 20);

/// The largest `meta.conf` in bytes that fwup 1.16 reads.
pub const FWUP_META_CONF_LIMIT: usize = 49_999;

/// Returns the text of `meta.conf`.
#[must_use]
pub fn to_meta_conf(firmware: &Firmware) -> String {
    let mut out = String::new();
    options(schema::TOP, &firmware.metadata, &mut out);
    for resource in &firmware.resources {
        titled("file-resource", &resource.name, &mut out);
        match resource.length.as_slice() {
            // fwup omits a length of 0, which is its default.
            [] | [0] => {}
            [length] => line("length", &length.to_string(), &mut out),
            lengths => {
                let lengths: Vec<_> = lengths.iter().map(u64::to_string).collect();
                line("length", &format!("{{{}}}", lengths.join(",")), &mut out);
            }
        }
        if let Some(hash) = &resource.hash {
            line("blake2b-256", &hex::encode(hash), &mut out);
        }
        options(schema::RESOURCE, &resource.options, &mut out);
        out.push_str("}\n");
    }
    for list in [&firmware.mbrs, &firmware.gpts] {
        list.iter()
            .for_each(|found| section(schema::TOP, found, &mut out));
    }
    firmware
        .tasks
        .iter()
        .for_each(|found| task(found, &mut out));
    for found in &firmware.environments {
        section(schema::TOP, found, &mut out);
    }
    if out.is_empty() {
        // What fwup writes: a reader refuses a file without text.
        out.push_str("# Empty file\n");
    }
    out
}

fn line(name: &str, value: &str, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{name}={value}");
}

fn titled(kind: &str, title: &str, out: &mut String) {
    let _ = writeln!(out, "{kind} \"{}\" {{", escaped(title));
}

/// Closes a section that starts at `start` and whose contents start at `contents`, or removes it if
/// it is empty.
fn close(start: usize, contents: usize, out: &mut String) {
    if out.len() == contents {
        out.truncate(start);
    } else {
        out.push_str("}\n");
    }
}

fn options(schema: &'static [Entry], options: &SectionOptions, out: &mut String) {
    for entry in schema {
        let value = options.get(entry.name);
        if let Some(value) = value.filter(|value| entry.is_archived(value)) {
            line(entry.name, &quoted(&value.to_string()), out);
        }
    }
}

fn section(outer: &'static [Entry], found: &Section, out: &mut String) {
    let schema = schema::of_section(outer, found);
    let start = out.len();
    titled(&found.kind, &found.title, out);
    let contents = out.len();
    options(schema, &found.options, out);
    // Sections are in the order of the schema; sections of the same kind are in the order of
    // declaration.
    for entry in schema {
        for inner in found
            .sections
            .iter()
            .filter(|inner| inner.kind == entry.name)
        {
            section(schema, inner, out);
        }
    }
    close(start, contents, out);
}

fn task(task: &Task, out: &mut String) {
    titled("task", &task.name, out);
    calls("reqlist", &task.requirements, out);
    options(schema::TASK, &task.options, out);
    for (name, actions) in [
        ("on-init", &task.on_init),
        ("on-finish", &task.on_finish),
        ("on-error", &task.on_error),
    ] {
        if !actions.is_empty() {
            let _ = writeln!(out, "{name} {{");
            calls("funlist", actions, out);
            out.push_str("}\n");
        }
    }
    for handler in &task.on_resource {
        let start = out.len();
        titled("on-resource", &handler.resource, out);
        let contents = out.len();
        options(schema::ON_RESOURCE, &handler.options, out);
        calls("funlist", &handler.actions, out);
        close(start, contents, out);
    }
    out.push_str("}\n");
}

/// Writes calls as one flat list: for each the number of its words, its name, its arguments.
fn calls(name: &str, calls: &[Call], out: &mut String) {
    if calls.is_empty() {
        return;
    }
    let mut words = Vec::new();
    for call in calls {
        words.push((call.arguments.len() + 1).to_string());
        words.push(quoted(&call.name));
        words.extend(call.arguments.iter().map(|argument| quoted(argument)));
    }
    line(name, &format!("{{{}}}", words.join(",")), out);
}

/// Formats a value as in `meta.conf` and the output of `fwup -m`: in quotes, unless it consists of
/// letters, digits, `_` and `.`.
#[must_use]
pub fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("\"{}\"", escaped(text))
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
