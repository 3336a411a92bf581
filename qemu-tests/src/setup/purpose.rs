// SPDX-License-Identifier: MIT OR Apache-2.0

//! The purposes that decide what a command needs.

/// The purpose of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Build the loader.
    Build,
    /// Build and boot with files that the user brings.
    BootOwn,
    /// Build and boot Debian's kernel.
    Boot,
    /// Boot it in other ways, too.
    Compare,
    /// Run every test.
    Test,
    /// Build the loader and look into it with LLVM's tools.
    Inspect,
    /// All of that.
    Everything,
}
