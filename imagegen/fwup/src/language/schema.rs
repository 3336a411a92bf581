// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sections and options of the language. Their order here is their order in `meta.conf`.

use crate::firmware::model::{Section, Value};

/// The syntax after a name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A text.
    Text,
    /// Any bytes except NUL.
    Bytes,
    /// Paths on the host, separated by `;`, relative to the folder of the configuration.
    Paths,
    /// A number, with its default.
    Integer(i64),
    /// `true` or `false`, with its default.
    Boolean(bool),
    /// A list of numbers.
    Integers,
    /// A list of texts, only in archives.
    Texts,
    /// `include(path)`
    Include,
    /// `define(name, value)` and its variants.
    Define {
        /// Whether the definition replaces the value of a variable that is already set.
        overrides: bool,
        /// Whether the value is an expression.
        evaluate: bool,
    },
    /// An action of a task.
    Action,
    /// A requirement of a task.
    Requirement,
    /// A section without a title. If it is repeated, the contents are merged.
    Section(&'static [Entry]),
    /// A section with a title.
    Titled(&'static [Entry]),
}

/// A name and the syntax after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Whether the entry is not written to an archive: only the host needs it, or readers derive it
    /// from the archive itself.
    pub(super) host_only: bool,
}

const fn entry(name: &'static str, kind: Kind) -> Entry {
    Entry {
        name,
        kind,
        host_only: false,
    }
}

const fn host(name: &'static str, kind: Kind) -> Entry {
    Entry {
        name,
        kind,
        host_only: true,
    }
}

const fn define(name: &'static str, overrides: bool, evaluate: bool) -> Entry {
    let kind = Kind::Define {
        overrides,
        evaluate,
    };
    entry(name, kind)
}

/// "Not set" in fwup, for numbers.
const UNSET: i64 = -1;
/// "Not set" in fwup, for counts.
const NO_COUNT: i64 = i32::MAX as i64;

/// The top level.
pub(super) const TOP: &[Entry] = &[
    entry("meta-product", Kind::Text),
    entry("meta-description", Kind::Text),
    entry("meta-version", Kind::Text),
    entry("meta-author", Kind::Text),
    entry("meta-platform", Kind::Text),
    entry("meta-architecture", Kind::Text),
    host("meta-creation-date", Kind::Text),
    entry("meta-fwup-version", Kind::Text),
    entry("meta-vcs-identifier", Kind::Text),
    entry("meta-misc", Kind::Text),
    host("meta-uuid", Kind::Text),
    host("meta-nickname", Kind::Text),
    entry("require-fwup-version", Kind::Text),
    entry("block-cache-size-mb", Kind::Integer(8)),
    define("define", false, false),
    define("define!", true, false),
    define("define-eval", false, true),
    define("define-eval!", true, true),
    entry("file-resource", Kind::Titled(RESOURCE)),
    entry("mbr", Kind::Titled(MBR)),
    entry("gpt", Kind::Titled(GPT)),
    entry("task", Kind::Titled(TASK)),
    entry("uboot-environment", Kind::Titled(ENVIRONMENT)),
    entry("include", Kind::Include),
];

/// `file-resource`
pub(super) const RESOURCE: &[Entry] = &[
    entry("include", Kind::Include),
    host("host-path", Kind::Paths),
    host("skip-holes", Kind::Boolean(false)),
    entry("length", Kind::Integers),
    host("contents", Kind::Bytes),
    entry("blake2b-256", Kind::Text),
    entry("sha256", Kind::Text),
    host("assert-size-lte", Kind::Integer(UNSET)),
    host("assert-size-gte", Kind::Integer(UNSET)),
];

const MBR: &[Entry] = &[
    host("bootstrap-code-host-path", Kind::Paths),
    entry("bootstrap-code", Kind::Text),
    entry("include-osip", Kind::Boolean(false)),
    entry("osip-major", Kind::Integer(1)),
    entry("osip-minor", Kind::Integer(0)),
    entry("osip-num-pointers", Kind::Integer(1)),
    entry("signature", Kind::Text),
    entry("partition", Kind::Titled(MBR_PARTITION)),
    entry("osii", Kind::Titled(OSII)),
];

const MBR_PARTITION: &[Entry] = &[
    entry("block-offset", Kind::Text),
    entry("block-count", Kind::Integer(NO_COUNT)),
    entry("type", Kind::Integer(UNSET)),
    entry("boot", Kind::Boolean(false)),
    entry("expand", Kind::Boolean(false)),
];

const OSII: &[Entry] = &[
    entry("os-major", Kind::Integer(0)),
    entry("os-minor", Kind::Integer(0)),
    entry("start-block-offset", Kind::Integer(0)),
    entry("ddr-load-address", Kind::Integer(0)),
    entry("entry-point", Kind::Integer(0)),
    entry("image-size-blocks", Kind::Integer(0)),
    entry("attribute", Kind::Integer(0xf)),
];

const GPT: &[Entry] = &[
    entry("guid", Kind::Text),
    entry("partition", Kind::Titled(GPT_PARTITION)),
];

