// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where kernel and initrd go in memory.
//!
//! The rules are those of Linux, `Documentation/arch/arm64/booting.rst`: the Image lies `text_offset` bytes behind a
//! 2 MiB boundary with all of `image_size` free, and an initrd lies within one 1 GiB-aligned window of 32 GiB with it.
//! Both go as low as they can: it is what kernels without the "anywhere" flag ask for, and it keeps the memory that a
//! boot touches in as few 2 MiB blocks as possible.

use thiserror::Error;

use crate::units::{Addr, Bytes, Region};

const KERNEL_ALIGNMENT: u64 = 2 << 20;
const PAGE: u64 = 4096;
const WINDOW_ALIGNMENT: u64 = 1 << 30;
const WINDOW_SIZE: u64 = 32 << 30;

/// The most regions a [`Regions`] holds. QEMU's virt machine has one or a few memory nodes and next to no reservations.
pub const MAX_REGIONS: usize = 32;

/// A list of regions of fixed capacity, sorted by address. Regions that touch or overlap become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regions {
    list: [Region; MAX_REGIONS],
    length: usize,
}

impl Default for Regions {
    fn default() -> Self {
        let empty = Region {
            start: Addr(0),
            end: Addr(0),
        };
        Self {
            list: [empty; MAX_REGIONS],
            length: 0,
        }
    }
}

impl Regions {
    /// The regions, ascending, with gaps between them.
    #[must_use]
    pub fn as_slice(&self) -> &[Region] {
        &self.list[..self.length]
    }

    /// Adds a region; an empty one changes nothing.
    ///
    /// # Errors
    ///
    /// When the list is full.
    pub fn add(&mut self, region: Region) -> Result<(), PlacementError> {
        if region.start >= region.end {
            return Ok(());
        }
        let mut merged = region;
        let first = self
            .as_slice()
            .partition_point(|old| old.end < merged.start);
        let mut last = first;
        while let Some(old) = self
            .as_slice()
            .get(last)
            .filter(|old| old.start <= merged.end)
        {
            merged.start = merged.start.min(old.start);
            merged.end = merged.end.max(old.end);
            last += 1;
        }
        if last == first {
            if self.length == MAX_REGIONS {
                return Err(PlacementError::TooManyRegions);
            }
            self.list.copy_within(first..self.length, first + 1);
            self.length += 1;
        } else {
            self.list.copy_within(last..self.length, first + 1);
            self.length -= last - first - 1;
        }
        self.list[first] = merged;
        Ok(())
    }

    /// The sum of all lengths.
    #[must_use]
    pub fn total(&self) -> Bytes {
        Bytes(self.as_slice().iter().map(|region| region.length().0).sum())
    }
}

/// What is known of the memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The RAM.
    pub ram: Regions,
    /// What must not be overwritten: the loader, the DTB, reservations. May lie outside of RAM.
    pub reserved: Regions,
}

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

/// Where everything goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The kernel's memory, from its first byte.
    pub kernel: Region,
    /// The initrd's memory, in whole pages.
    pub initrd: Option<Region>,
}

/// Why something does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PlacementError {
    /// The kernel does not fit.
    #[error(
        "the kernel needs {needed} in one piece at a 2 MiB boundary, and the largest free piece of RAM has {largest} (RAM: {ram})"
    )]
    Kernel {
        /// Its size in memory.
        needed: Bytes,
        /// The largest piece that is free.
        largest: Bytes,
        /// All RAM.
        ram: Bytes,
    },
    /// The initrd does not fit beside the kernel.
    #[error(
        "the initrd needs {needed} beside the kernel, and the largest free piece of RAM has {largest} (RAM: {ram})"
    )]
    Initrd {
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
    #[error("the device tree lists more than {MAX_REGIONS} separate pieces of memory")]
    TooManyRegions,
}

