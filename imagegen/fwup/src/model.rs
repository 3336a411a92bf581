// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a configuration says, and what the `meta.conf` of an archive says: the same sections, the second with what was found
//! out about the resources.
//!
//! Values are kept as text with their variables resolved as far as they can be: what is written into `meta.conf`, and only
//! looked into by who uses it, is the text.

/// A whole configuration. Lists keep the order of declaration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Firmware {
    /// `meta-product` and its like, and `require-fwup-version`, by name.
    pub metadata: Vec<(String, String)>,
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
    /// Whether its tasks may run programs, which is the user's to say and not the file's.
    pub is_unsafe: bool,
}

impl Firmware {
    /// A resource by its name.
    #[must_use]
    pub fn resource(&self, name: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.name == name)
    }
}

/// A section of options, and of sections in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// For example `mbr` or `partition`.
    pub kind: String,
    /// What stands behind the kind; empty where there is none.
    pub title: String,
    /// The options that are set, with their values as text.
    pub options: Vec<(String, String)>,
    /// `partition` and the like.
    pub sections: Vec<Section>,
}

impl Section {
    /// The value of an option.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        option(&self.options, name)
    }
}

/// A `file-resource`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// Its title.
    pub name: String,
    /// Lengths in bytes of data and holes in turn; one number where there are no holes.
    pub length: Vec<u64>,
    /// BLAKE2b-256 of the data, holes left out.
    pub hash: Option<[u8; 32]>,
    /// The data that stands in the configuration itself, in place of a path.
    pub contents: Option<Vec<u8>>,
    /// The other options, with their values as text.
    pub options: Vec<(String, String)>,
}

impl Resource {
    /// The value of an option.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        option(&self.options, name)
    }

    /// The bytes of data that the archive has, holes left out.
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
    /// Its title.
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
    /// The other options, with their values as text.
    pub options: Vec<(String, String)>,
}

impl Task {
    /// The value of an option.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        option(&self.options, name)
    }
}

/// What is done with a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handler {
    /// The resource's name.
    pub resource: String,
    /// The actions.
    pub actions: Vec<Call>,
    /// `delta-source-…` and other options, with their values as text.
    pub options: Vec<(String, String)>,
}

/// An action or a requirement with its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// For example `raw_write` or `require-uboot-variable`.
    pub name: String,
    /// The arguments as text.
    pub arguments: Vec<String>,
}

/// The value of an option among others.
pub(super) fn option<'a>(options: &'a [(String, String)], name: &str) -> Option<&'a str> {
    options
        .iter()
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.as_str())
}
