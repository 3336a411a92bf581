// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks a slot before any of its contents except the kernel's header are read: whether this
//! machine can boot it, and where its kernel and initrd go in memory.
//!
//! 1. [`SlotCheck::header`]: the blocks to read for the kernel's header;
//! 2. [`SlotCheck::finish`]: with that header, the extents on the disk and their places in memory.

use thiserror::Error;

use crate::disk::extent::{Extent, ExtentError};
use crate::kernel::command_line::{CommandLine, CommandLineTooLong};
use crate::kernel::image::{ImageError, ImageHeader, PROBE_SIZE};
use crate::kernel::placement::{
    DtbNeeds, InitrdNeeds, KernelNeeds, Placement, PlacementError, place,
};
use crate::slots::variables::{SlotContents, SlotError, SlotVariables};
use crate::tree::edit::{self, TreeTooLarge};
use crate::tree::memory_map::Memory;
use crate::units::{BLOCK_SIZE, Bytes, Count, Lba, Region};

/// The machine and the disk that a slot is checked for.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The size of the disk in blocks.
    pub capacity: Lba,
    /// RAM and its reservations, excluding an initrd in memory and the DTB.
    pub memory: &'a Memory,
    /// The packed DTB.
    pub dtb: Region,
    /// The value of the CPU's `ID_AA64MMFR0_EL1`, which reports the supported page sizes.
    pub id_aa64mmfr0_el1: u64,
    /// QEMU's initrd.
    pub qemu_initrd: QemuInitrd,
    /// The additions to the slot's kernel arguments: QEMU's `-append` and the `append` override.
    pub append: [&'a [u8]; 2],
}

/// The initrd that QEMU's `-initrd` puts into memory, for slots that have none on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QemuInitrd {
    /// There is none.
    Absent,
    /// The initrd is at this place.
    InMemory(Region),
    /// The initrd was at this place; a slot with an initrd on the disk was loaded over it.
    Overwritten(Region),
}

impl From<Option<Region>> for QemuInitrd {
    fn from(initrd: Option<Region>) -> Self {
        initrd.map_or(Self::Absent, Self::InMemory)
    }
}

impl QemuInitrd {
    /// Returns the state after a slot is loaded to these places.
    #[must_use]
    pub fn after_loading(self, places: &Placement) -> Self {
        let taken = [Some(places.kernel), places.initrd, Some(places.dtb)];
        match self {
            Self::InMemory(initrd)
                if taken
                    .into_iter()
                    .flatten()
                    .any(|place| place.overlaps(initrd)) =>
            {
                Self::Overwritten(initrd)
            }
            unchanged => unchanged,
        }
    }

    /// Chooses the initrd of a slot: its own if it has one, otherwise QEMU's.
    fn or_own(self, own: Option<Extent>) -> Result<InitrdNeeds, CheckError> {
        match (own, self) {
            (Some(own), _) => Ok(InitrdNeeds::Bytes(own.length)),
            (None, Self::Absent) => Ok(InitrdNeeds::Nothing),
            (None, Self::InMemory(initrd)) => Ok(InitrdNeeds::InMemory(initrd)),
            (None, Self::Overwritten(initrd)) => Err(CheckError::InitrdLost(initrd)),
        }
    }
}

/// A slot whose variables were read, and whose kernel's header must be read next.
#[derive(Debug)]
pub struct SlotCheck<'a> {
    surroundings: Surroundings<'a>,
    contents: SlotContents<'a>,
    /// The whole command line.
    command_line: CommandLine,
    /// The extent of the kernel's header.
    header: Extent,
}

/// A slot that can be booted.
#[derive(Debug)]
pub struct CheckedSlot {
    /// The kernel on the disk.
    pub kernel: Extent,
    /// The initrd on the disk, if the slot has one.
    pub initrd: Option<Extent>,
    /// The places of the kernel, initrd and DTB in memory.
    pub placement: Placement,
    /// The whole command line.
    pub command_line: CommandLine,
}

impl<'a> SlotCheck<'a> {
    /// Reads the variables of a slot.
    ///
    /// # Errors
    ///
    /// When the variables are invalid, the command line is too long, or the kernel starts beyond
    /// the end of the disk.
    pub fn new(
        variables: &SlotVariables<'a>,
        surroundings: Surroundings<'a>,
    ) -> Result<Self, CheckError> {
        let contents = SlotContents::read(variables)?;
        let [append, more] = surroundings.append;
        let command_line = CommandLine::join([contents.kernel_args, append, more])?;
        let (lba, capacity) = (contents.kernel_lba, surroundings.capacity);
        let one_block = Extent {
            lba,
            length: Bytes(BLOCK_SIZE),
        };
        one_block.check("kernel", capacity)?;
        // A small kernel may be at the end of the disk, with fewer than `PROBE_SIZE` bytes to read.
        let on_disk = (capacity.0 - lba.0).saturating_mul(BLOCK_SIZE);
        let length = Bytes(on_disk.min(PROBE_SIZE as u64));
        Ok(Self {
            surroundings,
            contents,
            command_line,
            header: Extent { lba, length },
        })
    }