const GPT_PARTITION: &[Entry] = &[
    entry("block-offset", Kind::Text),
    entry("block-count", Kind::Integer(NO_COUNT)),
    entry("type", Kind::Text),
    entry("guid", Kind::Text),
    entry("name", Kind::Text),
    entry("flags", Kind::Text),
    entry("expand", Kind::Boolean(false)),
    entry("boot", Kind::Boolean(false)),
];

const ENVIRONMENT: &[Entry] = &[
    entry("block-offset", Kind::Text),
    entry("block-count", Kind::Integer(NO_COUNT)),
    entry("block-offset-redund", Kind::Text),
];

/// `task`
pub(super) const TASK: &[Entry] = &[
    entry("include", Kind::Include),
    entry("reqlist", Kind::Texts),
    entry("require-partition-offset", Kind::Requirement),
    entry("require-fat-file-exists", Kind::Requirement),
    entry("require-uboot-variable", Kind::Requirement),
    entry("require-path-on-device", Kind::Requirement),
    entry("require-path-at-offset", Kind::Requirement),
    entry("require-fat-file-match", Kind::Requirement),
    entry("require-execute", Kind::Requirement),
    entry("require-partition1-offset", Kind::Integer(UNSET)),
    entry("require-unmounted-destination", Kind::Boolean(false)),
    entry("verify-on-the-fly", Kind::Boolean(false)),
    entry("on-init", Kind::Section(EVENT)),
    entry("on-finish", Kind::Section(EVENT)),
    entry("on-error", Kind::Section(EVENT)),
    entry("on-resource", Kind::Titled(ON_RESOURCE)),
];

/// Adds the actions to a schema. This is a macro because constant slices cannot be concatenated.
macro_rules! with_actions {
    ($($first:expr),* $(,)?) => {
        &[
            $($first,)*
            entry("include", Kind::Include),
            entry("funlist", Kind::Texts),
            entry("raw_memset", Kind::Action),
            entry("raw_write", Kind::Action),
            entry("trim", Kind::Action),
            entry("mbr_write", Kind::Action),
            entry("gpt_write", Kind::Action),
            entry("fat_mkfs", Kind::Action),
            entry("fat_attrib", Kind::Action),
            entry("fat_write", Kind::Action),
            entry("fat_cp", Kind::Action),
            entry("fat_mv", Kind::Action),
            entry("fat_mv!", Kind::Action),
            entry("fat_rm", Kind::Action),
            entry("fat_rm!", Kind::Action),
            entry("fat_mkdir", Kind::Action),
            entry("fat_setlabel", Kind::Action),
            entry("fat_touch", Kind::Action),
            entry("uboot_clearenv", Kind::Action),
            entry("uboot_recover", Kind::Action),
            entry("uboot_setenv", Kind::Action),
            entry("uboot_unsetenv", Kind::Action),
            entry("error", Kind::Action),
            entry("info", Kind::Action),
            entry("reboot_param", Kind::Action),
            entry("path_write", Kind::Action),
            entry("pipe_write", Kind::Action),
            entry("execute", Kind::Action),
            entry("ubi_volume_write", Kind::Action),
        ]
    };
}

const EVENT: &[Entry] = with_actions![];

/// `on-resource`
pub(super) const ON_RESOURCE: &[Entry] = with_actions![
    entry("verify-on-the-fly", Kind::Boolean(false)),
    entry("delta-source-raw-offset", Kind::Text),
    entry("delta-source-raw-count", Kind::Integer(NO_COUNT)),
    entry("delta-source-raw-options", Kind::Text),
    entry("delta-source-fat-offset", Kind::Text),
    entry("delta-source-fat-path", Kind::Text),
];

/// Returns the entry with this name, and its index.
pub(super) fn find(schema: &'static [Entry], name: &str) -> Option<(usize, &'static Entry)> {
    schema
        .iter()
        .enumerate()
        .find(|(_, entry)| entry.name == name)
}

/// Whether a `partition` section is that of a `gpt`.
pub(super) fn is_of_gpt(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::Titled(schema) if find(schema, "guid").is_some())
}

impl Entry {
    /// Whether the option with this value is written to an archive. Defaults are not.
    pub(super) fn is_archived(&self, value: &Value) -> bool {
        !self.host_only
            && match self.kind {
                Kind::Integer(default) => *value != Value::Integer(default),
                Kind::Boolean(default) => *value != Value::Boolean(default),
                // fwup's default.
                Kind::Text if self.name == "require-fwup-version" => value.as_text() != Some("0"),
                _ => value.as_text().is_some_and(|text| !text.is_empty()),
            }
    }
}

/// Returns the schema of a section that is inside a section with the schema `schema`.
pub(super) fn of_section(schema: &'static [Entry], section: &Section) -> &'static [Entry] {
    match find(schema, &section.kind) {
        Some((
            _,
            Entry {
                kind: Kind::Section(inner) | Kind::Titled(inner),
                ..
            },
        )) => inner,
        _ => &[],
    }
}
