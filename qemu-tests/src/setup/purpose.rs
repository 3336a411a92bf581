// SPDX-License-Identifier: MIT OR Apache-2.0

//! The purposes of commands, which determine the required programs and files.

/// The purpose of a command, in the sense of `setup::ensure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Build the loader.
    Build,
    /// Build and boot with the user's own files.
    BootOwn,
    /// Build and boot Debian's kernel.
    Boot,
    /// Build and boot a guest with Erlang.
    Erlang,
    /// Build and boot Debian's kernel, and run guests of an emulated host with KVM.
    KvmHost,
    /// Boot Debian's kernel with other firmware, too.
    Compare,
    /// Run the tests.
    Test,
    /// Run the slow tests as well.
    TestAll,
    /// Build the loader and inspect it with LLVM's tools.
    Inspect,
    /// All of the above except [`Purpose::Compare`] and [`Purpose::TestAll`].
    Everything,
}
