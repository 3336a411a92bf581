// SPDX-License-Identifier: MIT OR Apache-2.0

//! The interrupt controller, which the loader assigns to the non-secure state after an entry at
//! EL3.
//!
//! On entry: QEMU's reset state, in which all interrupts belong to the secure state. On leaving:
//! they belong to the non-secure state, in which the kernel runs.

use core::ptr::NonNull;

use little_loader_core::tree::gic::Gic;
use safe_mmio::fields::{ReadPure, ReadPureWrite, WriteOnly};
use safe_mmio::{UniqueMmioPointer, field, field_shared};

/// GICD_CTLR.DS: one security state for all interrupts (GICv3 specification, IHI 0069, 12.9.4).
const DISABLE_SECURITY: u32 = 1 << 6;

/// The registers of a distributor that are used here (IHI 0048, 4.1.2; IHI 0069, 12.8).
#[repr(C)]
struct Distributor {
    control: WriteOnly<u32>,
    kind: ReadPure<u32>,
    unused: [u32; 30],
    group: [ReadPureWrite<u32>; 32],
}

/// The first registers of a GICv2's CPU interface (IHI 0048, 4.1.3).
#[repr(C)]
struct CpuInterface {
    control: u32,
    priority_mask: WriteOnly<u32>,
}

/// Assigns all interrupts to the non-secure state, which has none at reset.
pub(crate) fn give_interrupts_away(gic: &Gic) {
    let Some(address) = NonNull::new(gic.distributor.start().0 as *mut Distributor) else {
        return;
    };
    // SAFETY: the DTB says that these are the registers of a GIC distributor, mapped as device
    // memory; nothing else uses it.
    let mut distributor: UniqueMmioPointer<'_, Distributor> =
        unsafe { UniqueMmioPointer::new(address) };
    let Some(cpu_interface) = gic.cpu_interface else {
        field!(distributor, control).write(DISABLE_SECURITY);
        return;
    };
    // GICD_TYPER.ITLinesNumber: the number of group registers, of 32 interrupts each, minus one.
    let last = field_shared!(distributor, kind).read() & 0x1f;
    for index in 0..=last as usize {
        if let Some(mut group) = field!(distributor, group).get(index) {
            group.write(u32::MAX);
        }
    }
    let Some(address) = NonNull::new(cpu_interface.start().0 as *mut CpuInterface) else {
        return;
    };
    // SAFETY: as above, for the CPU interface.
    let mut cpu_interface: UniqueMmioPointer<'_, CpuInterface> =
        unsafe { UniqueMmioPointer::new(address) };
    // The non-secure state can change the mask only while it is in the lower half of priorities.
    field!(cpu_interface, priority_mask).write(0xff);
}
