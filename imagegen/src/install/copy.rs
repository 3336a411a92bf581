// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;
use std::ops::Range;

use fwup::destination::Storage;

use super::error::InstallError;
use crate::image::Image;
use crate::layout::Blocks;

/// The number of bytes that are written if one of them differs: a cluster of an overlay.
const GRAIN: u64 = 64 << 10;
/// The number of bytes that are compared at once.
const STEP: u64 = 4 << 20;

/// A part of a slot, to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Its name in messages.
    pub(super) what: &'static str,
    /// Its blocks in the new image.
    pub(super) from: Blocks,
    /// Its first block in the image that is updated.
    pub(super) to: u64,
}

/// Copies what differs, and returns the number of bytes written. `from` is read only.
pub(super) fn copy(from: &mut Image, to: &mut Image, part: &Part) -> Result<u64, InstallError> {
    let length = part.from.bytes();
    let (start, target) = (part.from.start * 512, part.to * 512);
    let (mut done, mut written) = (0, 0);
    let (mut old, mut new) = (Vec::new(), Vec::new());
    while done < length {
        let at = target + done;
        // Below 4 MiB.
        let step = (STEP - at % STEP).min(length - done) as usize;
        old.resize(step, 0);
        new.resize(step, 0);
        read(from, start + done, &mut new)?;
        read(to, at, &mut old)?;
        for run in differing(&old, &new, at) {
            let offset = at + run.start as u64;
            written += run.len() as u64;
            to.write_at(offset, &new[run])
                .map_err(|error| failed(to, "cannot write", offset, error))?;
        }
        done += step as u64;
    }
    Ok(written)
}

/// Reads bytes of an image.
pub(super) fn read(image: &mut Image, offset: u64, out: &mut [u8]) -> Result<(), InstallError> {
    let result = image.read_exact_at(offset, out);
    result.map_err(|error| failed(image, "cannot read", offset, error))
}

pub(super) fn failed(
    image: &Image,
    action: &'static str,
    offset: u64,
    error: io::Error,
) -> InstallError {
    InstallError::File {
        action,
        path: image.path().to_owned(),
        offset,
        error,
    }
}

/// Returns the runs of grains that differ. The bytes are those from the offset `at` on; grains start
/// at multiples of their size.
fn differing(old: &[u8], new: &[u8], at: u64) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    while start < new.len() {
        let left = GRAIN - (at + start as u64) % GRAIN;
        let end = new.len().min(start + left as usize);
        if old[start..end] != new[start..end] {
            match runs.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => runs.push(start..end),
            }
        }
        start = end;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_grains_that_differ_are_written() {
        let old = vec![0; 300_000];
        let mut new = old.clone();
        assert_eq!(differing(&old, &new, 512), []);
        new[0] = 1;
        new[65_023] = 1;
        new[65_024] = 1;
        new[299_999] = 1;
        // Grains end at 65,024 and every 65,536 bytes from there on.
        assert_eq!(differing(&old, &new, 512), [0..130_560, 261_632..300_000]);
    }
}
