// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where kernel, initrd and DTB go in memory.
//!
//! The rules are those of Linux, `Documentation/arch/arm64/booting.rst`: the Image lies `text_offset` bytes behind a
//! 2 MiB boundary with all of `image_size` free, an initrd lies within one 1 GiB-aligned window of 32 GiB with it, and
//! the DTB lies on an 8-byte boundary. Kernel and initrd go as low as they can: it is what kernels without the
//! "anywhere" flag ask for, and it keeps the memory that a boot touches in as few 2 MiB blocks as possible. The DTB stays
//! where it is, unless it has no room to grow there or is in the way.

use thiserror::Error;

use crate::tree::memory_map::{Memory, TooManyRegions};
use crate::units::{Addr, Bytes, Region};

const KERNEL_ALIGNMENT: u64 = 2 << 20;
const PAGE: u64 = 4096;
const WINDOW_ALIGNMENT: u64 = 1 << 30;
const WINDOW_SIZE: u64 = 32 << 30;

/// What a kernel needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelNeeds {
    /// How far behind a 2 MiB boundary it lies, in bytes.
    pub text_offset: Bytes,
    /// The memory it needs, BSS included, in bytes.
    pub image_size: Bytes,
    /// How many bytes are read from the disk; whole blocks are written to memory.
    pub bytes_to_read: Bytes,
}

impl KernelNeeds {
    /// The memory that the kernel takes. A disk read ends with a whole block, which may be longer than what it asks for.
    fn size(&self) -> Bytes {
        self.bytes_to_read
            .whole_blocks()
            .map_or(self.image_size, |read| read.max(self.image_size))
    }

    fn find_in(&self, memory: &Memory) -> Option<Region> {
        memory.find(self.size(), KERNEL_ALIGNMENT, self.text_offset, Addr(0))
    }
}

/// The initrd to place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitrdNeeds {
    /// There is none.
    Nothing,
    /// It will be read from the disk: so many bytes.
    Bytes(Bytes),
    /// QEMU has put it into memory, and there it stays.
    InMemory(Region),
}

/// What the DTB needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DtbNeeds {
    /// Where it lies now.
    pub now: Region,
    /// Its size in bytes once it is edited.
    pub size: Bytes,
}

/// Where everything goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The kernel's memory, from its first byte.
    pub kernel: Region,
    /// The memory of an initrd that is read from the disk, in whole pages.
    pub initrd: Option<Region>,
    /// The DTB's memory. It starts where the DTB lies now, or overlaps it nowhere.
    pub dtb: Region,
}

/// Why something does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PlacementError {
    /// The kernel does not fit.
    #[error(
        "the kernel needs {needed} in one piece at a 2 MiB boundary, and the largest free piece of RAM has {largest} (RAM: {ram}); raise -m"
    )]
    Kernel {
        /// Its size in memory.
        needed: Bytes,
        /// The largest piece that is free.
        largest: Bytes,
        /// All RAM.
        ram: Bytes,
    },
    /// The kernel would fit if QEMU had not put an initrd there.
    #[error(
        "the kernel needs {needed} in one piece at a 2 MiB boundary, and QEMU's initrd at {initrd} is in the way (RAM: {ram}); raise -m, or put the initrd on the disk"
    )]
    InitrdInTheWay {
        /// The kernel's size in memory.
        needed: Bytes,
        /// Where the initrd lies.
        initrd: Region,
        /// All RAM.
        ram: Bytes,
    },
    /// The initrd does not fit beside the kernel.
    #[error(
        "the initrd needs {needed} beside the kernel, and the largest free piece of RAM has {largest} (RAM: {ram}); raise -m"
    )]
    Initrd {
        /// Its size in memory.
        needed: Bytes,
        /// The largest piece that is free.
        largest: Bytes,
        /// All RAM.
        ram: Bytes,
    },
    /// The DTB does not fit beside kernel and initrd.
    #[error(
        "the device tree needs {needed} beside kernel and initrd, and the largest free piece of RAM has {largest} (RAM: {ram}); raise -m"
    )]
    Dtb {
        /// Its size in memory.
        needed: Bytes,
        /// The largest piece that is free.
        largest: Bytes,
        /// All RAM.
        ram: Bytes,
    },
    /// Kernel and initrd fit only too far from each other.
    #[error("the initrd at {initrd} is not in the same 32 GiB window as the kernel at {kernel}")]
    Window {
        /// Where the kernel would lie.
        kernel: Region,
        /// Where the initrd would lie.
        initrd: Region,
    },
    /// The device tree lists more pieces of memory than the loader keeps.
    #[error(transparent)]
    TooManyRegions(#[from] TooManyRegions),
}

