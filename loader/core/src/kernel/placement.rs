// SPDX-License-Identifier: MIT OR Apache-2.0

//! The placement of kernel, initrd and DTB in memory.
//!
//! The rules are those of Linux, `Documentation/arch/arm64/booting.rst`:
//!
//! - The Image starts `text_offset` bytes after a 2 MiB boundary in RAM, with all of `image_size`
//!   free. The memory between boundary and Image does not matter: it may be reserved, or not be
//!   RAM.
//! - The initrd is in the same 1 GiB-aligned window of 32 GiB as the Image.
//! - The DTB starts on an 8-byte boundary.
//!
//! The header shows whether a kernel is older than v4.6, but not whether it is older than v4.2. All
//! kernels before v4.6 are therefore placed by the rules for the oldest that is accepted, v3.17
//! (`booting.txt` of v3.17 and v4.5): the DTB is in the 512 MiB from the Image's 2 MiB boundary on
//! and does not cross a 2 MiB boundary itself, and the initrd is above the Image's boundary, since
//! these kernels do not use the memory below it.
//!
//! Kernel and initrd are placed as low as possible: Linux recommends it for older kernels, and a
//! boot then touches as few 2 MiB blocks of memory as possible. The DTB stays at its address unless
//! it cannot grow there, is in the way, or the kernel is older than v4.6.

use thiserror::Error;

use crate::kernel::image::ImageHeader;
use crate::tree::memory_map::{Memory, TooManyRegions};
use crate::units::{Addr, Bytes, Region};

/// The alignment of an Image's base, and the boundary that an older kernel's DTB must not cross.
const BOUNDARY: u64 = 2 << 20;
const PAGE: u64 = 4096;
const WINDOW_ALIGNMENT: u64 = 1 << 30;
const WINDOW_SIZE: u64 = 32 << 30;
/// The range in which older kernels find the DTB, in bytes from the Image's 2 MiB boundary.
const DTB_REACH: u64 = 512 << 20;

/// The memory that a kernel needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelNeeds {
    /// The kernel's offset from a 2 MiB boundary in bytes.
    pub text_offset: Bytes,
    /// The size in memory in bytes, including BSS.
    pub image_size: Bytes,
    /// The number of bytes to read from the disk. Whole blocks are written to memory.
    pub bytes_to_read: Bytes,
    /// Whether the kernel is v4.6 or newer: it uses memory below its boundary, and finds a DTB at
    /// any address.
    pub anywhere: bool,
}

impl From<&ImageHeader> for KernelNeeds {
    fn from(header: &ImageHeader) -> Self {
        Self {
            text_offset: header.text_offset,
            image_size: header.image_size,
            bytes_to_read: header.bytes_to_read(),
            anywhere: header.anywhere,
        }
    }
}

impl KernelNeeds {
    /// Returns the memory that must be free. A disk read ends with a whole block, which may end
    /// after `image_size`.
    fn size(&self) -> Bytes {
        self.bytes_to_read
            .whole_blocks()
            .map_or(self.image_size, |read| read.max(self.image_size))
    }

    #[inline(never)]
    fn find_in(&self, memory: &Memory) -> Option<Region> {
        memory.find(self.size(), BOUNDARY, self.text_offset, Addr(0))
    }

    /// Returns the lowest address that a kernel placed at `kernel` can use.
    fn lowest_usable(&self, kernel: Region) -> Addr {
        if self.anywhere {
            Addr(0)
        } else {
            Addr(kernel.start().0 - self.text_offset.0)
        }
    }

    /// Finds the lowest place for a DTB that a kernel placed at `kernel` can reach.
    fn find_dtb(&self, memory: &Memory, kernel: Region, size: Bytes) -> Option<Region> {
        let (alignment, reach) = if self.anywhere {
            (PAGE, u64::MAX)
        } else {
            // A DTB aligned to the next power of two crosses no larger boundary.
            (size.0.next_power_of_two().max(PAGE), DTB_REACH)
        };
        let lowest = self.lowest_usable(kernel);
        memory
            .find(size, alignment, Bytes(0), lowest)
            .filter(|place| place.end().0 - lowest.0 <= reach)
    }
}

