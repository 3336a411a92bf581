// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the virtio driver crate needs of us: pages for the rings, and addresses as the device sees them. Memory is mapped one
//! to one, and the device reads and writes it through the same caches as we do, so that sharing a buffer is nothing to do.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use crate::machine::memory;

pub(crate) struct LoaderHal;

/// How many pages of the pool are taken. A disk needs two, and one is open at a time.
static PAGES_TAKEN: AtomicUsize = AtomicUsize::new(0);

// SAFETY: dma_alloc hands out each page of the pool once until all are given back; the linker script aligns the pool to
// pages, and nothing else refers to it. Physical and virtual addresses are the same.
unsafe impl Hal for LoaderHal {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let pool = memory::dma();
        let taken = PAGES_TAKEN.load(Ordering::Relaxed);
        let start = pool.start().0 as usize + taken * PAGE_SIZE;
        if start + pages * PAGE_SIZE > pool.end().0 as usize {
            // Address 0 tells the driver that there is no memory.
            return (0, NonNull::dangling());
        }
        PAGES_TAKEN.store(taken + pages, Ordering::Relaxed);
        let Some(address) = NonNull::new(start as *mut u8) else {
            return (0, NonNull::dangling());
        };
        // SAFETY: these pages belong to the pool and nobody has them.
        unsafe { address.write_bytes(0, pages * PAGE_SIZE) };
        (start as PhysAddr, address)
    }

    unsafe fn dma_dealloc(_paddr: PhysAddr, _vaddr: NonNull<u8>, pages: usize) -> i32 {
        // All pages of a disk come back together, before the next disk is opened.
        PAGES_TAKEN.store(
            PAGES_TAKEN.load(Ordering::Relaxed) - pages,
            Ordering::Relaxed,
        );
        0
    }

    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, _size: usize) -> NonNull<u8> {
        NonNull::new(paddr as *mut u8).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        buffer.as_ptr() as *mut u8 as PhysAddr
    }

    unsafe fn unshare(_paddr: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}
