// SPDX-License-Identifier: MIT OR Apache-2.0

//! Splits a delta that arrives in pieces of any size into its headers and sections.

use super::error::DeltaError;
use super::limits::DecodeOptions;
use crate::format::file_header;
use crate::format::window_header::{self, LONGEST_HEADER, WindowFault, WindowHeader};

/// The next part of a delta.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// Bytes of the application header.
    Application(&'a [u8]),
    /// The header of the next window.
    Window(WindowHeader),
    /// Bytes of the window's sections.
    Sections(&'a [u8]),
    /// The sections are complete.
    WindowEnd,
}

#[derive(Debug)]
enum State {
    FileHeader,
    /// Holds the bytes that are left.
    Application(u64),
    WindowHeader,
    /// Holds the bytes that are left.
    Sections(u64),
    Failed,
}

/// Where in a delta the input is.
#[derive(Debug)]
pub(crate) struct Framing {
    options: DecodeOptions,
    state: State,
    /// The start of a header that is not complete yet.
    pending: Vec<u8>,
    /// The offset in the delta of the next byte.
    offset: u64,
    /// The number of the current window, or of the next one between two windows.
    window: u64,
    /// The bytes of the target in the windows before.
    target_offset: u64,
    /// The bytes of the target in the current window.
    target_length: u64,
}

impl Framing {
    pub(crate) fn new(options: DecodeOptions) -> Self {
        Self {
            options,
            state: State::FileHeader,
            pending: Vec::with_capacity(LONGEST_HEADER),
            offset: 0,
            window: 0,
            target_offset: 0,
            target_length: 0,
        }
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The number of the current window, or of the next one between two windows.
    pub(crate) fn window(&self) -> u64 {
        self.window
    }

    /// The offset in the target of the current window.
    pub(crate) fn target_offset(&self) -> u64 {
        self.target_offset
    }

    /// No more of the delta is used.
    pub(crate) fn give_up(&mut self) {
        self.state = State::Failed;
    }

    /// Takes the next part from the front of the input, or `None` when it needs more.
    pub(crate) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<Part<'a>>, DeltaError> {
        let result = self.part(input);
        if result.is_err() {
            self.give_up();
        }
        result
    }

    fn part<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Part<'a>>, DeltaError> {
        loop {
            match self.state {
                State::FileHeader => {
                    let longest = self.options.longest_application_header;
                    let parse = |bytes: &[u8]| file_header::parse(bytes, longest);
                    let Some(header) = self.header(input, parse)? else {
                        return Ok(None);
                    };
                    self.state = State::Application(header.application.unwrap_or(0));
                }
                State::Application(0) => self.state = State::WindowHeader,
                State::Application(left) => {
                    let taken = self.take(input, left);
                    self.state = State::Application(left - taken.len() as u64);
                    return Ok((!taken.is_empty()).then_some(Part::Application(taken)));
                }
                State::WindowHeader => {
                    let header = self.window_header(input)?;
                    return Ok(header.map(Part::Window));
                }
                State::Sections(0) => {
                    self.state = State::WindowHeader;
                    self.window += 1;
                    self.target_offset += self.target_length;
                    return Ok(Some(Part::WindowEnd));
                }
                State::Sections(left) => {
                    let taken = self.take(input, left);
                    self.state = State::Sections(left - taken.len() as u64);
                    return Ok((!taken.is_empty()).then_some(Part::Sections(taken)));
                }
                State::Failed => return Err(DeltaError::GivenUp),
            }
        }
    }

    fn window_header(&mut self, input: &mut &[u8]) -> Result<Option<WindowHeader>, DeltaError> {
        let (window, offset) = (self.window, self.offset - self.pending.len() as u64);
        let fault = |fault| DeltaError::Window {
            window,
            offset,
            fault,
        };
        let longest = self.options.largest_window;
        let parse = |bytes: &[u8]| window_header::parse(bytes, longest).map_err(fault);
        let Some(header) = self.header(input, parse)? else {
            return Ok(None);
        };
        if self
            .target_offset
            .checked_add(header.target_length)
            .is_none()
        {
            return Err(fault(WindowFault::TargetLength));
        }
        self.target_length = header.target_length;
        self.state = State::Sections(header.sections_length());
        Ok(Some(header))
    }

    /// Collects a header byte by byte: headers are short, and only parsing them tells their end.
    fn header<H, E>(
        &mut self,
        input: &mut &[u8],
        parse: impl Fn(&[u8]) -> Result<Option<H>, E>,
    ) -> Result<Option<H>, DeltaError>
    where
        DeltaError: From<E>,
    {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            self.offset += 1;
            self.pending.push(byte);
            if let Some(header) = parse(&self.pending)? {
                self.pending.clear();
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    fn take<'a>(&mut self, input: &mut &'a [u8], most: u64) -> &'a [u8] {
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(input.len());
        let (taken, rest) = input.split_at(length);
        *input = rest;
        self.offset += length as u64;
        taken
    }

    /// Checks that the delta may end here.
    pub(crate) fn finish(&self) -> Result<(), DeltaError> {
        match self.state {
            State::Application(0) => Ok(()),
            State::WindowHeader if self.pending.is_empty() => Ok(()),
            State::Failed => Err(DeltaError::GivenUp),
            _ => Err(DeltaError::Truncated(self.offset)),
        }
    }
}