    /// Returns the extent to read for the kernel's header: whole blocks, at most [`PROBE_SIZE`]
    /// bytes.
    #[must_use]
    pub fn header(&self) -> Extent {
        self.header
    }

    /// Checks the kernel by its header, and chooses the places of the slot's parts in memory. Calls
    /// `read` with the header after parsing it.
    ///
    /// # Errors
    ///
    /// When this machine cannot boot the kernel, a part of the slot extends beyond the end of the
    /// disk or does not fit into memory, or QEMU's initrd is needed but was overwritten.
    pub fn finish(
        self,
        header: &[u8],
        read: impl FnOnce(&ImageHeader),
    ) -> Result<CheckedSlot, CheckError> {
        let lba = self.contents.kernel_lba;
        let Surroundings {
            capacity,
            memory,
            dtb,
            id_aa64mmfr0_el1,
            qemu_initrd,
            ..
        } = self.surroundings;
        let header =
            ImageHeader::parse(header).map_err(|error| CheckError::Image { lba, error })?;
        read(&header);
        if header.big_endian {
            return Err(CheckError::BigEndian { lba });
        }
        if !header.page_size.is_offered_by(id_aa64mmfr0_el1) {
            let kib = header.page_size.kib().unwrap_or_default().into();
            return Err(CheckError::PageSize { lba, kib });
        }
        let needs = KernelNeeds::from(&header);
        let length = needs.bytes_to_read;
        let kernel = Extent { lba, length }.check("kernel", capacity)?;
        if let Some(initrd) = self.contents.initrd {
            initrd.check("initrd", capacity)?;
        }
        let initrd = qemu_initrd.or_own(self.contents.initrd)?;
        let dtb = DtbNeeds {
            now: dtb,
            size: edit::size_after(dtb.length().0 as usize, &self.command_line)?,
        };
        Ok(CheckedSlot {
            kernel,
            initrd: self.contents.initrd,
            placement: place(memory, &needs, initrd, &dtb)?,
            command_line: self.command_line,
        })
    }
}

