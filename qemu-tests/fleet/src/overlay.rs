// SPDX-License-Identifier: MIT OR Apache-2.0

//! The disks of the guests: overlays of one image.

use std::path::Path;

use imagegen::overlay::OverlayBuilder;

use crate::error::FleetError;

/// Creates the overlay `disk` of the image at `image`, which stays as it is.
///
/// # Errors
///
/// When the image cannot be read, or the overlay cannot be written.
pub fn create(disk: &Path, image: &Path) -> Result<(), FleetError> {
    let overlay = OverlayBuilder::new(image).and_then(|overlay| overlay.create(disk));
    overlay.map_err(|error| FleetError::Refused(error.to_string()))
}