/// Places kernel, initrd and DTB. `memory` has neither an initrd in memory nor the DTB among its reservations.
///
/// # Errors
///
/// When one of them does not fit, with the numbers.
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
    let stays = Region::new(dtb.now.start(), dtb.size).filter(|place| memory.is_free(*place));
    if let Some(place) = stays
        && let Ok((kernel, initrd)) = beside(&memory.without(place)?, kernel, initrd)
    {
        return Ok(Placement {
            kernel,
            initrd,
            dtb: place,
        });
    }

    // The DTB makes way. It is copied before anything is read, and not onto itself.
    let (kernel, initrd) =
        beside(memory, kernel, initrd).map_err(|error| match (error, initrd) {
            (PlacementError::Kernel { needed, ram, .. }, InitrdNeeds::InMemory(initrd))
                if kernel.find_in(all).is_some() =>
            {
                PlacementError::InitrdInTheWay {
                    needed,
                    initrd,
                    ram,
                }
            }
            _ => error,
        })?;
    let mut rest = memory.without(kernel)?;
    for taken in initrd.iter().chain([&dtb.now]) {
        rest.reserved.add(*taken)?;
    }
    let dtb = rest
        .find(dtb.size, PAGE, Bytes(0), Addr(0))
        .ok_or_else(|| PlacementError::Dtb {
            needed: dtb.size,
            largest: rest.largest_free(),
            ram: rest.ram.total(),
        })?;
    Ok(Placement {
        kernel,
        initrd,
        dtb,
    })
}

/// Places kernel and initrd in what is free.
fn beside(
    memory: &Memory,
    kernel: &KernelNeeds,
    initrd: InitrdNeeds,
) -> Result<(Region, Option<Region>), PlacementError> {
    let kernel = kernel
        .find_in(memory)
        .ok_or_else(|| PlacementError::Kernel {
            needed: kernel.size(),
            largest: memory.largest_free(),
            ram: memory.ram.total(),
        })?;
    match initrd {
        InitrdNeeds::Nothing => Ok((kernel, None)),
        InitrdNeeds::InMemory(initrd) => {
            check_window(kernel, initrd)?;
            Ok((kernel, None))
        }
        InitrdNeeds::Bytes(length) => {
            let rest = memory.without(kernel)?;
            let needed = Bytes(
                length
                    .0
                    .max(1)
                    .checked_next_multiple_of(PAGE)
                    .unwrap_or(length.0),
            );
            let initrd = rest
                .find(needed, PAGE, Bytes(0), kernel.end())
                .or_else(|| rest.find(needed, PAGE, Bytes(0), Addr(0)))
                .ok_or_else(|| PlacementError::Initrd {
                    needed,
                    largest: rest.largest_free(),
                    ram: rest.ram.total(),
                })?;
            check_window(kernel, initrd)?;
            Ok((kernel, Some(initrd)))
        }
    }
}

