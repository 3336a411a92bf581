// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that the compiler does not know about: the buffers that the linker script reserves, and
//! RAM.
//!
//! On entry RAM is mapped from its start to 2 GiB. No other module makes references to memory from
//! addresses: this one lends the bytes of the device tree, the kernel and the initrd, after
//! checking them against the memory map.

use core::ptr::slice_from_raw_parts_mut;
use core::sync::atomic::{AtomicBool, Ordering};

use little_loader_core::tree::memory_map::{Memory, TooManyRegions};
use little_loader_core::units::{Addr, Bytes, Region};

use crate::cpu::mmu;

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

/// Returns the memory of the loader itself, with all its buffers.
pub(crate) fn loader() -> Region {
    between(&raw const __image_start, &raw const __image_end)
}

/// Returns the pages for the rings of the disk.
pub(crate) fn dma() -> Region {
    between(&raw const __dma_start, &raw const __dma_end)
}

/// Returns the buffer for all copies of the environment.
///
/// # Panics
///
/// On the second call, since there is only one buffer.
pub(crate) fn take_environment_buffer() -> &'static mut [u8] {
    static IS_TAKEN: AtomicBool = AtomicBool::new(false);
    once(&IS_TAKEN);
    let buffer = between(&raw const __environment_start, &raw const __environment_end);
    // SAFETY: the linker script reserves this memory for the environment, in mapped RAM, and this
    // is the only reference that is ever made to it. Any bytes are valid.
    unsafe { bytes(buffer) }
}

/// The address of the DTB as passed to the reset code, 0 if none was passed. Only the reset code
/// makes one, once.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct DtbAddress(u64);

impl DtbAddress {
    fn or(self, default: Addr) -> Addr {
        if self.0 == 0 { default } else { Addr(self.0) }
    }
}

/// The memory of the DTB, the only RAM in use before the memory map is known. There is only one
/// value of this type, and nothing else refers to its bytes: [`Ram`] lends no region that overlaps
/// it.
#[derive(Debug)]
pub(crate) struct DtbMemory(Region);

impl DtbMemory {
    /// Maps `most` bytes at the address that QEMU passed, or at `default` if it passed none, and
    /// returns the first `length` of them. `None` when these are not RAM, or overlap the loader.
    pub(crate) fn at(
        passed: DtbAddress,
        default: Addr,
        length: Bytes,
        most: Bytes,
    ) -> Option<Self> {
        let start = passed.or(default);
        mmu::map_ram(Region::new(start, most)?);
        let mut memory = Self(Region::new(start, Bytes(0))?);
        memory.resize(length).then_some(memory)
    }

    /// Changes the length in bytes. Returns `false`, with the length unchanged, unless that many
    /// are RAM and none of them is the loader's.
    pub(crate) fn resize(&mut self, length: Bytes) -> bool {
        let resized = Region::new(self.0.start(), length)
            .filter(|region| !region.overlaps(loader()) && mmu::is_ram(*region));
        self.0 = resized.unwrap_or(self.0);
        resized.is_some()
    }

    /// Returns the addresses of the memory.
    pub(crate) fn region(&self) -> Region {
        self.0
    }

    /// Returns the bytes of the current length.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: mapped RAM, as `resize` and `Ram::give_dtb` checked. Nothing else refers to it:
        // there is only one value of this type, and it is borrowed.
        unsafe { bytes(self.0) }
    }

    /// Returns the bytes of the current length, for editing.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`.
        unsafe { bytes(self.0) }
    }
}

/// The mapped RAM of the machine, and the regions that must not be overwritten: the loader, and
/// those that the device tree reserves. There is only one value of this type.
#[derive(Debug)]
pub(crate) struct Ram {
    map: Memory,
}

impl Ram {
    /// Maps the RAM that the device tree lists. `map` is the memory map that was read from it.
    ///
    /// # Errors
    ///
    /// When there are too many reservations to add the loader's.
    ///
    /// # Panics
    ///
    /// On the second call, since two values could lend the same bytes.
    pub(crate) fn new(mut map: Memory) -> Result<Self, TooManyRegions> {
        static IS_MADE: AtomicBool = AtomicBool::new(false);
        once(&IS_MADE);
        for region in map.ram.as_slice() {
            mmu::map_ram(*region);
        }
        map.reserved.add(loader())?;
        Ok(Self { map })
    }

    /// Returns the memory map, from which places are chosen.
    pub(crate) fn map(&self) -> &Memory {
        &self.map
    }

    /// Returns the bytes of a region. `None` unless all of it is mapped RAM, and none of it is
    /// reserved or the DTB's.
    pub(crate) fn bytes(&mut self, region: Region, dtb: &DtbMemory) -> Option<&mut [u8]> {
        if !self.is_free(region) || region.overlaps(dtb.0) {
            return None;
        }
        // SAFETY: the region is mapped RAM, and none of it is the loader's, which is reserved, or
        // the DTB's. Earlier references have ended, since `self` is borrowed mutably.
        Some(unsafe { bytes(region) })
    }

    /// Moves the DTB to another place and copies as many of its bytes as fit. The place may overlap
    /// the present one only if it starts at the same address. Returns whether the move was
    /// possible.
    pub(crate) fn give_dtb(&mut self, dtb: &mut DtbMemory, place: Region) -> bool {
        if place.start() != dtb.0.start() {
            let Some(to) = self.bytes(place, dtb) else {
                return false;
            };
            let from = dtb.bytes();
            let length = from.len().min(to.len());
            to[..length].copy_from_slice(&from[..length]);
        } else if !self.is_free(place) {
            return false;
        }
        dtb.0 = place;
        true
    }

    fn is_free(&self, region: Region) -> bool {
        self.map.is_free(region) && mmu::is_ram(region)
    }
}

/// Panics if it was called with this flag before. Only one CPU runs, so no exclusive access is
/// needed.
fn once(was_here: &AtomicBool) {
    if was_here.load(Ordering::Relaxed) {
        panic!();
    }
    was_here.store(true, Ordering::Relaxed);
}

/// Returns the bytes of a region.
///
/// # Safety
///
/// The region is mapped RAM, and nothing else refers to it for as long as the slice lives.
unsafe fn bytes<'a>(region: Region) -> &'a mut [u8] {
    let length = region.length().0 as usize;
    // SAFETY: the caller guarantees that the region is mapped RAM with no other reference to it.
    // Any bytes are valid.
    unsafe { &mut *slice_from_raw_parts_mut(region.start().0 as *mut u8, length) }
}
