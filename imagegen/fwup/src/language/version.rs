// SPDX-License-Identifier: MIT OR Apache-2.0

/// The latest version of fwup whose configurations are supported.
pub const FWUP_VERSION: &str = "1.16.0";

/// Whether a version is [`FWUP_VERSION`] or older. Compares only the numbers; `None` if `version`
/// is not a version.
pub(super) fn is_supported(version: &str) -> Option<bool> {
    let wanted = version_numbers(version)?;
    Some(version_numbers(FWUP_VERSION).is_some_and(|ours| wanted <= ours))
}

/// Returns the three numbers of a version; `None` if it is not one. Missing numbers are 0.
pub(crate) fn version_numbers(text: &str) -> Option<[u64; 3]> {
    let text = text.split(['-', '+']).next()?;
    let mut parts = [0; 3];
    let mut found = text.split('.');
    for part in &mut parts {
        *part = found.next().map_or(Ok(0), str::parse).ok()?;
    }
    found.next().is_none().then_some(parts)
}
