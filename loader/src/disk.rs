// SPDX-License-Identifier: MIT OR Apache-2.0

//! A disk: a virtio block device behind an MMIO transport, legacy or modern, or on PCI.
//!
//! On entry the devices are as QEMU reset them. A disk that is dropped is reset, so that it writes nowhere afterwards.
//!
//! Source: Virtual I/O Device (VIRTIO) 1.2, sections 4.1 (PCI), 4.2 (MMIO) and 5.2 (block device).

use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTVCT_EL0, Readable};
use little_loader::units::{BLOCK_SIZE, Bytes, Lba, Region};
use thiserror::Error;
use virtio_drivers::device::blk::{BlkReq, BlkResp, VirtIOBlk};
use virtio_drivers::transport::mmio::{MmioError, MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceType, DeviceTypeError, SomeTransport, Transport};
use virtio_drivers::{BufferDirection, Error as DriverError, Hal, PAGE_SIZE, PhysAddr};

use crate::memory;
use crate::pci::{Bus, PciPlace, PciProblem};

/// After how many seconds a request is given up.
const TIMEOUT_SECONDS: u64 = 30;

/// The most bytes of one request: what a 32-bit length holds, in whole blocks, with room to spare.
const MAX_REQUEST: usize = 1 << 30;

/// Why a disk cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum DiskError {
    /// The registers make no sense.
    #[error("not a virtio device that can be driven: unsupported version or registers")]
    Transport,
    /// It is on PCI and cannot be turned on.
    #[error("{0}")]
    Pci(PciProblem),
    /// The driver could not set the device up.
    #[error("cannot be set up: {0}")]
    SetUp(DriverError),
    /// A request failed.
    #[error("read error at block {lba} ({blocks} blocks): {error}")]
    Read {
        lba: Lba,
        blocks: u64,
        error: DriverError,
    },
    /// A request failed.
    #[error("write error at block {lba} ({blocks} blocks): {error}")]
    Write {
        lba: Lba,
        blocks: u64,
        error: DriverError,
    },
    /// What was written may not be on the disk.
    #[error("flush error: {0}")]
    Flush(DriverError),
    /// The disk takes no writes.
    #[error("the disk is read-only")]
    ReadOnly,
    /// A request was not answered.
    #[error("no answer for {TIMEOUT_SECONDS} s from block {lba} ({blocks} blocks): given up")]
    TimedOut { lba: Lba, blocks: u64 },
    /// A request was not answered before.
    #[error("given up before, since it did not answer")]
    Gone,
}

/// Where a disk is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskName {
    Mmio(Region),
    Pci(PciPlace),
}

impl fmt::Display for DiskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mmio(registers) => write!(f, "virtio-mmio@{:x}", registers.start.0),
            Self::Pci(place) => place.fmt(f),
        }
    }
}

type Device = VirtIOBlk<LoaderHal, SomeTransport<'static>>;

/// A disk that can be read and written.
pub(crate) struct Disk {
    /// How many blocks it has.
    pub(crate) capacity: Lba,
    /// `None` once the device has been given up.
    device: Option<Device>,
}

impl Disk {
    /// Opens the block device behind an MMIO transport; `None` when there is no device, or one of another kind.
    pub(crate) fn open(registers: Region) -> Option<(DiskName, Result<Self, DiskError>)> {
        let name = DiskName::Mmio(registers);
        let header = NonNull::new(registers.start.0 as *mut VirtIOHeader)?;
        // SAFETY: the DTB says that these are the registers of a virtio-mmio transport, they are mapped as device
        // memory, and one transport is open at a time.
        let transport = unsafe { MmioTransport::new(header, registers.length().0 as usize) };
        match transport {
            Ok(transport) if transport.device_type() == DeviceType::Block => {
                Some((name, Self::set_up(transport.into())))
            }
            Ok(_) | Err(MmioError::InvalidDeviceID(DeviceTypeError::InvalidDeviceType(_))) => None,
            Err(_) => Some((name, Err(DiskError::Transport))),
        }
    }

    /// Opens a block device on PCI.
    pub(crate) fn open_pci(bus: &mut Bus, place: PciPlace) -> (DiskName, Result<Self, DiskError>) {
        let disk = bus
            .transport(place)
            .map_err(DiskError::Pci)
            .and_then(|transport| Self::set_up(transport.into()));
        (DiskName::Pci(place), disk)
    }

    fn set_up(transport: SomeTransport<'static>) -> Result<Self, DiskError> {
        let device = VirtIOBlk::new(transport).map_err(DiskError::SetUp)?;
        Ok(Self {
            capacity: Lba(device.capacity()),
            device: Some(device),
        })
    }

    /// Reads whole blocks from `lba` on into memory. The caller has checked that they lie on the disk.
    pub(crate) fn read(&mut self, mut lba: Lba, bytes: &mut [u8]) -> Result<(), DiskError> {
        for chunk in bytes.chunks_mut(MAX_REQUEST) {
            self.read_chunk(lba, chunk)?;
            lba = Lba(lba.0 + chunk.len() as u64 / BLOCK_SIZE);
        }
        Ok(())
    }