/// Places kernel and initrd.
///
/// # Errors
///
/// When one of them does not fit, with the numbers.
pub fn place(
    memory: &Memory,
    kernel: &KernelNeeds,
    initrd: Option<Bytes>,
) -> Result<Placement, PlacementError> {
    // A disk read ends with a whole block, which may be longer than what the kernel asks for.
    let needed = kernel
        .bytes_to_read
        .whole_blocks()
        .map_or(kernel.image_size, |read| read.max(kernel.image_size));
    let kernel_at = memory
        .find(needed, KERNEL_ALIGNMENT, kernel.text_offset, Addr(0))
        .ok_or_else(|| PlacementError::Kernel {
            needed,
            largest: memory.largest_free(),
            ram: memory.ram.total(),
        })?;
    let Some(length) = initrd else {
        return Ok(Placement {
            kernel: kernel_at,
            initrd: None,
        });
    };

    let mut behind_kernel = memory.clone();
    behind_kernel.reserved.add(kernel_at)?;
    let needed = Bytes(
        length
            .0
            .max(1)
            .checked_next_multiple_of(PAGE)
            .unwrap_or(length.0),
    );
    let initrd_at = behind_kernel
        .find(needed, PAGE, Bytes(0), kernel_at.end)
        .or_else(|| behind_kernel.find(needed, PAGE, Bytes(0), Addr(0)))
        .ok_or_else(|| PlacementError::Initrd {
            needed,
            largest: behind_kernel.largest_free(),
            ram: memory.ram.total(),
        })?;
    let window_start = kernel_at.start.min(initrd_at.start).0 / WINDOW_ALIGNMENT * WINDOW_ALIGNMENT;
    if kernel_at.end.max(initrd_at.end).0 - window_start > WINDOW_SIZE {
        return Err(PlacementError::Window {
            kernel: kernel_at,
            initrd: initrd_at,
        });
    }
    Ok(Placement {
        kernel: kernel_at,
        initrd: Some(initrd_at),
    })
}

impl Memory {
    /// The lowest free region of `length` bytes that starts `offset` bytes behind a multiple of `alignment`, at or
    /// above `from`. The multiple itself lies in RAM too.
    fn find(&self, length: Bytes, alignment: u64, offset: Bytes, from: Addr) -> Option<Region> {
        self.ram.as_slice().iter().find_map(|ram| {
            let mut lowest = ram.start.max(from);
            loop {
                let base = lowest.0.checked_next_multiple_of(alignment)?;
                let start = Addr(base.checked_add(offset.0)?);
                let candidate = Region::new(start, length)?;
                if !ram.contains(candidate) {
                    return None;
                }
                match self
                    .reserved
                    .as_slice()
                    .iter()
                    .find(|taken| taken.overlaps(candidate))
                {
                    None => return Some(candidate),
                    // The next base whose start lies behind what is in the way.
                    Some(taken) => {
                        let past = taken.end.0.saturating_sub(offset.0);
                        lowest = Addr(past.max(base + 1));
                    }
                }
            }
        })
    }

    /// The size of the largest piece of RAM that is not reserved, between reservations and ends.
    fn largest_free(&self) -> Bytes {
        let mut largest = 0;
        for ram in self.ram.as_slice() {
            let mut start = ram.start.0;
            for taken in self
                .reserved
                .as_slice()
                .iter()
                .filter(|taken| taken.overlaps(*ram))
            {
                largest = largest.max(taken.start.0.saturating_sub(start));
                start = start.max(taken.end.0);
            }
            largest = largest.max(ram.end.0.saturating_sub(start));
        }
        Bytes(largest)
    }
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

    /// A virt machine: DTB at the start of RAM, the loader 1 MiB behind it.
    fn virt(ram_mib: u64) -> Memory {
        memory(
            &[region(0x4000_0000, ram_mib * MIB)],
            &[region(0x4000_0000, MIB), region(0x4010_0000, 0xa_0000)],
        )
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
        let placement = place(&virt(128), &kernel(12 * MIB + 1), Some(Bytes(5000))).unwrap();
        assert_eq!(placement.kernel.start, Addr(0x4020_0000));
        assert_eq!(placement.initrd, Some(region(0x40e0_1000, 8192)));
    }

    #[test]
    fn a_text_offset_is_added_to_the_boundary() {
        let needs = KernelNeeds {
            text_offset: Bytes(0x8_0000),
            ..kernel(MIB)
        };
        assert_eq!(
            place(&virt(128), &needs, None).unwrap().kernel.start,
            Addr(0x4028_0000)
        );
        // Free of DTB and loader, though the boundary itself is not.
        let needs = KernelNeeds {
            text_offset: Bytes(0x1c_0000),
            ..kernel(MIB)
        };
        assert_eq!(
            place(&virt(128), &needs, None).unwrap().kernel.start,
            Addr(0x401c_0000)
        );
    }

