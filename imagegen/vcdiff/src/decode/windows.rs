// SPDX-License-Identifier: MIT OR Apache-2.0

use super::error::DeltaError;
use super::framing::{Framing, Part};
use super::instructions::{self, Fault};
use super::limits::DecodeOptions;
use crate::format::window_header::WindowHeader;
use crate::source::Source;
use crate::source::cache::CachedSource;

/// Makes the windows of a target, one at a time.
#[derive(Debug)]
pub(crate) struct Windows<S> {
    framing: Framing,
    source: CachedSource<S>,
    header: Option<WindowHeader>,
    sections: Vec<u8>,
    target: Vec<u8>,
}

impl<S: Source> Windows<S> {
    pub(crate) fn new(source: S, options: DecodeOptions) -> Self {
        Self {
            framing: Framing::new(options),
            source: CachedSource::new(source, options.cache_length),
            header: None,
            sections: Vec::new(),
            target: Vec::new(),
        }
    }

    pub(crate) fn framing(&self) -> &Framing {
        &self.framing
    }

    /// The window that was made last.
    pub(crate) fn window(&self) -> &[u8] {
        &self.target
    }

    /// Forgets the window that was made last.
    pub(crate) fn clear(&mut self) {
        self.target.clear();
    }

    /// No more of the delta is used, nor of the window.
    pub(crate) fn give_up(&mut self) {
        self.framing.give_up();
        self.target.clear();
    }

    /// Takes input until a window is complete. Returns the window, or `None` when all input is
    /// taken.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<&[u8]>, DeltaError> {
        let result = self.advance(input);
        match result {
            Ok(true) => Ok(Some(&self.target)),
            Ok(false) => Ok(None),
            Err(error) => {
                self.give_up();
                Err(error)
            }
        }
    }

    /// Takes input until a window is complete. Returns whether one is.
    fn advance(&mut self, input: &mut &[u8]) -> Result<bool, DeltaError> {
        let window = self.framing.window();
        loop {
            let offset = self.framing.target_offset();
            match self.framing.next(input)? {
                None => return Ok(false),
                Some(Part::Application(_)) => {}
                Some(Part::Window(header)) => {
                    self.sections.clear();
                    reserve(&mut self.sections, window, header.sections_length())?;
                    self.header = Some(header);
                }
                Some(Part::Sections(bytes)) => self.sections.extend_from_slice(bytes),
                Some(Part::WindowEnd) => {
                    if let Some(header) = self.header.take() {
                        self.make(header, window, offset)?;
                    }
                    return Ok(true);
                }
            }
        }
    }

    fn make(&mut self, header: WindowHeader, window: u64, start: u64) -> Result<(), DeltaError> {
        self.target.clear();
        reserve(&mut self.target, window, header.target_length)?;
        let (source, target) = (&mut self.source, &mut self.target);
        instructions::follow(header, &self.sections, source, target).map_err(
            |fault| match fault {
                Fault::Instruction(fault) => DeltaError::Instruction {
                    window,
                    offset: start + self.target.len() as u64,
                    fault,
                },
                Fault::Source { offset, error } => DeltaError::Source {
                    window,
                    offset,
                    error,
                },
            },
        )?;
        let Some(expected) = header.checksum else {
            return Ok(());
        };
        let found = simd_adler32::adler32(&self.target.as_slice());
        if found != expected {
            return Err(DeltaError::Checksum {
                window,
                offset: start,
                found,
                expected,
            });
        }
        Ok(())
    }
}

/// Reserves memory for `length` bytes in an empty buffer.
fn reserve(buffer: &mut Vec<u8>, window: u64, length: u64) -> Result<(), DeltaError> {
    let reserved = usize::try_from(length).map(|bytes| buffer.try_reserve_exact(bytes));
    match reserved {
        Ok(Ok(())) => Ok(()),
        _ => Err(DeltaError::Memory {
            window,
            bytes: length,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::bytes::push_integer;
    use crate::format::file_header::MAGIC;
    use crate::format::window_header::{Segment, WindowFault};

    /// The start of a delta, up to the sections of its first window.
    fn declared(target_length: u64, data_length: u64) -> Vec<u8> {
        let header = WindowHeader {
            segment: Segment::default(),
            target_length,
            checksum: None,
            sections: [data_length, 4, 0],
        };
        let mut delta = [&MAGIC[..], &[0]].concat();
        header.push(&mut delta);
        delta
    }

    fn memory<S>(windows: &Windows<S>) -> usize {
        windows.sections.capacity() + windows.target.capacity()
    }

    #[test]
    fn a_huge_window_is_refused_before_memory_is_reserved() {
        for length in [(64 << 20) + 1, 1 << 40, u64::MAX] {
            let mut windows = Windows::new(&[][..], DecodeOptions::default());
            let delta = declared(length, 1);
            let error = windows.next(&mut &delta[..]).unwrap_err();
            let DeltaError::Window {
                window: 0,
                offset: 5,
                fault,
            } = error
            else {
                panic!("{error}");
            };
            let limit = 64 << 20;
            assert_eq!(
                fault,
                WindowFault::TooLarge {
                    found: length,
                    limit
                }
            );
            assert_eq!(memory(&windows), 0);
            let error = windows.next(&mut &delta[..]).unwrap_err();
            assert!(matches!(error, DeltaError::GivenUp), "{error}");
        }
        let mut windows = Windows::new(&[][..], DecodeOptions::default());
        let error = windows.next(&mut &declared(100, 1 << 40)[..]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("has sections of 1099511627780 bytes"),
            "{error}"
        );
        assert_eq!(memory(&windows), 0);
    }

    #[test]
    fn memory_that_is_not_available_is_an_error() {
        let options = DecodeOptions {
            largest_window: u64::MAX,
            ..DecodeOptions::default()
        };
        let mut windows = Windows::new(&[][..], options);
        let error = windows
            .next(&mut &declared(1 << 62, 1 << 62)[..])
            .unwrap_err();
        assert!(
            matches!(error, DeltaError::Memory { window: 0, .. }),
            "{error}"
        );
    }

    #[test]
    fn memory_is_that_of_the_largest_window() {
        // A run of each length.
        let mut delta = [&MAGIC[..], &[0]].concat();
        for length in [10_000_u64, 1_000_000, 5, 1_000_000, 70] {
            let mut codes = vec![0];
            push_integer(&mut codes, length);
            let header = WindowHeader {
                segment: Segment::default(),
                target_length: length,
                checksum: None,
                sections: [1, codes.len() as u64, 0],
            };
            header.push(&mut delta);
            delta.push(b'x');
            delta.extend_from_slice(&codes);
        }
        let mut windows = Windows::new(&[][..], DecodeOptions::default());
        let (mut input, mut made) = (&delta[..], 0);
        while let Some(window) = windows.next(&mut input).unwrap() {
            made += window.len();
        }
        assert_eq!(made, 2_010_075);
        assert!(memory(&windows) < 1_100_000);
    }
}
