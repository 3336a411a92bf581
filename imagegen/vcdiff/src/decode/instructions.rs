// SPDX-License-Identifier: MIT OR Apache-2.0

//! Follows the instructions of one window.

use std::io;

use super::error::{InstructionFault, Section};
use crate::format::address::{AddressCache, AddressFault};
use crate::format::bytes::{Bytes, ReadFault};
use crate::format::code_table::{CODE_TABLE, Instruction, Operation};
use crate::format::window_header::WindowHeader;
use crate::source::Source;
use crate::source::cache::CachedSource;

/// Why a window was not made.
#[derive(Debug)]
pub(crate) enum Fault {
    /// An instruction cannot be followed.
    Instruction(InstructionFault),
    /// The source cannot be read.
    Source { offset: u64, error: io::Error },
}

impl From<InstructionFault> for Fault {
    fn from(fault: InstructionFault) -> Self {
        Self::Instruction(fault)
    }
}

/// A window that is being made.
struct Window<'a, S> {
    header: WindowHeader,
    data: Bytes<'a>,
    codes: Bytes<'a>,
    addresses: Bytes<'a>,
    recent: AddressCache,
    source: &'a mut CachedSource<S>,
    target: &'a mut Vec<u8>,
}

/// Appends a window to the empty `target`. `sections` are the header's three. After an error
/// `target` ends where the instruction failed.
pub(crate) fn follow<S: Source>(
    header: WindowHeader,
    sections: &[u8],
    source: &mut CachedSource<S>,
    target: &mut Vec<u8>,
) -> Result<(), Fault> {
    let mut bytes = Bytes::new(sections);
    let mut section = |index: usize, section| {
        let length = usize::try_from(header.sections[index]).ok();
        let taken = length.and_then(|length| bytes.take(length).ok());
        taken
            .map(Bytes::new)
            .ok_or(InstructionFault::SectionEnds(section))
    };
    let mut window = Window {
        header,
        data: section(0, Section::Data)?,
        codes: section(1, Section::Instructions)?,
        addresses: section(2, Section::Addresses)?,
        recent: AddressCache::new(),
        source,
        target,
    };
    while let Ok(code) = window.codes.byte() {
        for instruction in &CODE_TABLE[usize::from(code)] {
            window.instruction(*instruction)?;
        }
    }
    Ok(window.finish()?)
}

impl<S: Source> Window<'_, S> {
    #[inline]
    fn instruction(&mut self, instruction: Instruction) -> Result<(), Fault> {
        if instruction.operation == Operation::Nothing {
            return Ok(());
        }
        let size = match instruction.size {
            0 => in_section(self.codes.integer(), Section::Instructions)?,
            size => u64::from(size),
        };
        let left = self.left();
        if size > left {
            return Err(InstructionFault::BeyondWindow { size, left }.into());
        }
        // The window is in memory, so what is left of it fits.
        let length = size as usize;
        match instruction.operation {
            Operation::Nothing => {}
            Operation::Add => {
                let data = in_section(self.data.take(length), Section::Data)?;
                self.target.extend_from_slice(data);
            }
            Operation::Run => {
                let byte = in_section(self.data.byte(), Section::Data)?;
                self.target.resize(self.target.len() + length, byte);
            }
            Operation::Copy(mode) => self.copy(mode, length)?,
        }
        Ok(())
    }

    /// The bytes that the window lacks.
    fn left(&self) -> u64 {
        self.header.target_length - self.target.len() as u64
    }

    fn copy(&mut self, mode: u8, length: usize) -> Result<(), Fault> {
        let segment = self.header.segment;
        let here = segment.length + self.target.len() as u64;
        let address = match self.recent.decode(mode, here, &mut self.addresses) {
            Ok(address) => address,
            Err(AddressFault::Read(fault)) => in_section(Err(fault), Section::Addresses)?,
            Err(AddressFault::NotBefore(Some(address))) => {
                return Err(InstructionFault::NotBefore { address, here }.into());
            }
            Err(AddressFault::NotBefore(None)) => return Err(InstructionFault::Address.into()),
        };
        if let Some(start) = address.checked_sub(segment.length) {
            self.repeat(start as usize, length);
            return Ok(());
        }
        let size = length as u64;
        if size > segment.length - address {
            let (offset, length) = (address, segment.length);
            return Err(InstructionFault::CrossesSegment {
                size,
                offset,
                length,
            }
            .into());
        }
        // The end of the segment fits in 64 bits, and the copy is within the segment.
        let offset = segment.offset + address;
        let available = self.source.length();
        if offset + size > available {
            let length = available;
            return Err(InstructionFault::BeyondSource {
                size,
                offset,
                length,
            }
            .into());
        }
        self.source
            .append(offset, length, self.target)
            .map_err(|error| Fault::Source { offset, error })
    }

    /// Copies from the target itself. A copy that reaches its own first byte repeats.
    fn repeat(&mut self, start: usize, mut length: usize) {
        while length > 0 {
            // What was copied continues the pattern, so that each round doubles it.
            let available = self.target.len() - start;
            let taken = length.min(available);
            self.target.extend_from_within(start..start + taken);
            length -= taken;
        }
    }

    /// Checks that window and sections end together.
    fn finish(&self) -> Result<(), InstructionFault> {
        match self.left() {
            0 => {}
            left => return Err(InstructionFault::WindowUnfinished(left)),
        }
        let sections = [
            (Section::Data, &self.data),
            (Section::Addresses, &self.addresses),
        ];
        match sections.into_iter().find(|(_, rest)| !rest.is_empty()) {
            Some((section, rest)) => Err(InstructionFault::LeftOver {
                section,
                bytes: rest.len() as u64,
            }),
            None => Ok(()),
        }
    }
}

fn in_section<T>(result: Result<T, ReadFault>, section: Section) -> Result<T, InstructionFault> {
    result.map_err(|fault| match fault {
        ReadFault::Truncated => InstructionFault::SectionEnds(section),
        ReadFault::TooLarge => InstructionFault::Integer(section),
    })
}