    #[test]
    fn twelve_mib_fit_a_guest_of_64() {
        place(&virt(64), &kernel(14 * MIB), Some(Bytes(40 * MIB))).unwrap();
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_numbers() {
        let error = place(&virt(64), &kernel(63 * MIB), None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the kernel needs 63.0 MiB in one piece at a 2 MiB boundary, and the largest free piece of RAM has 62.3 MiB (RAM: 64.0 MiB)"
        );
        let error = place(&virt(64), &kernel(32 * MIB), Some(Bytes(31 * MIB))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the initrd needs 31.0 MiB beside the kernel, and the largest free piece of RAM has 30.0 MiB (RAM: 64.0 MiB)"
        );
        let error = place(&virt(64), &kernel(MIB), Some(Bytes(u64::MAX))).unwrap_err();
        assert!(matches!(error, PlacementError::Initrd { .. }));
        let error = place(&virt(64), &kernel(u64::MAX), None).unwrap_err();
        assert!(matches!(error, PlacementError::Kernel { .. }));
    }

    #[test]
    fn kernel_and_initrd_stay_in_one_window() {
        let far = memory(
            &[region(0x4000_0000, 4 * MIB), region(40 << 30, 64 * MIB)],
            &[],
        );
        let error = place(&far, &kernel(4 * MIB), Some(Bytes(MIB))).unwrap_err();
        assert!(matches!(error, PlacementError::Window { .. }));
    }

    #[test]
    fn a_dtb_in_the_way_is_gone_around() {
        let mut memory = virt(128);
        memory.reserved.add(region(0x4400_0000, MIB)).unwrap();
        let placement = place(&memory, &kernel(70 * MIB), None).unwrap_err();
        assert!(matches!(placement, PlacementError::Kernel { .. }));
        let placement = place(&memory, &kernel(61 * MIB), Some(Bytes(2 * MIB))).unwrap();
        assert_eq!(placement.initrd, Some(region(0x4410_0000, 2 * MIB)));
    }

    #[test]
    fn memory_nodes_that_touch_are_one_piece() {
        let two = memory(
            &[region(0x4400_0000, 64 * MIB), region(0x4000_0000, 64 * MIB)],
            &[],
        );
        assert_eq!(two.ram.as_slice(), [region(0x4000_0000, 128 * MIB)]);
        place(&two, &kernel(100 * MIB), None).unwrap();
    }

    #[test]
    fn a_full_list_says_so() {
        let mut regions = Regions::default();
        for index in 0..MAX_REGIONS as u64 {
            regions.add(region(index * 10, 5)).unwrap();
        }
        assert_eq!(
            regions.add(region(1000, 5)),
            Err(PlacementError::TooManyRegions)
        );
        // One that joins others still fits.
        regions.add(region(0, 100)).unwrap();
        assert_eq!(regions.as_slice()[0], region(0, 105));
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
        fn regions_are_the_union_of_what_was_added(list in pieces(), probe in 0_u64..2400) {
            let regions = memory(&list, &[]).ram;
            let probe = region(probe * 65536, 1);
            let expected = list.iter().any(|piece| piece.overlaps(probe));
            prop_assert_eq!(regions.as_slice().iter().any(|piece| piece.overlaps(probe)), expected);
            prop_assert!(regions.as_slice().windows(2).all(|pair| pair[0].end < pair[1].start));
        }

        #[test]
        fn what_is_placed_is_free_aligned_and_lowest(
            ram in pieces(),
            reserved in pieces(),
            image_size in 1_u64..(40 * MIB),
            text_offset in prop_oneof![Just(0), Just(0x8_0000_u64)],
            initrd in proptest::option::of(1_u64..(20 * MIB)),
        ) {
            let memory = memory(&ram, &reserved);
            let needs = KernelNeeds { text_offset: Bytes(text_offset), ..kernel(image_size) };
            let free = |wanted: Region| {
                memory.ram.as_slice().iter().any(|piece| piece.contains(wanted))
                    && !memory.reserved.as_slice().iter().any(|piece| piece.overlaps(wanted))
            };
            // Every boundary in RAM tried one by one, lowest first.
            let lowest = (0..80)
                .map(|step| region(step * KERNEL_ALIGNMENT, 1))
                .filter(|base| memory.ram.as_slice().iter().any(|piece| piece.contains(*base)))
                .map(|base| region(base.start.0 + text_offset, image_size.next_multiple_of(512)))
                .find(|candidate| free(*candidate));
            match place(&memory, &needs, initrd.map(Bytes)) {
                Ok(placement) => {
                    prop_assert_eq!(Some(placement.kernel), lowest);
                    prop_assert_eq!(placement.initrd.is_some(), initrd.is_some());
                    if let (Some(at), Some(length)) = (placement.initrd, initrd) {
                        prop_assert!(free(at) && !at.overlaps(placement.kernel));
                        prop_assert!(at.start.0.is_multiple_of(4096) && at.length().0 >= length);
                    }
                }
                Err(PlacementError::Kernel { .. }) => prop_assert_eq!(lowest, None),
                Err(error) => prop_assert!(initrd.is_some() && lowest.is_some(), "{}", error),
            }
        }
    }
}