/// Why a slot cannot be booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CheckError {
    /// The slot's variables are invalid.
    #[error(transparent)]
    Variables(#[from] SlotError),
    /// A part of the slot extends beyond the end of the disk.
    #[error(transparent)]
    Extent(#[from] ExtentError),
    /// There is no Image at this block, or one that cannot be booted.
    #[error("kernel_lba {lba}: {error}")]
    Image {
        /// The kernel's first block.
        lba: Lba,
        /// The error in the Image's header.
        error: ImageError,
    },
    /// The kernel is big-endian.
    #[error("kernel_lba {lba}: the kernel is big-endian; only little-endian ones can be booted")]
    BigEndian {
        /// The kernel's first block.
        lba: Lba,
    },
    /// The CPU does not offer the page size that the kernel was built for.
    #[error(
        "kernel_lba {lba}: the kernel uses pages of {kib} KiB, which this CPU does not offer: use another -cpu or kernel"
    )]
    PageSize {
        /// The kernel's first block.
        lba: Lba,
        /// The page size in KiB.
        kib: Count,
    },
    /// The kernel, initrd or DTB does not fit into memory.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The command line is too long for Linux.
    #[error(transparent)]
    CommandLine(#[from] CommandLineTooLong),
    /// The DTB with the command line is too large for Linux.
    #[error(transparent)]
    Tree(#[from] TreeTooLarge),
    /// The slot has no initrd on the disk, and QEMU's was overwritten.
    #[error(
        "QEMU's initrd at {0} was overwritten while the other slot was loaded: put an initrd on the disk"
    )]
    InitrdLost(Region),
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::{String, ToString};
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::units::Addr;

    const MIB: u64 = 1 << 20;

    /// TGran4 supported, TGran64 and TGran16 not (Arm ARM, `ID_AA64MMFR0_EL1`: 0, 0xf and 0).
    const ONLY_4_KIB: u64 = 0xf << 24;

    fn region(start: u64, length: u64) -> Region {
        Region::new(Addr(start), Bytes(length)).unwrap()
    }

    /// Returns 128 MiB of RAM, with the loader 1 MiB after its start.
    fn memory() -> Memory {
        let mut memory = Memory::default();
        memory.ram.add(region(0x4000_0000, 128 * MIB)).unwrap();
        memory.reserved.add(region(0x4010_0000, 0xa_0000)).unwrap();
        memory
    }

    /// Returns a disk of 32 MiB on a machine without an initrd.
    fn surroundings(memory: &Memory) -> Surroundings<'_> {
        Surroundings {
            capacity: Lba(65_536),
            memory,
            dtb: region(0x4000_0000, 8192),
            id_aa64mmfr0_el1: ONLY_4_KIB,
            qemu_initrd: QemuInitrd::Absent,
            append: [b"quiet", b"serial=1"],
        }
    }

    const SLOT: SlotVariables<'static> = SlotVariables {
        kernel_lba: Some(b"2048"),
        kernel_args: Some(b"console=ttyAMA0"),
        initrd_lba: None,
        initrd_size: None,
        platform: None,
    };

    const WITH_INITRD: SlotVariables<'static> = SlotVariables {
        initrd_lba: Some(b"40000"),
        initrd_size: Some(b"5000"),
        ..SLOT
    };

    /// Returns the header of an Image (booting.rst, section 4).
    fn image(image_size: u64, flags: u64) -> Vec<u8> {
        let mut bytes = vec![0; PROBE_SIZE];
        bytes[16..24].copy_from_slice(&image_size.to_le_bytes());
        bytes[24..32].copy_from_slice(&flags.to_le_bytes());
        bytes[56..60].copy_from_slice(b"ARM\x64");
        bytes
    }

    /// Returns the header of a kernel of 8 MiB for pages of 4 KiB.
    fn kernel() -> Vec<u8> {
        image(8 * MIB, 0b1010)
    }

    fn check(
        variables: &SlotVariables<'_>,
        surroundings: Surroundings<'_>,
        header: &[u8],
    ) -> Result<CheckedSlot, CheckError> {
        SlotCheck::new(variables, surroundings)?.finish(header, |_| {})
    }

    #[test]
    fn a_good_slot_is_placed_with_its_whole_command_line() {
        let memory = memory();
        let checked = check(&WITH_INITRD, surroundings(&memory), &kernel()).unwrap();
        let kernel = Extent {
            lba: Lba(2048),
            length: Bytes(8 * MIB),
        };
        assert_eq!(checked.kernel, kernel);
        assert_eq!(checked.placement.kernel, region(0x4020_0000, 8 * MIB));
        assert_eq!(checked.initrd.unwrap().lba, Lba(40_000));
        assert_eq!(checked.placement.initrd, Some(region(0x40a0_0000, 8192)));
        assert_eq!(
            checked.command_line.as_bytes(),
            b"console=ttyAMA0 quiet serial=1"
        );
        let room = edit::size_after(8192, &checked.command_line).unwrap();
        assert_eq!(checked.placement.dtb, region(0x4000_0000, room.0));
    }

    #[test]
    fn the_header_ends_with_the_disk_or_the_first_page() {
        let memory = memory();
        let length = |capacity| {
            let surroundings = Surroundings {
                capacity: Lba(capacity),
                ..surroundings(&memory)
            };
            let check = SlotCheck::new(&SLOT, surroundings);
            check
                .map(|check| check.header().length.0)
                .map_err(|error| error.to_string())
        };
        assert_eq!(length(65_536), Ok(4096));
        assert_eq!(length(2051), Ok(3 * 512));
        assert_eq!(length(2049), Ok(512));
        let error =
            "the kernel at block 2048 with 1 blocks ends beyond the disk, which has 2048 blocks";
        assert_eq!(length(2048), Err(error.into()));
        assert!(length(0).is_err());
    }

    #[test]
    fn the_slots_own_initrd_comes_before_that_of_qemu() {
        let memory = memory();
        let in_memory = region(0x4400_0000, MIB);
        let placed = |variables: &SlotVariables<'_>, qemu_initrd| {
            let surroundings = Surroundings {
                qemu_initrd,
                ..surroundings(&memory)
            };
            check(variables, surroundings, &kernel()).map(|checked| checked.placement.initrd)
        };
        let own = Some(region(0x40a0_0000, 8192));
        for qemu_initrd in [
            QemuInitrd::Absent,
            QemuInitrd::InMemory(in_memory),
            QemuInitrd::Overwritten(in_memory),
        ] {
            assert_eq!(placed(&WITH_INITRD, qemu_initrd), Ok(own));
        }
        // QEMU's initrd is not moved, so no place is chosen for it.
        assert_eq!(placed(&SLOT, QemuInitrd::InMemory(in_memory)), Ok(None));
        assert_eq!(placed(&SLOT, QemuInitrd::Absent), Ok(None));
        assert_eq!(
            placed(&SLOT, QemuInitrd::Overwritten(in_memory))
                .unwrap_err()
                .to_string(),
            "QEMU's initrd at 0x44000000..0x44100000 was overwritten while the other slot was \
             loaded: put an initrd on the disk"
        );
    }

    #[test]
    fn the_kernel_keeps_clear_of_qemus_initrd_only_where_it_is_used() {
        let memory = memory();
        let initrd = region(0x4020_0000, MIB);
        let placed = |variables: &SlotVariables<'_>| {
            let surroundings = Surroundings {
                qemu_initrd: Some(initrd).into(),
                ..surroundings(&memory)
            };
            check(variables, surroundings, &kernel()).unwrap().placement
        };
        let used = placed(&SLOT);
        assert!(!used.kernel.overlaps(initrd));
        let before = QemuInitrd::InMemory(initrd);
        assert_eq!(before.after_loading(&used), before);
        let not_used = placed(&WITH_INITRD);
        assert!(not_used.kernel.overlaps(initrd));
        let lost = QemuInitrd::Overwritten(initrd);
        assert_eq!(before.after_loading(&not_used), lost);
        assert_eq!(lost.after_loading(&used), lost);
        assert_eq!(QemuInitrd::Absent.after_loading(&used), QemuInitrd::Absent);
    }

    /// QEMU's initrd is also lost if the slot's own initrd or the moved DTB is loaded over it.
    #[test]
    fn each_place_can_overwrite_qemus_initrd() {
        let places = Placement {
            kernel: region(0x4020_0000, MIB),
            initrd: Some(region(0x4030_0000, MIB)),
            dtb: region(0x4040_0000, MIB),
        };
        for (start, is_lost) in [
            (0x4020_0000, true),
            (0x4030_0000, true),
            (0x4040_0000, true),
            (0x4050_0000, false),
        ] {
            let initrd = region(start, 16);
            let after = QemuInitrd::InMemory(initrd).after_loading(&places);
            assert_eq!(
                after == QemuInitrd::Overwritten(initrd),
                is_lost,
                "{initrd}"
            );
        }
    }

    #[test]
    fn every_refusal_names_its_reason() {
        let memory = memory();
        let base = surroundings(&memory);
        let error = |variables: &SlotVariables<'_>, surroundings, header: &[u8]| -> String {
            check(variables, surroundings, header)
                .unwrap_err()
                .to_string()
        };
        let no_kernel = SlotVariables {
            kernel_lba: None,
            ..SLOT
        };
        assert_eq!(error(&no_kernel, base, &kernel()), "kernel_lba is not set");
        let long = [b'x'; 2040];
        let long_line = Surroundings {
            append: [&long, b""],
            ..base
        };
        assert_eq!(
            error(&SLOT, long_line, &kernel()),
            "the command line has 2056 bytes; Linux takes at most 2047: shorten kernel_args or -append"
        );
        assert!(error(&SLOT, base, &[0; PROBE_SIZE]).starts_with("kernel_lba 2048: "));
        assert!(error(&SLOT, base, &image(0, 0b1010)).starts_with("kernel_lba 2048: "));
        assert_eq!(
            error(&SLOT, base, &image(8 * MIB, 0b1011)),
            "kernel_lba 2048: the kernel is big-endian; only little-endian ones can be booted"
        );
        assert_eq!(
            error(&SLOT, base, &image(8 * MIB, 0b1110)),
            "kernel_lba 2048: the kernel uses pages of 64 KiB, which this CPU does not offer: \
             use another -cpu or kernel"
        );
        assert_eq!(
            error(&SLOT, base, &image(40 * MIB, 0b1010)),
            "the kernel at block 2048 with 81920 blocks ends beyond the disk, which has 65536 blocks"
        );
        let far_initrd = SlotVariables {
            initrd_size: Some(b"33554432"),
            ..WITH_INITRD
        };
        assert_eq!(
            error(&far_initrd, base, &kernel()),
            "the initrd at block 40000 with 65536 blocks ends beyond the disk, which has 65536 blocks"
        );
        let large_disk = Surroundings {
            capacity: Lba(1 << 30),
            ..base
        };
        assert!(matches!(
            check(&SLOT, large_disk, &image(200 * MIB, 0b1010)),
            Err(CheckError::Placement(PlacementError::Kernel { .. }))
        ));
        let large_tree = Surroundings {
            dtb: region(0x4400_0000, 2 * MIB),
            ..base
        };
        assert!(error(&SLOT, large_tree, &kernel()).starts_with("the device tree has "));
    }

    #[test]
    fn the_header_is_shown_before_the_kernel_is_refused() {
        let memory = memory();
        let mut seen = None;
        let check = SlotCheck::new(&SLOT, surroundings(&memory)).unwrap();
        let refused = check.finish(&image(8 * MIB, 0b1011), |header| seen = Some(*header));
        assert!(refused.is_err());
        assert!(seen.unwrap().big_endian);
    }
}
