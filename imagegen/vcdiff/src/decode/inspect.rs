// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a delta says about itself, without a source.

use std::io::{self, Read};

use super::error::DeltaError;
use super::framing::{Framing, Part};
use super::limits::{DecodeOptions, INPUT_LENGTH};
use crate::format::window_header::WindowHeader;

/// The start of a delta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The application header, in which xdelta3 keeps the files' names.
    pub application_header: Vec<u8>,
    /// The header of the first window, or `None` when the target is empty.
    pub first_window: Option<WindowHeader>,
}

/// The headers of a whole delta.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The number of windows.
    pub windows: u64,
    /// The number of windows without a checksum.
    pub unchecked_windows: u64,
    /// The length of the target in bytes.
    pub target_length: u64,
    /// The length of the largest target window in bytes.
    pub largest_window: u64,
    /// The end of the furthest source segment in bytes. A source of this length is enough; whether
    /// a shorter one is, only its copies tell.
    pub source_length: u64,
}

/// Reads a delta up to the header of its first window, and so tells whether it is a delta that can
/// be applied: fwup's check of an archive does no more, because it has no source.
///
/// # Errors
///
/// When the delta cannot be read, ends early, or has a header that cannot be used.
pub fn check(delta: &mut impl Read, options: DecodeOptions) -> Result<Start, DeltaError> {
    let mut start = Start {
        application_header: Vec::new(),
        first_window: None,
    };
    each_part(delta, options, |part| match part {
        Part::Application(bytes) => {
            start.application_header.extend_from_slice(bytes);
            true
        }
        Part::Window(header) => {
            start.first_window = Some(header);
            false
        }
        Part::Sections(_) | Part::WindowEnd => false,
    })?;
    Ok(start)
}

/// Reads a whole delta, and sums up its headers. The sections are skipped.
///
/// # Errors
///
/// When the delta cannot be read, ends early, or has a header that cannot be used.
pub fn inspect(delta: &mut impl Read, options: DecodeOptions) -> Result<Summary, DeltaError> {
    let mut summary = Summary::default();
    each_part(delta, options, |part| {
        if let Part::Window(header) = part {
            let segment = header.segment;
            summary.windows += 1;
            summary.unchecked_windows += u64::from(header.checksum.is_none());
            summary.target_length += header.target_length;
            summary.largest_window = summary.largest_window.max(header.target_length);
            summary.source_length = summary.source_length.max(segment.offset + segment.length);
        }
        true
    })?;
    Ok(summary)
}

/// Calls `part` with each part, until it returns false.
fn each_part(
    delta: &mut impl Read,
    options: DecodeOptions,
    mut part: impl FnMut(Part<'_>) -> bool,
) -> Result<(), DeltaError> {
    let mut framing = Framing::new(options);
    let mut buffer = vec![0; INPUT_LENGTH];
    loop {
        let length = match delta.read(&mut buffer) {
            Ok(0) => return framing.finish(),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let offset = framing.offset();
                return Err(DeltaError::Delta { offset, error });
            }
        };
        let mut input = &buffer[..length];
        while let Some(found) = framing.next(&mut input)? {
            if !part(found) {
                return Ok(());
            }
        }
    }
}
