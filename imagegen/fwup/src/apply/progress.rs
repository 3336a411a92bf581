// SPDX-License-Identifier: MIT OR Apache-2.0

use super::observer::Observer;

/// The progress of a task, reported to its observer.
pub(super) struct Progress<'d> {
    pub(super) observer: &'d mut dyn Observer,
    done: u64,
    total: u64,
}

impl<'d> Progress<'d> {
    /// Starts a task of `total` units, and reports it.
    pub(super) fn start(observer: &'d mut dyn Observer, total: u64) -> Self {
        let mut progress = Self {
            observer,
            done: 0,
            total,
        };
        progress.report(0);
        progress
    }

    /// Reports that so many units are done.
    pub(super) fn report(&mut self, units: u64) {
        // The total does not include on-error.
        self.done = self.done.saturating_add(units).min(self.total);
        self.observer.progress(self.done, self.total);
    }
}
