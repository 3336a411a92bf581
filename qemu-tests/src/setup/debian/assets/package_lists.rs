// SPDX-License-Identifier: MIT OR Apache-2.0

//! Package lists, and packages by name.

use std::fs;
use std::path::Path;

use super::contents::Package;
use super::error::{AssetError, failed};
use crate::setup::announce::announce;
use crate::setup::debian::archive::Archive;
use crate::setup::debian::sources::Source;
use crate::setup::debian::unpack;

/// The downloaded package lists of some suites.
pub(super) struct PackageLists {
    archive: Archive,
    sources: Vec<Source>,
}

impl PackageLists {
    pub(super) fn read(sources: Vec<Source>, cache: &Path) -> Result<Self, AssetError> {
        let uri = &sources.first().ok_or(AssetError::NoArchive)?.uri;
        announce(&format!(
            "reading the arm64 package lists of {}, {uri}",
            suites(&sources)
        ));
        let archive = Archive::open(cache, &sources, "arm64")?;
        Ok(Self { archive, sources })
    }

    /// The sources of the lists.
    pub(super) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Returns the newest version of a package.
    pub(super) fn newest(&self, name: &str) -> Result<Package, AssetError> {
        match self.archive.versions(name)?.into_iter().next() {
            Some(version) => Ok(Package {
                name: name.to_owned(),
                version,
            }),
            None => Err(self.lacks(name)),
        }
    }

    /// Returns the dependencies of a package.
    pub(super) fn depends(&self, package: &Package) -> Result<Vec<String>, AssetError> {
        Ok(self.archive.depends(&package.name, &package.version)?)
    }

    /// Downloads a package and unpacks those of its files that match one of `patterns`.
    pub(super) fn unpack(
        &self,
        package: &Package,
        patterns: &[&str],
        tree: &Path,
    ) -> Result<(), AssetError> {
        let (name, version) = (&package.name, &package.version);
        announce(&format!("downloading {name} {version}"));
        let file = self.archive.download(name, version)?;
        unpack::files(&file, patterns, tree)?;
        // A kernel package has 100 MB, and several may follow.
        fs::remove_file(&file).map_err(failed(&file))
    }

    /// Downloads packages, preferably of `suite`, and all of their dependencies, and unpacks them.
    pub(super) fn unpack_with_dependencies(
        &self,
        packages: &[&str],
        suite: Option<&str>,
        tree: &Path,
    ) -> Result<(), AssetError> {
        announce(&format!(
            "downloading {} and what they need",
            packages.join(", ")
        ));
        let files = self.archive.download_with_dependencies(packages, suite)?;
        announce(&format!("unpacking {} packages", files.len()));
        for file in files {
            unpack::all_files(&file, tree)?;
        }
        Ok(())
    }

    /// Returns the error for a package that is not in the lists.
    pub(super) fn lacks(&self, package: &str) -> AssetError {
        let uri = self
            .sources
            .first()
            .map_or_else(String::new, |source| source.uri.clone());
        AssetError::NoPackage {
            uri,
            suites: suites(&self.sources),
            package: package.to_owned(),
        }
    }
}

fn suites(sources: &[Source]) -> String {
    let names: Vec<&str> = sources.iter().map(|source| source.suite.as_str()).collect();
    names.join(", ")
}
