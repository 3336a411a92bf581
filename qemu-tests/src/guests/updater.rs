// SPDX-License-Identifier: MIT OR Apache-2.0

//! The updater inside the guest: imagegen, built for it.

use std::path::PathBuf;

use super::error::GuestError;
use crate::build;
use crate::setup::cross;
use crate::toolchain::Toolchain;

/// Builds imagegen for the guest. If this machine cannot, says why on stderr and returns `None`:
/// guests without it boot and answer, but cannot update themselves.
pub(super) fn make() -> Result<Option<PathBuf>, GuestError> {
    let toolchain = Toolchain::query().map_err(build::BuildError::from)?;
    match cross::ensure(&toolchain) {
        Ok(cross) => Ok(Some(build::updater(&cross)?)),
        Err(error) => {
            eprintln!(
                "note: the guest will have no updater, so it can be updated only from outside: {error}"
            );
            Ok(None)
        }
    }
}
