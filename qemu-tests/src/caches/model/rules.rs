// SPDX-License-Identifier: MIT OR Apache-2.0

//! The rules, and what breaks them.

use std::collections::BTreeMap;

/// A rule that a boot must keep.
///
/// Sources: Arm ARM (DDI 0487), B2.3 (memory model), D7.5 (caches), D8.16 (TLB), and the glossary's
/// "Context synchronization event"; Linux, `Documentation/arch/arm64/booting.rst`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// What was written with the MMU off is invalidated before the CPU reads it through the caches.
    StaleCacheRead,
    /// What was written with the MMU off is invalidated before the table walker reads it.
    StaleTableRead,
    /// What was written with the MMU off is invalidated before a device reads it.
    StaleDeviceRead,
    /// What was written through the caches is cleaned before it is read with the MMU off.
    StaleMemoryRead,
    /// What was written through the caches, except the loader's own memory, is cleaned before the
    /// kernel is entered.
    NotCleaned,
    /// A `dsb sy` completes the maintenance of data caches before anything relies on it.
    MaintenanceIncomplete,
    /// A barrier orders stores with the MMU off before the maintenance of their lines.
    MaintenanceUnordered,
    /// `dc ivac` is not used on a line that was written through the caches.
    WriteDiscarded,
    /// The instruction cache is invalidated before it is used.
    InstructionsNotInvalidated,
    /// After the last write to code and its clean, the instruction cache is invalidated, at the
    /// kernel's exception level or above.
    StaleInstructions,
    /// The TLB is invalidated before the MMU goes on.
    TranslationsNotInvalidated,
    /// The TLB is invalidated after the MMU went off.
    StaleTranslations,
    /// A change of SCTLR_EL1 is synchronized before the next memory access or maintenance.
    ControlNotSynchronized,
    /// The registers of the translation are synchronized before the MMU goes on.
    TranslationNotSynchronized,
    /// A new translation table entry is visible to the table walker, by `dsb` and `isb`, before it
    /// is used.
    TableNotSynchronized,
    /// All system registers are synchronized when the kernel is entered.
    EntryNotSynchronized,
    /// The descriptors, and the buffers that a device reads, are visible before the request is.
    RequestUnordered,
    /// The request is visible before the device is notified.
    NotificationUnordered,
    /// What a device writes is read only after its completion, with a barrier in between.
    ReplyUnordered,
    /// Something that the model does not know, so that it proves nothing.
    Unknown,
}

/// The first time that a rule was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The instruction at which it showed.
    pub at: u64,
    /// The memory address concerned; 0 if none is.
    pub address: u64,
    /// The number of times it was broken.
    pub times: u64,
}

/// The broken rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(BTreeMap<Rule, Finding>);

impl Findings {
    pub(super) fn add(&mut self, rule: Rule, at: u64, address: u64) {
        let new = Finding {
            at,
            address,
            times: 0,
        };
        self.0.entry(rule).or_insert(new).times += 1;
    }

    /// Returns whether no rule was broken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether `rule` was broken.
    #[must_use]
    pub fn has(&self, rule: Rule) -> bool {
        self.0.contains_key(&rule)
    }

    /// Returns the broken rules, each with its first occurrence.
    pub fn iter(&self) -> impl Iterator<Item = (Rule, Finding)> {
        self.0.iter().map(|(rule, finding)| (*rule, *finding))
    }
}
