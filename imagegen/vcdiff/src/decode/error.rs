// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;

use crate::format::file_header::HeaderFault;
use crate::format::window_header::WindowFault;

/// Why a delta was not applied. Windows are counted from 0, offsets are in bytes.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// The delta's header.
    #[error("the delta {0}")]
    Header(#[from] HeaderFault),
    /// The header of a window.
    #[error("window {window}, at offset {offset} of the delta, {fault}")]
    Window {
        /// The window's number.
        window: u64,
        /// The header's offset in the delta.
        offset: u64,
        /// The fault.
        fault: WindowFault,
    },
    /// An instruction of a window.
    #[error("window {window}, at offset {offset} of the target, {fault}")]
    Instruction {
        /// The window's number.
        window: u64,
        /// The offset in the target that the instruction was for.
        offset: u64,
        /// The fault.
        fault: InstructionFault,
    },
    /// The checksum of a target window.
    #[error(
        "window {window}, at offset {offset} of the target, has the checksum {found:#010x}, the \
         delta says {expected:#010x}; was the delta made for another source?"
    )]
    Checksum {
        /// The window's number.
        window: u64,
        /// The offset in the target of the window's first byte.
        offset: u64,
        /// The Adler-32 checksum of the window that was made.
        found: u32,
        /// The checksum in the delta.
        expected: u32,
    },
    /// The source cannot be read.
    #[error("window {window}: cannot read the source at offset {offset}: {error}")]
    Source {
        /// The window's number.
        window: u64,
        /// The offset in the source of the copy.
        offset: u64,
        /// The error.
        error: io::Error,
    },
    /// The target cannot be written.
    #[error("cannot write the target at offset {offset}: {error}")]
    Sink {
        /// The offset in the target.
        offset: u64,
        /// The error.
        error: io::Error,
    },
    /// The delta cannot be read.
    #[error("cannot read the delta at offset {offset}: {error}")]
    Delta {
        /// The offset in the delta.
        offset: u64,
        /// The error.
        error: io::Error,
    },
    /// The delta ends early.
    #[error("the delta ends after {0} bytes, within a header or a window; it was cut off")]
    Truncated(u64),
    /// There is not enough memory for a window within the limits.
    #[error("window {window} needs {bytes} bytes of memory, which are not available")]
    Memory {
        /// The window's number.
        window: u64,
        /// The size in bytes.
        bytes: u64,
    },
    /// A decoder was used again after an error.
    #[error("the delta was given up after an earlier error")]
    GivenUp,
}

/// Why an instruction cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstructionFault {
    /// A section ends too early.
    #[error("needs more bytes than the section of {0} has")]
    SectionEnds(Section),
    /// An integer.
    #[error("has an integer that exceeds 64 bits in the section of {0}")]
    Integer(Section),
    /// A copy from later than itself.
    #[error("copies from address {address}, expected less than {here}")]
    NotBefore {
        /// The address in the source segment and the target window after it.
        address: u64,
        /// The address of the copy itself.
        here: u64,
    },
    /// A copy from an address that cannot be told.
    #[error("copies from an address that is negative or exceeds 64 bits")]
    Address,
    /// A copy from both the source segment and the target window.
    #[error("copies {size} bytes from offset {offset} of the source segment, which has {length}")]
    CrossesSegment {
        /// The size of the copy in bytes.
        size: u64,
        /// The offset in the source segment.
        offset: u64,
        /// The length of the source segment.
        length: u64,
    },
    /// A copy beyond the end of the source.
    #[error(
        "copies {size} bytes from offset {offset} of the source, which has {length} bytes; \
         was the delta made for another source?"
    )]
    BeyondSource {
        /// The size of the copy in bytes.
        size: u64,
        /// The offset in the source.
        offset: u64,
        /// The length of the source.
        length: u64,
    },
    /// An instruction beyond the end of the window.
    #[error("makes {size} bytes, but only {left} are left in the window")]
    BeyondWindow {
        /// The size of the instruction in bytes.
        size: u64,
        /// The bytes that the window lacks.
        left: u64,
    },
    /// The instructions end before the window does.
    #[error("has no more instructions, but {0} bytes are left in the window")]
    WindowUnfinished(u64),
    /// The window ends before a section does.
    #[error("is complete, but {bytes} bytes are left in the section of {section}")]
    LeftOver {
        /// The section.
        section: Section,
        /// The bytes that no instruction used.
        bytes: u64,
    },
}

/// A section of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The bytes that are in neither source nor target.
    Data,
    /// The codes and sizes.
    Instructions,
    /// The addresses of copies.
    Addresses,
}

impl std::fmt::Display for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::Instructions => "instructions",
            Self::Addresses => "addresses",
        })
    }
}