/// The initrd to place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitrdNeeds {
    /// There is no initrd.
    Nothing,
    /// The initrd is read from the disk: its length in bytes.
    Bytes(Bytes),
    /// QEMU has loaded the initrd into memory, where it stays.
    InMemory(Region),
}

/// The memory that the DTB needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DtbNeeds {
    /// The DTB's current region.
    pub now: Region,
    /// Its size in bytes after the edit, at most 2 MiB.
    pub size: Bytes,
}

/// The places of kernel, initrd and DTB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The kernel's memory, from its first byte.
    pub kernel: Region,
    /// The memory of an initrd that is read from the disk, in whole pages.
    pub initrd: Option<Region>,
    /// The DTB's memory: it either starts at the DTB's current address, or does not overlap its
    /// current region.
    pub dtb: Region,
}

/// A reason why kernel, initrd or DTB does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PlacementError {
    /// The kernel does not fit.
    #[error(
        "the kernel needs {needed} in one piece at a 2 MiB boundary, and the largest free piece of RAM has {largest} (RAM: {ram}); raise -m"
    )]
    Kernel {
        /// The size in memory.
        needed: Bytes,
        /// The largest free piece of RAM.
        largest: Bytes,
        /// The total RAM.
        ram: Bytes,
    },
    /// The kernel would fit if QEMU had not put an initrd there.
    #[error(
        "the kernel needs {needed} in one piece at a 2 MiB boundary, and QEMU's initrd at {initrd} is in the way (RAM: {ram}); raise -m, or put the initrd on the disk"
    )]
    InitrdInTheWay {
        /// The kernel's size in memory.
        needed: Bytes,
        /// The initrd's region.
        initrd: Region,
        /// The total RAM.
        ram: Bytes,
    },
    /// The initrd does not fit beside the kernel.
    #[error(
        "the initrd needs {needed} beside the kernel, and the largest free piece of RAM has {largest} (RAM: {ram}); raise -m"
    )]
    Initrd {
        /// The size in memory.
        needed: Bytes,
        /// The largest free piece of RAM.
        largest: Bytes,
        /// The total RAM.
        ram: Bytes,
    },
    /// The DTB does not fit beside kernel and initrd, or only where an older kernel cannot find it.
    #[error(
        "the device tree needs {needed} beside kernel and initrd (within 512 MiB of a kernel before v4.6), and the largest free piece of RAM has {largest} (RAM: {ram}); raise -m, or use a newer kernel"
    )]
    Dtb {
        /// The size in memory.
        needed: Bytes,
        /// The largest free piece of RAM.
        largest: Bytes,
        /// The total RAM.
        ram: Bytes,
    },
    /// Kernel and initrd fit only where the kernel cannot use the initrd.
    #[error(
        "the initrd at {initrd} is out of reach of the kernel at {kernel}: not in the same 32 GiB window, or before v4.6 below it"
    )]
    Window {
        /// The kernel's region.
        kernel: Region,
        /// The initrd's region.
        initrd: Region,
    },
    /// The device tree lists more pieces of memory than a list holds.
    #[error(transparent)]
    TooManyRegions(#[from] TooManyRegions),
}