    fn read_chunk(&mut self, lba: Lba, bytes: &mut [u8]) -> Result<(), DiskError> {
        let blocks = Bytes(bytes.len() as u64).blocks();
        let (mut request, mut response) = (BlkReq::default(), BlkResp::default());
        self.wait_for(lba, blocks, |device, step| match step {
            // SAFETY: the buffers are not touched until the request is complete or the device is reset.
            Step::Submit => unsafe {
                device.read_blocks_nb(lba.0 as usize, &mut request, bytes, &mut response)
            },
            // SAFETY: the same buffers as above.
            Step::Complete(token) => unsafe {
                device
                    .complete_read_blocks(token, &request, bytes, &mut response)
                    .map(|()| token)
            },
        })?
        .map_err(|error| DiskError::Read { lba, blocks, error })
    }

    /// Writes whole blocks from `lba` on. The caller has checked that they lie on the disk.
    pub(crate) fn write(&mut self, lba: Lba, bytes: &[u8]) -> Result<(), DiskError> {
        if self.device.as_ref().is_some_and(VirtIOBlk::readonly) {
            return Err(DiskError::ReadOnly);
        }
        let blocks = Bytes(bytes.len() as u64).blocks();
        let (mut request, mut response) = (BlkReq::default(), BlkResp::default());
        self.wait_for(lba, blocks, |device, step| match step {
            // SAFETY: the buffers are not touched until the request is complete or the device is reset.
            Step::Submit => unsafe {
                device.write_blocks_nb(lba.0 as usize, &mut request, bytes, &mut response)
            },
            // SAFETY: the same buffers as above.
            Step::Complete(token) => unsafe {
                device
                    .complete_write_blocks(token, &request, bytes, &mut response)
                    .map(|()| token)
            },
        })?
        .map_err(|error| DiskError::Write { lba, blocks, error })
    }

    /// Waits until all that was written is on stable storage. The driver crate offers this only as a call that waits for
    /// the answer, however long that takes.
    pub(crate) fn flush(&mut self) -> Result<(), DiskError> {
        let device = self.device.as_mut().ok_or(DiskError::Gone)?;
        device.flush().map_err(DiskError::Flush)
    }

    /// Submits a request, waits for its answer, and completes it. A device that does not answer in time is given up: it is
    /// reset, so that it no longer owns the request's buffers.
    fn wait_for(
        &mut self,
        lba: Lba,
        blocks: u64,
        mut request: impl FnMut(&mut Device, Step) -> virtio_drivers::Result<u16>,
    ) -> Result<virtio_drivers::Result<()>, DiskError> {
        let mut device = self.device.take().ok_or(DiskError::Gone)?;
        let result = match request(&mut device, Step::Submit) {
            Ok(token) => {
                let deadline = Deadline::after(TIMEOUT_SECONDS);
                while device.peek_used().is_none() {
                    if deadline.has_passed() {
                        // Dropping the device resets it. The crate waits for a modern device to confirm that its queue
                        // is off, which cannot be bounded from here.
                        drop(device);
                        return Err(DiskError::TimedOut { lba, blocks });
                    }
                }
                match request(&mut device, Step::Complete(token)) {
                    Err(error @ (DriverError::WrongToken | DriverError::NotReady)) => {
                        // Not our answer: the device may still own the buffers, until it is reset.
                        drop(device);
                        return Ok(Err(error));
                    }
                    result => result.map(|_| ()),
                }
            }
            Err(error) => Err(error),
        };
        self.device = Some(device);
        Ok(result)
    }
}

/// What the driver is asked to do with a request.
enum Step {
    Submit,
    /// Complete the one with this token.
    Complete(u16),
}

/// A moment on the CPU's counter. The virtual counter is used, since reading the physical one may leave the guest under
/// KVM; from EL1 both count alike.
struct Deadline(u64);

impl Deadline {
    fn after(seconds: u64) -> Self {
        Self(
            CNTVCT_EL0
                .get()
                .saturating_add(seconds.saturating_mul(CNTFRQ_EL0.get())),
        )
    }

    fn has_passed(&self) -> bool {
        CNTVCT_EL0.get() >= self.0
    }
}

/// What the driver needs of us: pages for the rings. Memory is mapped one to one, and the device reads and writes it
/// through the same caches as we do, so that sharing a buffer is nothing to do.
pub(crate) struct LoaderHal;

/// How many pages of the pool are taken. A disk needs two, and one is open at a time.
static PAGES_TAKEN: AtomicUsize = AtomicUsize::new(0);

// SAFETY: dma_alloc hands out each page of the pool once until all are given back; the linker script aligns the pool to
// pages, and nothing else refers to it. Physical and virtual addresses are the same.
unsafe impl Hal for LoaderHal {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let pool = memory::dma();
        let taken = PAGES_TAKEN.load(Ordering::Relaxed);
        let start = pool.start.0 as usize + taken * PAGE_SIZE;
        if start + pages * PAGE_SIZE > pool.end.0 as usize {
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
