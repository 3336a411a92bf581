// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::Write;

use super::error::DeltaError;
use super::limits::DecodeOptions;
use super::windows::Windows;
use crate::source::Source;

/// The most bytes that are written at once, so that whoever shows progress is called often enough.
const LONGEST_WRITE: usize = 128 << 10;

/// Makes a target from a source and a delta that is pushed in pieces of any size.
///
/// [`Patched`](super::Patched) is the same for who would rather pull.
#[derive(Debug)]
pub struct Decoder<S> {
    windows: Windows<S>,
    written: u64,
}

impl<S: Source> Decoder<S> {
    /// A decoder at the start of a delta.
    pub fn new(source: S, options: DecodeOptions) -> Self {
        Self {
            windows: Windows::new(source, options),
            written: 0,
        }
    }

    /// Takes the next bytes of the delta, and writes the windows that they complete.
    ///
    /// # Errors
    ///
    /// When the delta cannot be used, the source cannot be read, or the sink fails. A window whose
    /// checksum differs is not written. After an error, each further call is one.
    pub fn push(&mut self, mut delta: &[u8], sink: &mut impl Write) -> Result<(), DeltaError> {
        while let Some(window) = self.windows.next(&mut delta)? {
            for piece in window.chunks(LONGEST_WRITE) {
                let offset = self.written;
                if let Err(error) = sink.write_all(piece) {
                    self.windows.give_up();
                    return Err(DeltaError::Sink { offset, error });
                }
                self.written += piece.len() as u64;
            }
        }
        Ok(())
    }

    /// The bytes of the target that were written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Checks that the delta is complete, and returns the length of the target in bytes.
    ///
    /// # Errors
    ///
    /// When the delta ends within a header or a window, or failed before.
    pub fn finish(self) -> Result<u64, DeltaError> {
        self.windows.framing().finish()?;
        Ok(self.written)
    }
}
