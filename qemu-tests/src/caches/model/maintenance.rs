// SPDX-License-Identifier: MIT OR Apache-2.0

//! The instruction cache and the TLB, which are invalidated as a whole.
//!
//! An invalidation counts when a `dsb` has completed it and the context is synchronized.

use super::rules::{Findings, Rule};

/// An invalidation, from the instruction on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Issued,
    Completed,
}

/// The invalidations so far. The caches' contents are not known at reset.
#[derive(Debug, Default)]
pub(super) struct Maintenance {
    instructions: Vec<Instructions>,
    /// The time of the last effective invalidation of the instruction cache, by the exception level
    /// that it was made at.
    invalidated: [Option<u64>; 4],
    translations: Option<Progress>,
    /// Whether the TLB has been invalidated since reset, or since the MMU went off.
    tlb_is_clean: bool,
}

#[derive(Clone, Copy, Debug)]
struct Instructions {
    level: u8,
    time: u64,
    progress: Progress,
}

impl Maintenance {
    pub(super) fn invalidate_instructions(&mut self, level: u8, time: u64) {
        self.instructions.push(Instructions {
            level,
            time,
            progress: Progress::Issued,
        });
    }

    pub(super) fn invalidate_translations(&mut self) {
        self.translations = Some(Progress::Issued);
    }

    /// A `dsb`.
    pub(super) fn complete(&mut self) {
        for invalidation in &mut self.instructions {
            invalidation.progress = Progress::Completed;
        }
        self.translations = self.translations.map(|_| Progress::Completed);
    }

    pub(super) fn synchronize(&mut self) {
        let invalidated = &mut self.invalidated;
        self.instructions.retain(|invalidation| {
            let is_effective = invalidation.progress == Progress::Completed;
            if is_effective {
                invalidated[usize::from(invalidation.level) & 3] = Some(invalidation.time);
            }
            !is_effective
        });
        if self.translations == Some(Progress::Completed) {
            self.translations = None;
            self.tlb_is_clean = true;
        }
    }

    /// Instructions are fetched through the instruction cache.
    pub(super) fn fetch(&self, at: u64, findings: &mut Findings) {
        if self.invalidated.iter().all(Option::is_none) {
            findings.add(Rule::InstructionsNotInvalidated, at, at);
        }
    }

    /// The MMU is about to be turned on.
    pub(super) fn expect_complete(&self, at: u64, findings: &mut Findings) {
        if self.translations.is_some() {
            findings.add(Rule::MaintenanceIncomplete, at, 0);
        }
    }

    pub(super) fn mmu_on(&self, at: u64, findings: &mut Findings) {
        if !self.tlb_is_clean {
            findings.add(Rule::TranslationsNotInvalidated, at, 0);
        }
    }

    /// The MMU is off: from now on no new entry gets into the TLB.
    pub(super) fn mmu_off(&mut self) {
        self.tlb_is_clean = false;
        self.translations = None;
    }

    /// The kernel is entered at `level`; code was last written or cleaned at `changed`.
    pub(super) fn enter(&self, at: u64, level: u8, changed: u64, findings: &mut Findings) {
        let levels = usize::from(level)..;
        let invalidated = self.invalidated.get(levels).unwrap_or_default();
        if !invalidated.iter().flatten().any(|time| *time > changed) {
            findings.add(Rule::StaleInstructions, at, at);
        }
        if !self.tlb_is_clean {
            findings.add(Rule::StaleTranslations, at, 0);
        }
    }
}
