// SPDX-License-Identifier: MIT OR Apache-2.0

//! Block devices on PCI, as the loader left them.
//!
//! Source: PCI Local Bus Specification 3.0, chapter 6; VIRTIO 1.2, sections 4.1.4 and 4.1.4.3.

use core::ptr::NonNull;

use little_loader_core::tree::pci_host::PciHost;
use safe_mmio::UniqueMmioPointer;
use safe_mmio::fields::ReadPure;

/// Vendor 0x1af4, device 0x1001 (transitional) or 0x1042.
const VIRTIO_BLK: [u32; 2] = [0x1001_1af4, 0x1042_1af4];
/// The size of a device's configuration space with ECAM and eight functions, in bytes.
const DEVICE_STRIDE: u64 = 8 << 12;
/// Offsets in the configuration space.
const COMMAND: u64 = 4;
const BARS: u64 = 0x10;
const CAPABILITIES: u64 = 0x34;
/// In the command register: the device responds to accesses to its addresses.
const MEMORY_SPACE: u32 = 1 << 1;
/// The IDs of vendor-specific capabilities, and of the common configuration among virtio's.
const VENDOR_SPECIFIC: u32 = 9;
const COMMON: u32 = 1;
/// The device's status in the common configuration.
const DEVICE_STATUS: u64 = 20;

/// Returns the number of block devices on the first bus that have been assigned addresses, and how
/// many of them were not reset.
pub(crate) fn disks(host: &PciHost) -> (u64, u64) {
    let (mut disks, mut running) = (0, 0);
    for device in 0..32 {
        let space = host.configuration.start().0 + device * DEVICE_STRIDE;
        if VIRTIO_BLK.contains(&read(space)) && read(space + COMMAND) & MEMORY_SPACE != 0 {
            let status = common_configuration(space).map(|common| read(common + DEVICE_STATUS));
            disks += 1;
            running += u64::from(status.is_none_or(|status| status & 0xff != 0));
        }
    }
    (disks, running)
}

/// Returns the address of the device's common configuration.
fn common_configuration(space: u64) -> Option<u64> {
    let mut at = u64::from(read(space + CAPABILITIES) & 0xfc);
    while at != 0 {
        let header = read(space + at);
        if header & 0xff == VENDOR_SPECIFIC && header >> 24 == COMMON {
            let bar = space + BARS + u64::from(read(space + at + 4) & 0xff) * 4;
            let low = read(bar);
            // Bits 2:1 are 2 for a 64-bit address.
            let high = if low & 0b110 == 0b100 {
                read(bar + 4)
            } else {
                0
            };
            let address = u64::from(high) << 32 | u64::from(low & !0xf);
            return Some(address + u64::from(read(space + at + 8)));
        }
        at = u64::from(header >> 8 & 0xfc);
    }
    None
}

/// Reads a register; a missing one reads as all ones.
fn read(address: u64) -> u32 {
    let Some(address) = NonNull::new(address as *mut ReadPure<u32>) else {
        return u32::MAX;
    };
    // SAFETY: the address is in the configuration space of the DTB's host bridge, or in registers
    // that a device there reports. Reading these changes nothing.
    let register: UniqueMmioPointer<'_, ReadPure<u32>> = unsafe { UniqueMmioPointer::new(address) };
    register.read()
}
