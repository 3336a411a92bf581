// SPDX-License-Identifier: MIT OR Apache-2.0

//! Downloading assets into the cache.

use std::fs;
use std::path::Path;

use super::asset::{Asset, FOLDER};
use super::contents::CONTENTS;
use super::error::{AssetError, failed};
use super::extract::extract;
use super::package_lists::PackageLists;
use crate::setup::debian::mirrors::Mirrors;

/// Downloads those of `assets` that are not in `cache`, and returns the result for each of them.
/// Consecutive assets with the same sources share their package lists.
pub(in crate::setup) fn install(
    assets: &[Asset],
    mirrors: &Mirrors,
    cache: &Path,
) -> Vec<(Asset, Result<(), AssetError>)> {
    let mut open: Option<PackageLists> = None;
    let absent = assets.iter().filter(|asset| asset.find(cache).is_none());
    absent
        .map(|asset| {
            let installed = asset.sources(mirrors).and_then(|sources| {
                let lists = match open.take() {
                    Some(lists) if lists.sources() == sources => lists,
                    _ => PackageLists::read(sources, cache)?,
                };
                put_in_place(asset, open.insert(lists), cache)
            });
            (*asset, installed)
        })
        .collect()
}

/// Fills a folder next to the destination and renames it, so that an interruption leaves nothing
/// that looks complete.
fn put_in_place(asset: &Asset, lists: &PackageLists, cache: &Path) -> Result<(), AssetError> {
    let unpacked = tempfile::Builder::new()
        .prefix("unpack-")
        .tempdir_in(cache)
        .map_err(failed(cache))?;
    let (tree, new) = (unpacked.path().join("tree"), unpacked.path().join("new"));
    for folder in [&tree, &new] {
        fs::create_dir(folder).map_err(failed(folder))?;
    }
    let contents = extract(*asset, lists, &tree, &new)?;
    let text = serde_json::to_vec_pretty(&contents).map_err(|error| failed(&new)(error.into()))?;
    fs::write(new.join(CONTENTS), text).map_err(failed(&new))?;
    let folder = asset.folder(cache);
    fs::create_dir_all(cache.join(FOLDER)).map_err(failed(cache))?;
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed(&folder))?;
    }
    fs::rename(&new, &folder).map_err(failed(&folder))
}