/// Places kernel, initrd and DTB. The reservations of `memory` must not include an initrd in memory
/// or the DTB.
///
/// # Errors
///
/// When one of them does not fit, with the sizes.
pub fn place(
    memory: &Memory,
    kernel: &KernelNeeds,
    initrd: InitrdNeeds,
    dtb: &DtbNeeds,
) -> Result<Placement, PlacementError> {
    let without_initrd;
    let (memory, all) = if let InitrdNeeds::InMemory(region) = initrd {
        without_initrd = memory.without(region)?;
        (&without_initrd, memory)
    } else {
        (memory, memory)
    };
    let stays = Region::new(dtb.now.start(), dtb.size)
        .filter(|place| kernel.anywhere && memory.is_free(*place));
    if let Some(place) = stays
        && let rest = memory.without(place)?
        && let Some(at) = kernel.find_in(&rest)
        && let Ok(initrd) = place_initrd(&rest, kernel, at, initrd)
    {
        return Ok(Placement {
            kernel: at,
            initrd,
            dtb: place,
        });
    }

    // The DTB moves. It is copied before anything is read from the disk, and not onto itself.
    let at = kernel.find_in(memory).ok_or_else(|| {
        let (needed, ram) = (kernel.size(), memory.ram.total());
        match initrd {
            InitrdNeeds::InMemory(initrd) if kernel.find_in(all).is_some() => {
                PlacementError::InitrdInTheWay {
                    needed,
                    initrd,
                    ram,
                }
            }
            _ => PlacementError::Kernel {
                needed,
                largest: memory.largest_free(),
                ram,
            },
        }
    })?;
    let initrd = place_initrd(memory, kernel, at, initrd)?;
    let mut rest = memory.without(at)?;
    for taken in initrd.iter().chain([&dtb.now]) {
        rest.reserved.add(*taken)?;
    }
    let needed = dtb.size;
    let dtb = kernel
        .find_dtb(&rest, at, needed)
        .ok_or_else(|| PlacementError::Dtb {
            needed,
            largest: rest.largest_free(),
            ram: rest.ram.total(),
        })?;
    Ok(Placement {
        kernel: at,
        initrd,
        dtb,
    })
}

