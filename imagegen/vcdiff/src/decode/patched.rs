// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::{self, BufRead, BufReader, Read};

use super::error::DeltaError;
use super::limits::{DecodeOptions, INPUT_LENGTH};
use super::windows::Windows;
use crate::source::Source;

/// A target that is read from a source and a delta.
///
/// An error of [`Read`] holds a [`DeltaError`]. A window whose checksum differs is not returned.
/// [`Decoder`](super::Decoder) is the same for who would rather push.
#[derive(Debug)]
pub struct Patched<D, S> {
    delta: BufReader<D>,
    windows: Windows<S>,
    /// The bytes of the current window that were returned.
    position: usize,
}

impl<D: Read, S: Source> Patched<D, S> {
    /// A target before its first byte.
    pub fn new(delta: D, source: S, options: DecodeOptions) -> Self {
        Self {
            delta: BufReader::with_capacity(INPUT_LENGTH, delta),
            windows: Windows::new(source, options),
            position: 0,
        }
    }

    /// Makes the next window that is not empty. Returns whether there is one.
    fn next_window(&mut self) -> Result<bool, DeltaError> {
        self.position = 0;
        loop {
            let offset = self.windows.framing().offset();
            let mut input = match self.delta.fill_buf() {
                Ok(input) => input,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(DeltaError::Delta { offset, error }),
            };
            let available = input.len();
            if available == 0 {
                self.windows.clear();
                return self.windows.framing().finish().map(|()| false);
            }
            let found = self
                .windows
                .next(&mut input)?
                .is_some_and(|window| !window.is_empty());
            let taken = available - input.len();
            self.delta.consume(taken);
            if found {
                return Ok(true);
            }
        }
    }
}

impl<D: Read, S: Source> Read for Patched<D, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        if self.position == self.windows.window().len() {
            match self.next_window() {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
        let rest = &self.windows.window()[self.position..];
        let length = rest.len().min(out.len());
        out[..length].copy_from_slice(&rest[..length]);
        self.position += length;
        Ok(length)
    }
}
