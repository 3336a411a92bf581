// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;

use super::unmet::UnmetRequirement;

/// Receives the progress and the messages of a task.
pub trait Observer {
    /// Reports that `done` of `total` units are done. Most units are bytes.
    fn progress(&mut self, done: u64, total: u64);
    /// Receives a message from the task.
    fn info(&mut self, message: &str);
    /// Receives a message about something unusual that is not from the task.
    fn warning(&mut self, message: &str) {
        self.info(message);
    }
    /// Receives the reason why a task with the right name is not applied.
    fn unmet(&mut self, _unmet: UnmetRequirement) {}
    /// Whether programs that the task runs may print to stdout. They print to stderr if not.
    fn shares_stdout(&self) -> bool {
        true
    }
    /// Stores a parameter for the next boot, for use by the program that reboots.
    ///
    /// # Errors
    ///
    /// Errors of the system; they end the task.
    fn reboot_parameter(&mut self, _parameter: &str) -> io::Result<()> {
        Ok(())
    }
}