fn check_window(kernel: Region, initrd: Region) -> Result<(), PlacementError> {
    let window_start = kernel.start().min(initrd.start()).0 / WINDOW_ALIGNMENT * WINDOW_ALIGNMENT;
    if kernel.end().max(initrd.end()).0 - window_start > WINDOW_SIZE {
        return Err(PlacementError::Window { kernel, initrd });
    }
    Ok(())
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

    /// A virt machine with the loader 1 MiB behind the start of RAM.
    fn virt(ram_mib: u64) -> Memory {
        memory(
            &[region(0x4000_0000, ram_mib * MIB)],
            &[region(0x4010_0000, 0xa_0000)],
        )
    }

    /// A DTB of 8 KiB that needs one more.
    fn dtb(at: u64) -> DtbNeeds {
        DtbNeeds {
            now: region(at, 8192),
            size: Bytes(9216),
        }
    }

    /// Places with the DTB at the start of RAM, where QEMU puts it with an ELF.
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
        // Free of DTB and loader, though the boundary itself is not.
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
        // A boundary that is not in RAM is not a place.
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
        // 1 KiB too little: a reservation lies right behind it.
        let mut memory = virt(64);
        memory.reserved.add(region(0x4000_2000, 0x1000)).unwrap();
        let placed = place(
            &memory,
            &kernel(MIB),
            InitrdNeeds::Nothing,
            &dtb(0x4000_0000),
        );
        assert_eq!(placed.unwrap().dtb, region(0x4000_3000, 9216));
        // QEMU put it into what is reserved.
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
            "the device tree needs 9 KiB beside kernel and initrd, and the largest free piece of RAM has 0 bytes (RAM: 4.0 MiB); raise -m"
        );
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

    fn pieces() -> impl Strategy<Value = Vec<Region>> {
        proptest::collection::vec((0_u64..2000, 0_u64..300), 0..12).prop_map(|list| {
            list.into_iter()
                .map(|(start, length)| region(start * 65536, length * 65536))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn what_is_placed_is_free_aligned_and_lowest(
            ram in pieces(),
            reserved in pieces(),
            image_size in 1_u64..(40 * MIB),
            text_offset in prop_oneof![Just(0), Just(0x8_0000_u64)],
            initrd in proptest::option::of((1_u64..(20 * MIB), proptest::option::of(0_u64..2000))),
            dtb_at in 0_u64..2000,
            dtb_size in 1_u64..200_000,
        ) {
            let memory = memory(&ram, &reserved);
            let needs = KernelNeeds { text_offset: Bytes(text_offset), ..kernel(image_size) };
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
            // Every boundary in RAM tried one by one, lowest first.
            let lowest = |but: Option<Region>| (0..80)
                .map(|step| region(step * KERNEL_ALIGNMENT, 1))
                .filter(|base| memory.ram.as_slice().iter().any(|piece| piece.contains(*base)))
                .map(|base| region(base.start().0 + text_offset, image_size.next_multiple_of(512)))
                .find(|candidate| free(*candidate) && !but.is_some_and(|but| but.overlaps(*candidate)));
            let stays = Some(region(dtb.now.start().0, dtb_size)).filter(|stays| free(*stays));
            match place(&memory, &needs, initrd, &dtb) {
                Ok(placement) => {
                    let kernel = placement.kernel;
                    if Some(placement.dtb) == stays {
                        prop_assert_eq!(Some(kernel), lowest(stays));
                    } else {
                        prop_assert_eq!(Some(kernel), lowest(None));
                        prop_assert!(!placement.dtb.overlaps(dtb.now));
                        // It moves only for a reason.
                        prop_assert!(stays.is_none() || lowest(stays).is_none() || initrd != InitrdNeeds::Nothing);
                    }
                    prop_assert!(free(placement.dtb) && !placement.dtb.overlaps(kernel));
                    prop_assert!(placement.dtb.start().0.is_multiple_of(8) && placement.dtb.length().0 >= dtb_size);
                    prop_assert_eq!(placement.initrd.is_some(), matches!(initrd, InitrdNeeds::Bytes(_)));
                    if let (Some(at), InitrdNeeds::Bytes(length)) = (placement.initrd, initrd) {
                        prop_assert!(free(at) && !at.overlaps(kernel) && !at.overlaps(placement.dtb));
                        prop_assert!(at.start().0.is_multiple_of(4096) && at.length() >= length);
                    }
                }
                Err(PlacementError::Kernel { .. }) => prop_assert_eq!(lowest(None), None),
                Err(PlacementError::InitrdInTheWay { .. }) => {
                    prop_assert!(in_memory.is_some() && lowest(None).is_none());
                }
                Err(PlacementError::Dtb { .. }) => prop_assert!(lowest(None).is_some()),
                Err(error) => prop_assert!(
                    matches!(initrd, InitrdNeeds::Bytes(_)) && lowest(None).is_some(), "{}", error
                ),
            }
        }
    }
}
