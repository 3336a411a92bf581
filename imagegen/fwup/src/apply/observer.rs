// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;

/// Receives the progress and the messages of a task.
pub trait Observer {
    /// Reports that `done` of `total` units are done. Most units are bytes.
    fn progress(&mut self, done: u64, total: u64);
    /// Receives a message from the task.
    fn info(&mut self, message: &str);
    /// Stores a parameter for the next boot, for use by the program that reboots.
    ///
    /// # Errors
    ///
    /// Errors of the system; they end the task.
    fn reboot_parameter(&mut self, _parameter: &str) -> io::Result<()> {
        Ok(())
    }
}
