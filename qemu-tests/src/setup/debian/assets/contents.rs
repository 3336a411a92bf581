// SPDX-License-Identifier: MIT OR Apache-2.0

//! The origin of an asset's files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The file in an asset's folder that holds [`Contents`]. It is written last, before the folder
/// gets its name.
pub(super) const CONTENTS: &str = "contents.json";

/// The contents of `contents.json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::setup) struct Contents {
    pub(in crate::setup) packages: Vec<Package>,
    /// The modules that the initrd loads, in this order.
    #[serde(default)]
    pub(in crate::setup) modules: Vec<String>,
    /// The modules that are loaded on demand, and those that they need.
    #[serde(default)]
    pub(in crate::setup) on_demand: Vec<String>,
    /// What each of these needs in addition to the initrd's modules, in the order in which they load.
    #[serde(default)]
    pub(in crate::setup) dependencies: BTreeMap<String, Vec<String>>,
    /// The libraries that a program needs, including the dynamic linker.
    #[serde(default)]
    pub(in crate::setup) libraries: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::setup) struct Package {
    pub(in crate::setup) name: String,
    pub(in crate::setup) version: String,
}
