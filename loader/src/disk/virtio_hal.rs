// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory for the virtio driver crate: pages for the rings, and addresses as the device uses them.
//! Memory is identity-mapped, and the device uses the same caches as the CPU, so sharing a buffer
//! needs no work.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use little_loader_core::units::{Addr, Bytes, Region};
use safe_mmio::UniqueMmioPointer;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use crate::cpu::mmu::{self, DeviceMemory};
use crate::machine::memory;

pub(super) struct LoaderHal;

/// The number of pages allocated from the start of the pool. A disk needs two, and only one disk is
/// open at a time.
static PAGES_USED: AtomicUsize = AtomicUsize::new(0);
/// The number of these pages that are not freed yet.
static PAGES_HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: `dma_alloc` returns pages of the pool, which the linker script aligns to pages and
// nothing else refers to. It allocates pages in order and starts again only when all are freed, so
// no two allocations overlap; only one CPU runs. `mmio_phys_to_virt` returns pointers to memory
// that is mapped as device memory. CPU and device use the same addresses, so `share` has nothing to
// do.
unsafe impl Hal for LoaderHal {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let pool = memory::dma();
        let used = PAGES_USED.load(Ordering::Relaxed);
        let start = pool.start().0 as usize + used * PAGE_SIZE;
        let length = pages * PAGE_SIZE;
        let Some(address) =
            NonNull::new(start as *mut u8).filter(|_| start + length <= pool.end().0 as usize)
        else {
            // Address 0 reports to the driver crate that there is no memory.
            return (0, NonNull::dangling());
        };
        PAGES_USED.store(used + pages, Ordering::Relaxed);
        let held = PAGES_HELD.load(Ordering::Relaxed);
        PAGES_HELD.store(held + pages, Ordering::Relaxed);
        // SAFETY: these pages are in the pool, and in no other allocation.
        unsafe { address.write_bytes(0, length) };
        (start as PhysAddr, address)
    }

    unsafe fn dma_dealloc(_paddr: PhysAddr, _vaddr: NonNull<u8>, pages: usize) -> i32 {
        let held = PAGES_HELD.load(Ordering::Relaxed).saturating_sub(pages);
        PAGES_HELD.store(held, Ordering::Relaxed);
        if held == 0 {
            PAGES_USED.store(0, Ordering::Relaxed);
        }
        0
    }

    // The driver crate asks for registers within a BAR, which is in the host bridge's window and
    // therefore already mapped.
    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, size: usize) -> NonNull<u8> {
        let memory = Region::new(Addr(paddr), Bytes(size as u64)).and_then(mmu::map_device);
        match memory.and_then(DeviceMemory::slice) {
            Some(mut registers) => UniqueMmioPointer::<[u8]>::ptr_nonnull(&mut registers).cast(),
            None => panic!("registers that are not device memory"),
        }
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        buffer.as_ptr() as *mut u8 as PhysAddr
    }

    unsafe fn unshare(_paddr: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}
