// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sections of a configuration, and of the `meta.conf` in an archive: `meta.conf` has the same
//! sections, and the lengths and hashes of the resources.
//!
//! Numbers and booleans are parsed when the text is read. Texts may contain variables that only the
//! device can resolve.

use std::fmt::{self, Display};

/// The purpose of reading a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// To make an archive: anything unknown or unusable is an error. Texts may contain variables
    /// that the device resolves.
    Create,
    /// To apply an archive: unknown options and sections are ignored, since a newer fwup may have
    /// written them. All variables are resolved.
    Apply,
}

impl Stage {
    /// Whether only the device can resolve a text.
    pub(crate) fn defers(self, text: &str) -> bool {
        self == Self::Create && text.contains("${")
    }
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// Paths on the host.
    Paths(Vec<String>),
}

impl Value {
    /// Returns the text; `None` for other values.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Formats a value as in `meta.conf`, without quotes.
impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Boolean(truth) => truth.fmt(f),
            Self::Paths(paths) => f.write_str(&paths.join(";")),
        }
    }
}

/// The options of a section that are set: names and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SectionOptions(pub Vec<(String, Value)>);

impl SectionOptions {
    /// Returns the value of an option; `None` if it is not set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value)
    }

    /// Returns the text of an option; `None` if it is not set to a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text()
    }

    /// Returns the number of an option; `None` if it is not set to a whole number.
    #[must_use]
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns the boolean of an option; `None` if it is not set to a boolean.
    #[must_use]
    pub fn boolean(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Value::Boolean(truth) => Some(*truth),
            _ => None,
        }
    }

    /// Returns the paths of an option; `None` if it is not set to a list of paths.
    #[must_use]
    pub fn paths(&self, name: &str) -> Option<&[String]> {
        match self.get(name)? {
            Value::Paths(paths) => Some(paths),
            _ => None,
        }
    }
}

/// A whole configuration. Lists keep the order of declaration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Firmware {
    /// The options at the top level, such as `meta-product` and `require-fwup-version`.
    pub metadata: SectionOptions,
    /// `file-resource`
    pub resources: Vec<Resource>,
    /// `mbr`
    pub mbrs: Vec<Section>,
    /// `gpt`
    pub gpts: Vec<Section>,
    /// `uboot-environment`
    pub environments: Vec<Section>,
    /// `task`
    pub tasks: Vec<Task>,
    /// Whether tasks may run programs. Only the user can allow this (`--unsafe`).
    pub is_unsafe: bool,
}

impl Firmware {
    /// Returns a resource by name.
    #[must_use]
    pub fn resource(&self, name: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.name == name)
    }
}

/// A section with options and nested sections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// For example `mbr` or `partition`.
    pub kind: String,
    /// Empty for a section without a title.
    pub title: String,
    /// The options that are set.
    pub options: SectionOptions,
    /// Nested sections, such as `partition`.
    pub sections: Vec<Section>,
}

/// A `file-resource`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// The title.
    pub name: String,
    /// The lengths of data and holes, alternating, in bytes; a single number if there are no holes.
    pub length: Vec<u64>,
    /// BLAKE2b-256 of the data without the holes.
    pub hash: Option<[u8; 32]>,
    /// The data, if it is in the configuration itself.
    pub contents: Option<Vec<u8>>,
    /// All other options.
    pub options: SectionOptions,
}

impl Resource {
    /// Whether an entry of the archive with `size` bytes of data may be a delta that makes the
    /// resource: it has another length. Only a resource without holes can be made from a delta.
    #[must_use]
    pub fn may_be_delta(&self, size: u64) -> bool {
        self.has_no_holes() && self.length != [size]
    }

    /// Whether the resource is a single run of data.
    #[must_use]
    pub fn has_no_holes(&self) -> bool {
        self.length.len() == 1
    }

    /// Returns the length of the data in the archive in bytes, without the holes.
    #[must_use]
    pub fn data_length(&self) -> u64 {
        self.length
            .iter()
            .step_by(2)
            .fold(0, |sum, length| sum.saturating_add(*length))
    }
}

/// A `task`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// The title.
    pub name: String,
    /// `require-…`, all of which must hold.
    pub requirements: Vec<Call>,
    /// `on-init`
    pub on_init: Vec<Call>,
    /// `on-resource`, by the resource's name.
    pub on_resource: Vec<Handler>,
    /// `on-finish`
    pub on_finish: Vec<Call>,
    /// `on-error`
    pub on_error: Vec<Call>,
    /// All other options.
    pub options: SectionOptions,
}

/// An `on-resource` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handler {
    /// The resource's name.
    pub resource: String,
    /// The actions, in order.
    pub actions: Vec<Call>,
    /// `delta-source-…` and other options.
    pub options: SectionOptions,
}

/// An action or a requirement with its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// For example `raw_write` or `require-uboot-variable`.
    pub name: String,
    /// The arguments as text, which `meta.conf` keeps unchanged.
    pub arguments: Vec<String>,
}