/// Places an initrd that is read from the disk beside the kernel at `at`. For an initrd in memory,
/// checks that the kernel can use it.
fn place_initrd(
    memory: &Memory,
    kernel: &KernelNeeds,
    at: Region,
    initrd: InitrdNeeds,
) -> Result<Option<Region>, PlacementError> {
    let lowest = kernel.lowest_usable(at);
    let (initrd, placed) = match initrd {
        InitrdNeeds::Nothing => return Ok(None),
        InitrdNeeds::InMemory(initrd) => (initrd, None),
        InitrdNeeds::Bytes(length) => {
            let rest = memory.without(at)?;
            let pages = length.0.max(1).checked_next_multiple_of(PAGE);
            let needed = Bytes(pages.unwrap_or(length.0));
            let find = |from| rest.find(needed, PAGE, Bytes(0), from);
            let initrd =
                find(at.end())
                    .or_else(|| find(lowest))
                    .ok_or_else(|| PlacementError::Initrd {
                        needed,
                        largest: rest.largest_free(),
                        ram: rest.ram.total(),
                    })?;
            (initrd, Some(initrd))
        }
    };
    let both = at.hull(initrd);
    let window = both.start().0 / WINDOW_ALIGNMENT * WINDOW_ALIGNMENT;
    if both.end().0 - window > WINDOW_SIZE || initrd.start() < lowest {
        return Err(PlacementError::Window { kernel: at, initrd });
    }
    Ok(placed)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn region(start: u64, length: u64) -> Region {
        Region::new(Addr(start), Bytes(length)).unwrap()
    }

    fn memory(ram: &[Region], reserved: &[Region]) -> Memory {
        let mut memory = Memory::default();
        for piece in ram {
            memory.ram.add(*piece).unwrap();
        }
        for piece in reserved {
            memory.reserved.add(*piece).unwrap();
        }
        memory
    }

    /// A virt machine with the loader 1 MiB after the start of RAM.
    fn virt(ram_mib: u64) -> Memory {
        memory(
            &[region(0x4000_0000, ram_mib * MIB)],
            &[region(0x4010_0000, 0xa_0000)],
        )
    }

    /// A DTB of 8 KiB that grows by 1 KiB.
    fn dtb(at: u64) -> DtbNeeds {
        DtbNeeds {
            now: region(at, 8192),
            size: Bytes(9216),
        }
    }

    /// Calls [`place`] with the DTB at the start of RAM, where QEMU puts it for an ELF.
    fn by_elf(
        memory: &Memory,
        kernel: &KernelNeeds,
        initrd: Option<u64>,
    ) -> Result<Placement, PlacementError> {
        let initrd = initrd.map_or(InitrdNeeds::Nothing, |length| {
            InitrdNeeds::Bytes(Bytes(length))
        });
        let placement = place(memory, kernel, initrd, &dtb(0x4000_0000))?;
        assert_eq!(placement.dtb, region(0x4000_0000, 9216));
        Ok(placement)
    }

    fn kernel(image_size: u64) -> KernelNeeds {
        KernelNeeds {
            text_offset: Bytes(0),
            image_size: Bytes(image_size),
            bytes_to_read: Bytes(image_size),
            anywhere: true,
        }
    }

    #[test]
    fn the_kernel_goes_to_the_first_free_boundary_and_the_initrd_behind_it() {
        let placement = by_elf(&virt(128), &kernel(12 * MIB + 1), Some(5000)).unwrap();
        assert_eq!(placement.kernel.start(), Addr(0x4020_0000));
        assert_eq!(placement.initrd, Some(region(0x40e0_1000, 8192)));
    }

    #[test]
    fn a_text_offset_is_added_to_the_boundary() {
        let needs = KernelNeeds {
            text_offset: Bytes(0x8_0000),
            ..kernel(MIB)
        };
        assert_eq!(
            by_elf(&virt(128), &needs, None).unwrap().kernel.start(),
            Addr(0x4028_0000)
        );
        // The Image overlaps neither DTB nor loader, although the DTB is at its boundary.
        let needs = KernelNeeds {
            text_offset: Bytes(0x1c_0000),
            ..kernel(MIB)
        };
        assert_eq!(
            by_elf(&virt(128), &needs, None).unwrap().kernel.start(),
            Addr(0x401c_0000)
        );
    }

    #[test]
    fn the_boundary_may_lie_in_another_piece_of_ram_than_the_image() {
        let needs = KernelNeeds {
            text_offset: Bytes(0x8_0000),
            ..kernel(1_638_401)
        };
        let low = region(0x6dd_0000, 0x24_0000);
        let high = region(0x705_0000, 0x113_0000);
        let dtb = dtb(0x800_0000);
        let placed = |ram: &[Region]| {
            place(&memory(ram, &[]), &needs, InitrdNeeds::Nothing, &dtb).map(|placed| placed.kernel)
        };
        let kernel = |start| Ok(region(start, 1_638_912));
        assert_eq!(placed(&[low, high]), kernel(0x708_0000));
        // A boundary outside of RAM cannot be used.
        assert_eq!(placed(&[high]), kernel(0x728_0000));
    }

    #[test]
    fn twelve_mib_fit_a_guest_of_64() {
        by_elf(&virt(64), &kernel(14 * MIB), Some(40 * MIB)).unwrap();
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_numbers() {
        let error = by_elf(&virt(64), &kernel(63 * MIB), None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the kernel needs 63.0 MiB in one piece at a 2 MiB boundary, and the largest free piece of RAM has 62.3 MiB (RAM: 64.0 MiB); raise -m"
        );
        let error = by_elf(&virt(64), &kernel(32 * MIB), Some(31 * MIB)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the initrd needs 31.0 MiB beside the kernel, and the largest free piece of RAM has 30.0 MiB (RAM: 64.0 MiB); raise -m"
        );
        let error = by_elf(&virt(64), &kernel(MIB), Some(u64::MAX)).unwrap_err();
        assert!(matches!(error, PlacementError::Initrd { .. }));
        let error = by_elf(&virt(64), &kernel(u64::MAX), None).unwrap_err();
        assert!(matches!(error, PlacementError::Kernel { .. }));
    }

    #[test]
    fn kernel_and_initrd_stay_in_one_window() {
        let far = memory(
            &[region(0x4000_0000, 6 * MIB), region(40 << 30, 64 * MIB)],
            &[],
        );
        let error = by_elf(&far, &kernel(4 * MIB), Some(3 * MIB)).unwrap_err();
        assert!(matches!(error, PlacementError::Window { .. }), "{error}");
        let in_memory = InitrdNeeds::InMemory(region(40 << 30, MIB));
        let error = place(&far, &kernel(4 * MIB), in_memory, &dtb(0x4000_0000)).unwrap_err();
        assert!(matches!(error, PlacementError::Window { .. }), "{error}");
    }

    #[test]
    fn a_dtb_stays_where_kernel_and_initrd_fit_around_it() {
        let dtb = dtb(0x4400_0000);
        let initrd = InitrdNeeds::Bytes(Bytes(2 * MIB));
        let placement = place(&virt(128), &kernel(61 * MIB), initrd, &dtb).unwrap();
        assert_eq!(placement.kernel.start(), Addr(0x4020_0000));
        assert_eq!(placement.initrd, Some(region(0x4400_3000, 2 * MIB)));
        assert_eq!(placement.dtb, region(0x4400_0000, 9216));
    }

    #[test]
    fn a_dtb_in_the_way_goes_to_the_lowest_free_place() {
        let dtb = dtb(0x4200_0000);
        let placement = place(&virt(64), &kernel(40 * MIB), InitrdNeeds::Nothing, &dtb).unwrap();
        assert_eq!(placement.kernel, region(0x4020_0000, 40 * MIB));
        assert_eq!(placement.dtb, region(0x4000_0000, 9216));
        let error = place(&virt(64), &kernel(63 * MIB), InitrdNeeds::Nothing, &dtb).unwrap_err();
        assert!(matches!(error, PlacementError::Kernel { .. }), "{error}");
    }

    #[test]
    fn a_dtb_that_cannot_grow_where_it_is_goes_elsewhere() {
        // 1 KiB too little: a reservation follows the DTB directly.
        let mut memory = virt(64);
        memory.reserved.add(region(0x4000_2000, 0x1000)).unwrap();
        let placed = place(
            &memory,
            &kernel(MIB),
            InitrdNeeds::Nothing,
            &dtb(0x4000_0000),
        );
        assert_eq!(placed.unwrap().dtb, region(0x4000_3000, 9216));
        // QEMU put the DTB into reserved memory.
        let mut memory = virt(64);
        memory.reserved.add(region(0x4000_0000, MIB)).unwrap();
        let placed = place(
            &memory,
            &kernel(MIB),
            InitrdNeeds::Nothing,
            &dtb(0x4000_0000),
        );
        assert_eq!(placed.unwrap().dtb, region(0x401a_0000, 9216));
    }

    #[test]
    fn an_initrd_in_memory_stays_and_is_gone_around() {
        let initrd = InitrdNeeds::InMemory(region(0x4200_0000, 3 * MIB));
        let dtb = dtb(0x4240_0000);
        let placement = place(&virt(64), &kernel(30 * MIB), initrd, &dtb).unwrap();
        assert_eq!(placement.kernel, region(0x4020_0000, 30 * MIB));
        assert_eq!(
            (placement.initrd, placement.dtb.start()),
            (None, dtb.now.start())
        );
        let error = place(&virt(64), &kernel(40 * MIB), initrd, &dtb).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the kernel needs 40.0 MiB in one piece at a 2 MiB boundary, and QEMU's initrd at 0x42000000..0x42300000 is in the way (RAM: 64.0 MiB); raise -m, or put the initrd on the disk"
        );
        let error = place(&virt(64), &kernel(63 * MIB), initrd, &dtb).unwrap_err();
        assert!(matches!(error, PlacementError::Kernel { .. }), "{error}");
    }

    #[test]
    fn without_room_for_the_dtb_beside_the_kernel_the_numbers_are_told() {
        let tight = memory(&[region(0x4000_0000, 4 * MIB)], &[]);
        let dtb = dtb(0x4000_0000);
        let error = place(&tight, &kernel(4 * MIB), InitrdNeeds::Nothing, &dtb).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the device tree needs 9 KiB beside kernel and initrd (within 512 MiB of a kernel before v4.6), and the largest free piece of RAM has 0 bytes (RAM: 4.0 MiB); raise -m, or use a newer kernel"
        );
    }

    #[test]
    fn an_older_kernel_gets_its_dtb_within_reach() {
        let old = |text_offset, image_size| KernelNeeds {
            text_offset: Bytes(text_offset),
            anywhere: false,
            ..kernel(image_size)
        };
        // For an ELF, QEMU puts the DTB below the boundary: it moves between boundary and Image, or
        // after the Image.
        let below = dtb(0x4000_0000);
        let nothing = InitrdNeeds::Nothing;
        let placed = place(&virt(128), &old(0x8_0000, MIB), nothing, &below).unwrap();
        assert_eq!(placed.kernel.start(), Addr(0x4028_0000));
        assert_eq!(placed.dtb, region(0x4020_0000, 9216));
        let placed = place(&virt(128), &old(0, MIB + 1), nothing, &below).unwrap();
        assert_eq!(placed.kernel.start(), Addr(0x4020_0000));
        assert_eq!(placed.dtb, region(0x4030_4000, 9216));
        let initrd = InitrdNeeds::Bytes(Bytes(600 * MIB));
        let error = place(&virt(1024), &old(0, MIB + 1), initrd, &below).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the device tree needs 9 KiB beside kernel and initrd (within 512 MiB of a kernel before v4.6), and the largest free piece of RAM has 420.9 MiB (RAM: 1024.0 MiB); raise -m, or use a newer kernel"
        );
        place(&virt(1024), &kernel(MIB), initrd, &below).unwrap();
    }

    #[test]
    fn an_older_kernel_gets_no_initrd_below_it() {
        let old = KernelNeeds {
            anywhere: false,
            ..kernel(30 * MIB)
        };
        let dtb = dtb(0x4010_0000);
        let low = region(0x4010_0000, 2 * MIB);
        let two = memory(&[low, region(0x4400_0000, 30 * MIB + 65536)], &[]);
        let initrd = InitrdNeeds::Bytes(Bytes(MIB));
        let placed = place(&two, &kernel(30 * MIB), initrd, &dtb).unwrap();
        assert_eq!(placed.initrd, Some(region(0x4010_3000, MIB)));
        let error = place(&two, &old, initrd, &dtb).unwrap_err();
        assert!(matches!(error, PlacementError::Initrd { .. }), "{error}");
        let in_memory = InitrdNeeds::InMemory(region(0x4018_0000, MIB));
        place(&two, &kernel(30 * MIB), in_memory, &dtb).unwrap();
        let error = place(&two, &old, in_memory, &dtb).unwrap_err();
        assert!(matches!(error, PlacementError::Window { .. }), "{error}");
    }

    #[test]
    fn memory_nodes_that_touch_are_one_piece() {
        let two = memory(
            &[region(0x4400_0000, 64 * MIB), region(0x4000_0000, 64 * MIB)],
            &[],
        );
        assert_eq!(two.ram.as_slice(), [region(0x4000_0000, 128 * MIB)]);
        by_elf(&two, &kernel(100 * MIB), None).unwrap();
    }

    /// Pieces of memory within 150 MiB, or within 1.2 GiB.
    fn pieces() -> impl Strategy<Value = Vec<Region>> {
        let list = proptest::collection::vec((0_u64..2000, 0_u64..300), 0..12);
        (prop_oneof![Just(1), Just(8_u64)], list).prop_map(|(scale, list)| {
            list.into_iter()
                .map(|(start, length)| region(start * scale * 65536, length * scale * 65536))
                .collect()
        })
    }

    /// Whether a kernel finds its DTB according to booting.rst.
    fn is_found(needs: &KernelNeeds, kernel: Region, dtb: Region) -> bool {
        let base = kernel.start().0 - needs.text_offset.0;
        let (first, last) = (dtb.start().0, dtb.end().0 - 1);
        needs.anywhere
            || (first >= base && last - base < 512 * MIB && first / (2 * MIB) == last / (2 * MIB))
    }

    proptest! {
        #[test]
        fn what_is_placed_is_free_aligned_lowest_and_in_reach(
            ram in pieces(),
            reserved in pieces(),
            image_size in 1_u64..(40 * MIB),
            text_offset in prop_oneof![Just(0), Just(0x8_0000_u64)],
            anywhere: bool,
            initrd in proptest::option::of((1_u64..(20 * MIB), proptest::option::of(0_u64..2000))),
            dtb_at in 0_u64..2000,
            dtb_size in 1_u64..200_000,
        ) {
            let memory = memory(&ram, &reserved);
            let text_offset = Bytes(text_offset);
            let needs = KernelNeeds { text_offset, anywhere, ..kernel(image_size) };
            let dtb = DtbNeeds { now: region(dtb_at * 65536, dtb_size / 2), size: Bytes(dtb_size) };
            let initrd = match initrd {
                None => InitrdNeeds::Nothing,
                Some((length, None)) => InitrdNeeds::Bytes(Bytes(length)),
                Some((length, Some(at))) => InitrdNeeds::InMemory(region(at * 65536, length)),
            };
            let in_memory = match initrd {
                InitrdNeeds::InMemory(initrd) => Some(initrd),
                _ => None,
            };
            let free = |wanted: Region| {
                memory.ram.as_slice().iter().any(|piece| piece.contains(wanted))
                    && !memory.reserved.as_slice().iter().chain(&in_memory).any(|piece| piece.overlaps(wanted))
            };
            // Tries every boundary in RAM, lowest first.
            let lowest = |except: Option<Region>| (0..640)
                .map(|step| region(step * BOUNDARY, 1))
                .filter(|base| memory.ram.as_slice().iter().any(|piece| piece.contains(*base)))
                .map(|base| region(base.start().0 + text_offset.0, image_size.next_multiple_of(512)))
                .find(|candidate| free(*candidate) && !except.is_some_and(|taken| taken.overlaps(*candidate)));
            let stays = Some(region(dtb.now.start().0, dtb_size)).filter(|stays| free(*stays));
            match place(&memory, &needs, initrd, &dtb) {
                Ok(placement) => {
                    let kernel = placement.kernel;
                    if Some(placement.dtb) == stays {
                        prop_assert_eq!(Some(kernel), lowest(stays));
                    } else {
                        prop_assert_eq!(Some(kernel), lowest(None));
                        prop_assert!(!placement.dtb.overlaps(dtb.now));
                        // The DTB moves only if it must.
                        let could_stay = stays.is_some_and(|stays| lowest(Some(stays)).is_some());
                        prop_assert!(!could_stay || !anywhere || initrd != InitrdNeeds::Nothing);
                    }
                    prop_assert!(free(placement.dtb) && !placement.dtb.overlaps(kernel));
                    prop_assert!(placement.dtb.start().0.is_multiple_of(8) && placement.dtb.length().0 >= dtb_size);
                    prop_assert!(is_found(&needs, kernel, placement.dtb));
                    prop_assert_eq!(placement.initrd.is_some(), matches!(initrd, InitrdNeeds::Bytes(_)));
                    if let (Some(at), InitrdNeeds::Bytes(length)) = (placement.initrd, initrd) {
                        prop_assert!(free(at) && !at.overlaps(kernel) && !at.overlaps(placement.dtb));
                        prop_assert!(at.start().0.is_multiple_of(4096) && at.length() >= length);
                    }
                    for initrd in placement.initrd.iter().chain(&in_memory) {
                        prop_assert!(anywhere || initrd.start().0 >= kernel.start().0 - text_offset.0);
                    }
                }
                Err(PlacementError::Kernel { .. }) => prop_assert_eq!(lowest(None), None),
                Err(PlacementError::InitrdInTheWay { .. }) => {
                    prop_assert!(in_memory.is_some() && lowest(None).is_none());
                }
                Err(PlacementError::Dtb { .. }) => {
                    let kernel = lowest(None);
                    prop_assert!(kernel.is_some());
                    // An initrd may occupy all such places; without an initrd, there must be none.
                    let step = dtb_size.next_power_of_two().max(4096);
                    let mut places = (0..(1280 * MIB / step)).map(|at| region(at * step, dtb_size));
                    let missed = places.any(|place| {
                        let kernel = kernel.unwrap();
                        free(place)
                            && !place.overlaps(kernel)
                            && !place.overlaps(dtb.now)
                            && is_found(&needs, kernel, place)
                    });
                    prop_assert!(initrd != InitrdNeeds::Nothing || !missed);
                }
                Err(PlacementError::Window { kernel, initrd }) => {
                    prop_assert!(!anywhere && initrd.start() < kernel.start());
                }
                Err(error) => prop_assert!(
                    matches!(initrd, InitrdNeeds::Bytes(_)) && lowest(None).is_some(), "{}", error
                ),
            }
        }
    }
}
