// SPDX-License-Identifier: MIT OR Apache-2.0

use super::observer::Observer;

/// The largest step of the progress of data, in bytes.
const STEP: u64 = 64 << 10;

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

    /// Reports that a piece of data is done, in steps as small as fwup's, so that a program that
    /// waits for each percentage sees it.
    pub(super) fn report_data(&mut self, length: usize) {
        let mut left = length as u64;
        while left > 0 {
            let step = left.min(STEP);
            self.report(step);
            left -= step;
        }
    }
}
