// SPDX-License-Identifier: MIT OR Apache-2.0

//! The description of a guest.

use imagegen::layout::{Layout, LayoutError, Sizes};
use imagegen::size::Size;
use little_loader_core::slots::slot::Slot;

use crate::setup::Purpose;

/// What a guest has on its console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A shell; the agent is a shell script.
    Linux,
    /// Erlang's shell; the agent runs in Erlang.
    #[default]
    Erlang,
    /// IEx; as [`Kind::Erlang`] otherwise.
    Elixir,
}

/// A guest to make from [`Sources`](super::Sources).
#[derive(Clone, Debug)]
pub struct Guest {
    pub(super) version: String,
    pub(super) is_bad: bool,
}

impl Kind {
    /// Returns the name, which is also that of the files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Erlang => "erlang",
            Self::Elixir => "elixir",
        }
    }

    /// Returns the memory in MiB that a guest needs; docs/src/erlang.md has the measurements.
    #[must_use]
    pub fn memory_mib(self) -> u32 {
        match self {
            Self::Linux | Self::Erlang => 80,
            Self::Elixir => 96,
        }
    }

    /// Returns the purpose for [`crate::setup::ensure`].
    #[must_use]
    pub fn purpose(self) -> Purpose {
        match self {
            Self::Linux => Purpose::Boot,
            Self::Erlang | Self::Elixir => Purpose::Erlang,
        }
    }

    /// Whether Erlang runs in the guest.
    pub(super) fn has_erlang(self) -> bool {
        self != Self::Linux
    }
}

impl Default for Guest {
    fn default() -> Self {
        Self::new()
    }
}

impl Guest {
    /// Describes a good guest of version 1.0.0, with itself in both slots.
    #[must_use]
    pub fn new() -> Self {
        Self {
            version: "1.0.0".to_owned(),
            is_bad: false,
        }
    }

    /// Sets the version, which the guest has as `/etc/fleet/version`.
    #[must_use]
    pub fn version(self, version: &str) -> Self {
        Self {
            version: version.to_owned(),
            ..self
        }
    }

    /// Makes a guest that comes up, but never ends its trial: it reboots.
    #[must_use]
    pub fn bad(self) -> Self {
        Self {
            is_bad: true,
            ..self
        }
    }

    /// Returns the disk's layout, which images and archives share. It is the same for all guests, so
    /// that each can be upgraded to each.
    pub(super) fn layout(&self) -> Result<Layout, LayoutError> {
        const ROOM: Size = Size(64 << 20);
        Layout::new(&Sizes {
            kernel: ROOM,
            rootfs: ROOM,
            ..Sizes::default()
        })
    }

    /// Returns the kernel's command line in a slot.
    pub(super) fn arguments(slot: Slot) -> String {
        let partition = match slot {
            Slot::A => 1,
            Slot::B => 2,
        };
        format!("root=/dev/vda{partition} {ARGUMENTS}")
    }
}

/// The kernel's command line after `root=`. The second line is about memory; docs/src/erlang.md has
/// what each word is worth. `cma=0`: Debian's kernel reserves 64 MiB for devices that need
/// contiguous memory, and none of these guests has one. Without `tracer_init_tracefs` there are no
/// files of tracepoints, whose inodes take megabytes. `nowatchdog psi=0`: no timer wakes the guest to
/// see whether it hangs, and none of its waiting is measured.
const ARGUMENTS: &str = "console=ttyAMA0 rootfstype=squashfs rootwait ro panic=5 quiet \
     cma=0 initcall_blacklist=tracer_init_tracefs transparent_hugepage=never ipv6.disable=1 audit=0 \
     nowatchdog psi=0";
