// SPDX-License-Identifier: MIT OR Apache-2.0

use std::path::Path;

use little_loader_core::env::block::{Env, seal};
use little_loader_core::env::open;
use little_loader_core::env::place::{EnvCopy, EnvPlace, newer};
use little_loader_core::units::{Bytes, Lba};

use super::blocks::EnvBlocks;
use super::diagnosis::{CopyDiagnosis, Unreadable};
use super::error::EnvFileError;
use super::size_hint::OtherSize;
use crate::image::Image;

/// The write that repairs an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Completes or undoes a write of the loader that a power cut interrupted, as the loader itself
    /// would do at the next boot.
    TornWrite,
    /// Writes the CRC that fits the data of this copy.
    Reseal(EnvCopy),
    /// Overwrites the damaged copy with the variables of the active one. The environment is valid
    /// without this repair.
    Rewrite {
        /// The damaged copy.
        damaged: EnvCopy,
    },
}

/// Why nothing is repaired.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRepair {
    /// Every copy is valid.
    #[error("the environment is valid: nothing needs repair")]
    Valid,
    /// The CRC fits another size or layout.
    #[error("nothing is damaged at block {lba}: {hint}")]
    OtherSize {
        /// The first block of the copy.
        lba: Lba,
        /// The size and layout.
        hint: OtherSize,
    },
    /// No copy has readable variables.
    #[error("the environment at block {lba} cannot be repaired: {error}")]
    Unreadable {
        /// The first block of the copy.
        lba: Lba,
        /// The error of its data.
        error: Unreadable,
    },
    /// Both copies are damaged and differ.
    #[error(
        "both copies are damaged, and their variables differ: choose the one to reseal with --copy 1 or --copy 2"
    )]
    Choose,
    /// The chosen copy is valid.
    #[error("copy {0} is valid: only a damaged copy can be resealed")]
    ChosenValid(u8),
    /// There is no second copy.
    #[error("there is only one copy: --copy 2 needs --redundant-lba")]
    NoSecond,
}

/// An environment, examined for repair. Only [`apply`](Self::apply) writes.
#[derive(Debug)]
pub struct Repair {
    blocks: EnvBlocks,
    /// The copies: one or two.
    pub copies: Vec<CopyDiagnosis>,
    /// The write that repairs the environment, or the reason why there is none.
    pub remedy: Result<Remedy, NoRepair>,
    /// Whether several interrupted writes of the loader could explain the state of a single copy,
    /// so that none was chosen.
    pub is_ambiguous: bool,
}

impl Repair {
    /// Reads and examines the environment of an image. `chosen` is the copy to reseal if both are
    /// damaged.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened for writing or read, or is too short for the environment.
    pub fn examine(
        path: &Path,
        place: EnvPlace,
        chosen: Option<EnvCopy>,
    ) -> Result<Self, EnvFileError> {
        let mut blocks = EnvBlocks::read(Image::open(path, true)?, place)?;
        let second = place.redundant_lba.map(|_| EnvCopy::Second);
        let copies: Vec<_> = [Some(EnvCopy::First), second]
            .into_iter()
            .flatten()
            .map(|copy| CopyDiagnosis::new(&mut blocks, copy))
            .collect();
        let mut is_ambiguous = false;
        let remedy = match &*copies {
            [first, second] => of_pair(first, second, chosen),
            _ if chosen == Some(EnvCopy::Second) => Err(NoRepair::NoSecond),
            [single, ..] if single.error.is_none() => Err(NoRepair::Valid),
            [single, ..] => match open::single(&mut blocks.copy(EnvCopy::First).to_vec()) {
                Ok(_) => Ok(Remedy::TornWrite),
                Err(broken) => {
                    is_ambiguous = broken.is_ambiguous;
                    reseal(single)
                }
            },
            [] => Err(NoRepair::Valid),
        };
        Ok(Self {
            blocks,
            copies,
            remedy,
            is_ambiguous,
        })
    }

    /// Returns the size of one copy.
    #[must_use]
    pub fn size(&self) -> Bytes {
        self.blocks.place().size
    }

    /// Writes the sectors that change, then syncs. Returns the number of sectors written, 0 if
    /// there is no remedy.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn apply(&mut self) -> Result<usize, EnvFileError> {
        let format = self.blocks.place().format();
        let (copy, block) = match self.remedy {
            Err(_) => return Ok(0),
            Ok(Remedy::TornWrite) => {
                let mut block = self.blocks.copy(EnvCopy::First).to_vec();
                // The same repair succeeded in memory when the block was examined.
                if open::single(&mut block).is_err() {
                    return Ok(0);
                }
                (EnvCopy::First, block)
            }
            Ok(Remedy::Reseal(copy)) => {
                let mut block = self.blocks.copy(copy).to_vec();
                seal(&mut block, format);
                (copy, block)
            }
            Ok(Remedy::Rewrite { damaged }) => {
                let mut block = self.blocks.copy(damaged.other()).to_vec();
                // One less than the flags of the active copy, so that this copy stays inactive.
                if let Some(flags) = block.get_mut(4) {
                    *flags = flags.wrapping_sub(1);
                }
                (damaged, block)
            }
        };
        debug_assert!(Env::parse(&block, format).is_ok());
        self.blocks.write(copy, block)
    }
}

/// Returns the remedy for one damaged copy.
fn reseal(copy: &CopyDiagnosis) -> Result<Remedy, NoRepair> {
    let lba = copy.lba;
    match (&copy.other_size, &copy.variables) {
        (Some(hint), _) => Err(NoRepair::OtherSize { lba, hint: *hint }),
        (None, Err(error)) => Err(NoRepair::Unreadable {
            lba,
            error: error.clone(),
        }),
        (None, Ok(_)) => Ok(Remedy::Reseal(copy.copy)),
    }
}

fn of_pair(
    first: &CopyDiagnosis,
    second: &CopyDiagnosis,
    chosen: Option<EnvCopy>,
) -> Result<Remedy, NoRepair> {
    let of = |copy| match copy {
        EnvCopy::First => first,
        EnvCopy::Second => second,
    };
    let is_valid = |copy| of(copy).error.is_none();
    if let Some(copy) = chosen.filter(|copy| is_valid(*copy)) {
        return Err(NoRepair::ChosenValid(match copy {
            EnvCopy::First => 1,
            EnvCopy::Second => 2,
        }));
    }
    match (is_valid(EnvCopy::First), is_valid(EnvCopy::Second)) {
        (true, true) => Err(NoRepair::Valid),
        (true, false) => Ok(Remedy::Rewrite {
            damaged: EnvCopy::Second,
        }),
        (false, true) => Ok(Remedy::Rewrite {
            damaged: EnvCopy::First,
        }),
        (false, false) => {
            if let Some(copy) = chosen {
                return reseal(of(copy));
            }
            match (reseal(first), reseal(second)) {
                (Err(error @ NoRepair::OtherSize { .. }), _)
                | (_, Err(error @ NoRepair::OtherSize { .. })) => Err(error),
                (Ok(_), Ok(_)) if first.variables == second.variables => {
                    let flags = |copy: &CopyDiagnosis| copy.flags.unwrap_or_default();
                    Ok(Remedy::Reseal(newer(flags(first), flags(second))))
                }
                (Ok(_), Ok(_)) => Err(NoRepair::Choose),
                (Ok(remedy), Err(_)) | (Err(_), Ok(remedy)) => Ok(remedy),
                (Err(error), Err(_)) => Err(error),
            }
        }
    }
}
