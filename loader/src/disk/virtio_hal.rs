// SPDX-License-Identifier: MIT OR Apache-2.0

//! The memory that the virtio driver crate asks for: pages for the rings, and addresses as the
//! device uses them. Memory is mapped one to one, and the device goes through the same caches as
//! the CPU, so that nothing is to be done to share a buffer.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use little_loader_core::units::{Addr, Bytes, Region};
use safe_mmio::UniqueMmioPointer;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use crate::cpu::mmu::{self, DeviceMemory};
use crate::machine::memory;

pub(super) struct LoaderHal;

/// How many pages of the pool were handed out, from its start. A disk needs two, and one is open at
/// a time.
static PAGES_USED: AtomicUsize = AtomicUsize::new(0);
/// How many of them were not given back yet.
static PAGES_HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: `dma_alloc` returns pages of the pool, which the linker script aligns to pages and
// nothing else refers to. It takes the next ones each time and starts anew only when all were given
// back, so that no two allocations overlap; one CPU runs. `mmio_phys_to_virt` returns pointers to
// memory that is mapped as device memory. CPU and device use the same addresses, so that `share`
// has nothing to do.
unsafe impl Hal for LoaderHal {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let pool = memory::dma();
        let used = PAGES_USED.load(Ordering::Relaxed);
        let start = pool.start().0 as usize + used * PAGE_SIZE;
        let length = pages * PAGE_SIZE;
        let Some(address) =
            NonNull::new(start as *mut u8).filter(|_| start + length <= pool.end().0 as usize)
        else {
            // Address 0 tells the driver that there is no memory.
            return (0, NonNull::dangling());
        };
        PAGES_USED.store(used + pages, Ordering::Relaxed);
        let held = PAGES_HELD.load(Ordering::Relaxed);
        PAGES_HELD.store(held + pages, Ordering::Relaxed);
        // SAFETY: these pages lie in the pool, and nobody has them.
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

    // The driver crate asks for registers within a BAR, which lies in the host bridge's window:
    // that is mapped already.
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
