// SPDX-License-Identifier: MIT OR Apache-2.0

//! From what the disk holds to an environment that can be used: the newer of two copies, or a single one, repaired where a
//! power cut tore it.

use core::fmt;

use crate::env::block::{Env, EnvError, Format};
use crate::env::place::{EnvCopy, active_copy};
use crate::env::repair::{Repair, repair};
use crate::env::writer::{Sectors, Writer};

/// What had to be done to get an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovered<E> {
    /// Nothing.
    Whole,
    /// A torn write was completed or undone in memory. It must be written before anything else.
    Repaired,
    /// One copy of a pair is of no use; the next write goes there.
    OtherCopyBad(EnvCopy, CopyError<E>),
}

/// Why a copy of a pair is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyError<E> {
    /// It could not be read.
    Read(E),
    /// It is not valid.
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

/// Why a single copy is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What is wrong with it.
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

/// Why neither copy of a pair is of any use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BothBroken<E> {
    /// The reason of the first copy.
    pub first: CopyError<E>,
    /// The reason of the second one.
    pub second: CopyError<E>,
}

/// Takes a single copy that was read from the disk.
///
/// # Errors
///
/// When it is not valid and cannot be repaired.
pub fn single<E>(block: &mut [u8]) -> Result<(Writer<'_>, Recovered<E>), Broken> {
    let Err(error) = Env::parse(block, Format::Single) else {
        return Ok((Writer::single(block, Sectors::default()), Recovered::Whole));
    };
    let broken = |is_ambiguous| Broken {
        error,
        is_ambiguous,
    };
    match repair(block) {
        Repair::Repaired(sectors) => Ok((Writer::single(block, sectors), Recovered::Repaired)),
        Repair::NoMatch => Err(broken(false)),
        Repair::Ambiguous => Err(broken(true)),
    }
}

/// Takes both copies of a pair that were read from the disk; `read` tells of each whether that went well.
///
/// # Errors
///
/// When neither is valid.
pub fn redundant<'a, E>(
    first: &'a mut [u8],
    second: &'a mut [u8],
    read: (Result<(), E>, Result<(), E>),
) -> Result<(Writer<'a>, Recovered<E>), BothBroken<E>> {
    let parse = |block: &'_ [u8], read: Result<(), E>| match read {
        Err(error) => Err(CopyError::Read(error)),
        Ok(()) => Env::parse(block, Format::Redundant)
            .map(|env| env.flags().unwrap_or_default())
            .map_err(CopyError::Env),
    };
    let (current, invalid) = active_copy(parse(first, read.0), parse(second, read.1))
        .map_err(|(first, second)| BothBroken { first, second })?;
    let recovered = match invalid {
        None => Recovered::Whole,
        Some((copy, error)) => Recovered::OtherCopyBad(copy, error),
    };
    let is_known = !matches!(recovered, Recovered::OtherCopyBad(_, CopyError::Read(_)));
    let writer = match current {
        EnvCopy::First => Writer::redundant(first, current, second, is_known),
        EnvCopy::Second => Writer::redundant(second, current, first, is_known),
    };
    Ok((writer, recovered))
}
