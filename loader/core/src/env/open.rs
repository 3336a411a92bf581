// SPDX-License-Identifier: MIT OR Apache-2.0

//! Opens an environment that was read from a disk: chooses the newer of two copies, or repairs a
//! single copy torn by a power cut.

use core::fmt;

use crate::env::block::{Env, EnvError, Format};
use crate::env::place::{EnvCopy, active_copy};
use crate::env::repair::{Repair, repair};
use crate::env::writer::{Sectors, Writer};

/// A usable environment. Borrows nothing: the caller passes its blocks to [`writer`](Self::writer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A single copy. It differs from the disk in the dirty sectors.
    Single { dirty: Sectors, is_repaired: bool },
    /// A redundant pair.
    Redundant {
        active: EnvCopy,
        /// Whether the inactive copy's block in memory matches the disk.
        is_other_known: bool,
    },
}

impl Opened {
    /// Returns the active copy.
    #[must_use]
    pub fn active(&self) -> EnvCopy {
        match self.0 {
            Kind::Single { .. } => EnvCopy::First,
            Kind::Redundant { active, .. } => active,
        }
    }

    /// Whether a torn write was completed or undone in memory. The caller must then write the
    /// environment before anything else.
    #[must_use]
    pub fn is_repaired(&self) -> bool {
        matches!(
            self.0,
            Kind::Single {
                is_repaired: true,
                ..
            }
        )
    }

    /// Returns a writer for the environment. `first` and `second` must be the blocks that
    /// [`single`] or [`redundant`] opened, unchanged since; `second` is ignored for a single copy.
    #[must_use]
    pub fn writer<'a>(&self, first: &'a mut [u8], second: &'a mut [u8]) -> Writer<'a> {
        match self.0 {
            Kind::Single { dirty, .. } => Writer::single(first, dirty),
            Kind::Redundant {
                active,
                is_other_known,
            } => {
                let (block, other) = match active {
                    EnvCopy::First => (first, second),
                    EnvCopy::Second => (second, first),
                };
                Writer::redundant(block, active, other, is_other_known)
            }
        }
    }
}

/// The invalid copy of a redundant pair, and its error. The next write repairs the copy.
pub type InvalidCopy<E> = (EnvCopy, CopyError<E>);

/// Why a copy of a pair is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyError<E> {
    /// The copy could not be read.
    Read(E),
    /// The copy is not a valid environment.
    Env(EnvError),
}

impl<E: fmt::Display> fmt::Display for CopyError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Env(error) => error.fmt(f),
        }
    }
}

/// Why a single copy is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The error of the block.
    pub error: EnvError,
    /// Whether more than one repair was possible.
    pub is_ambiguous: bool,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)?;
        if self.is_ambiguous {
            f.write_str(" (a torn write that more than one state explains)")?;
        }
        Ok(())
    }
}

/// Why both copies of a pair are invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BothBroken<E> {
    /// The error of the first copy.
    pub first: CopyError<E>,
    /// The error of the second copy.
    pub second: CopyError<E>,
}

/// Opens a single copy that was read from the disk. If a power cut tore the copy, repairs it in
/// memory.
///
/// # Errors
///
/// When the copy is invalid and cannot be repaired.
pub fn single(block: &mut [u8]) -> Result<Opened, Broken> {
    let opened = |dirty, is_repaired| Opened(Kind::Single { dirty, is_repaired });
    let Err(error) = Env::parse(block, Format::Single) else {
        return Ok(opened(Sectors::default(), false));
    };
    let repaired = match error {
        EnvError::BadCrc { stored, computed } => repair(block, stored, computed),
        EnvError::TooSmall { .. } => Repair::NoMatch,
    };
    match repaired {
        Repair::Repaired(sectors) => Ok(opened(sectors, true)),
        Repair::NoMatch | Repair::Ambiguous => Err(Broken {
            error,
            is_ambiguous: repaired == Repair::Ambiguous,
        }),
    }
}

/// Opens a redundant pair that was read from the disk. `read` is the result of reading each copy.
///
/// # Errors
///
/// When neither copy is valid.
pub fn redundant<E>(
    first: &[u8],
    second: &[u8],
    read: (Result<(), E>, Result<(), E>),
) -> Result<(Opened, Option<InvalidCopy<E>>), BothBroken<E>> {
    let parse = |block: &[u8], read: Result<(), E>| match read {
        Err(error) => Err(CopyError::Read(error)),
        Ok(()) => Env::parse(block, Format::Redundant)
            .map(|env| env.flags().unwrap_or_default())
            .map_err(CopyError::Env),
    };
    let (active, invalid) = active_copy(parse(first, read.0), parse(second, read.1))
        .map_err(|(first, second)| BothBroken { first, second })?;
    let is_other_known = !matches!(invalid, Some((_, CopyError::Read(_))));
    let opened = Opened(Kind::Redundant {
        active,
        is_other_known,
    });
    Ok((opened, invalid))
}
