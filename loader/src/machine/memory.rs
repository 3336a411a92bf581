// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that the compiler does not know: what the linker script reserves, the DTB, and where kernel and initrd go.

use core::ptr::slice_from_raw_parts_mut;

use little_loader_core::units::{Addr, Region};

unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
    static __dma_start: u8;
    static __dma_end: u8;
    static __environment_start: u8;
    static __environment_end: u8;
}

fn between(start: *const u8, end: *const u8) -> Region {
    // The linker script defines the symbols in this order.
    Region::between(Addr(start as u64), Addr(end as u64)).unwrap_or_default()
}

/// The loader itself, with all its buffers.
pub(crate) fn loader() -> Region {
    between(&raw const __image_start, &raw const __image_end)
}

/// The pages for the rings of the disk.
pub(crate) fn dma() -> Region {
    between(&raw const __dma_start, &raw const __dma_end)
}

/// The buffer for all copies of the environment.
pub(crate) fn environment() -> Region {
    between(&raw const __environment_start, &raw const __environment_end)
}

/// The bytes of a region.
///
/// # Safety
///
/// The region is RAM that is mapped, and nothing else refers to it for as long as the slice lives.
pub(crate) unsafe fn bytes(region: Region) -> &'static mut [u8] {
    let length = region.length().0 as usize;
    // SAFETY: the caller says that the region is mapped RAM with no other reference to it. Any bytes are valid.
    unsafe { &mut *slice_from_raw_parts_mut(region.start().0 as *mut u8, length) }
}
