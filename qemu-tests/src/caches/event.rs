// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an executed instruction did to memory, caches and system registers.

/// An executed instruction that matters to caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The instruction's address.
    pub at: u64,
    /// The exception level, 1 to 3.
    pub level: u8,
    /// What it did.
    pub action: Action,
}

/// The effect of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read memory or a device.
    Load {
        /// The first byte's address.
        address: u64,
        /// The length in bytes, at most 16.
        length: u8,
        /// True for a load-acquire.
        is_acquire: bool,
    },
    /// Wrote memory or a device.
    Store {
        /// The first byte's address.
        address: u64,
        /// The length in bytes, at most 16.
        length: u8,
        /// The bytes, from the lowest address up.
        bytes: [u8; 16],
        /// True for a store-release.
        is_release: bool,
    },
    /// Maintained the data cache line of an address, to the point of coherency.
    DataCache {
        /// The address.
        address: u64,
        /// The operation.
        operation: DataCache,
    },
    /// Invalidated the instruction cache (`ic iallu`).
    InvalidateInstructions,
    /// Invalidated the TLB (`tlbi`).
    InvalidateTranslations,
    /// A `dmb` or `dsb`.
    Barrier(Barrier),
    /// Synchronized the context by `isb`.
    Synchronize,
    /// Called a higher exception level or returned from one, which synchronizes the context too.
    ChangeLevel,
    /// Wrote a system register (`msr`).
    WriteRegister {
        /// The register.
        register: Register,
        /// Its new value.
        value: u64,
    },
    /// The kernel's first instruction is about to be executed.
    EnterKernel {
        /// The DTB's address (x0).
        dtb: u64,
    },
}

impl Action {
    /// Returns the name of an instruction that maintains caches or is a barrier, `None` for others.
    #[must_use]
    pub fn maintenance(&self) -> Option<&'static str> {
        Some(match self {
            Self::DataCache { operation, .. } => match operation {
                DataCache::Clean => "dc cvac",
                DataCache::Invalidate => "dc ivac",
                DataCache::CleanAndInvalidate => "dc civac",
            },
            Self::InvalidateInstructions => "ic",
            Self::InvalidateTranslations => "tlbi",
            Self::Barrier(barrier) if barrier.waits => "dsb",
            Self::Barrier(_) => "dmb",
            Self::Synchronize => "isb",
            _ => return None,
        })
    }
}

/// An access to a device's registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceAccess {
    /// True for a store.
    pub is_write: bool,
    /// The address.
    pub address: u64,
    /// The length in bytes.
    pub length: u64,
}

/// An operation on a data cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataCache {
    /// `dc cvac`
    Clean,
    /// `dc ivac`
    Invalidate,
    /// `dc civac`
    CleanAndInvalidate,
}

impl DataCache {
    pub(super) fn cleans(self) -> bool {
        self != Self::Invalidate
    }

    pub(super) fn invalidates(self) -> bool {
        self != Self::Clean
    }
}

/// A memory barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// True for `dsb`, which also waits until maintenance is complete.
    pub waits: bool,
    /// The accesses that it orders.
    pub orders: Orders,
    /// True if it reaches beyond the inner shareable domain (`sy`, `osh`).
    pub is_outer: bool,
}

/// The accesses that a barrier orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orders {
    /// Loads with later accesses.
    Loads,
    /// Stores with later stores.
    Stores,
    /// All accesses.
    All,
}

/// A system register that the model knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Register {
    /// SCTLR_EL1, also by its name SCTLR_EL12.
    SctlrEl1,
    /// SCTLR_EL2 or SCTLR_EL3.
    SctlrAbove,
    /// TTBR0_EL1.
    Ttbr0El1,
    /// TCR_EL1.
    TcrEl1,
    /// MAIR_EL1.
    MairEl1,
    /// Any other.
    Other,
}
