// SPDX-License-Identifier: MIT OR Apache-2.0

//! The packages that an asset was taken from.

use serde::{Deserialize, Serialize};

/// The file in an asset's folder that holds [`Contents`]. It is written last, before the folder
/// gets its name.
pub(super) const CONTENTS: &str = "contents.json";

/// The contents of `contents.json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::setup) struct Contents {
    pub(in crate::setup) packages: Vec<Package>,
    /// Modules to load, in this order.
    #[serde(default)]
    pub(in crate::setup) modules: Vec<String>,
    /// Modules that wait for somebody to ask for the last of them, in the order in which they
    /// load.
    #[serde(default)]
    pub(in crate::setup) on_demand: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::setup) struct Package {
    pub(in crate::setup) name: String,
    pub(in crate::setup) version: String,
}
