// SPDX-License-Identifier: MIT OR Apache-2.0

//! The layout of the disk, in the order of Nerves' qemu_aarch64 system: MBR, environment, kernel A,
//! kernel B, root file system A, root file system B, data. The last three are partitions 1 to 3.

use little_loader_core::env::block::Format;
use little_loader_core::settings::BUFFER_LIMIT;
use little_loader_core::slots::slot::Slot;

use crate::mbr::{LINUX, Mbr, Partition};
use crate::size::Size;

/// A run of blocks of 512 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// The first block.
    pub start: u64,
    /// The number of blocks.
    pub count: u64,
}

impl Blocks {
    /// Returns the first block after the run.
    #[must_use]
    pub fn end(self) -> u64 {
        self.start.saturating_add(self.count)
    }

    /// Returns the size in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.count.saturating_mul(512)
    }

    /// Returns whether the two runs share a block.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end() && other.start < self.end()
    }
}

/// The configurable sizes and places. The default sizes are those of Nerves' qemu_aarch64 system,
/// except for the data partition, which can grow.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// The first block of the environment.
    pub env_lba: u64,
    /// The size of one copy of the environment.
    pub env_size: Size,
    /// The first block of a second copy of the environment, if any.
    pub env_redundant_lba: Option<u64>,
    /// The space for each kernel with its initrd.
    pub kernel: Size,
    /// The space for each root file system.
    pub rootfs: Size,
    /// The size of the data partition.
    pub data: Size,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            env_lba: 16,
            env_size: Size(128 << 10),
            env_redundant_lba: None,
            kernel: Size(50 << 20),
            rootfs: Size(50 << 20),
            data: Size(64 << 20),
        }
    }
}

/// Why a disk cannot have these sizes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A size is 0 or not a multiple of 512.
    #[error("{what} is {size} bytes; it must be a multiple of 512, and not 0")]
    Size {
        /// The part with that size.
        what: &'static str,
        /// The size in bytes.
        size: u64,
    },
    /// The environment overlaps the MBR, or its copies overlap.
    #[error("the environment at block {lba} overlaps {with}: put it elsewhere")]
    Overlap {
        /// The first block of the copy.
        lba: u64,
        /// The part that it overlaps.
        with: &'static str,
    },
    /// The environment is larger than the largest possible buffer of a loader.
    #[error(
        "the environment has {size} bytes with all its copies; a loader has room for {}: make it smaller",
        BUFFER_LIMIT.0
    )]
    EnvTooLarge {
        /// The size of all copies in bytes.
        size: u64,
    },
    /// The disk is larger than an MBR can describe.
    #[error("the disk would have {blocks} blocks; an MBR describes at most 4294967295")]
    TooLarge {
        /// The size of the disk in blocks.
        blocks: u64,
    },
}

/// The blocks of each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The environment.
    pub env: Blocks,
    /// The second copy of the environment, if any.
    pub env_redundant: Option<Blocks>,
    /// The space for the kernels of slots a and b, with their initrds.
    pub kernels: [Blocks; 2],
    /// The space for the root file systems of slots a and b.
    pub rootfs: [Blocks; 2],
    /// The data partition.
    pub data: Blocks,
}

impl Layout {
    /// Lays out a disk.
    ///
    /// # Errors
    ///
    /// When a size is 0 or not a multiple of 512, a copy of the environment overlaps the MBR or the
    /// other copy, or the environment or the disk is too large.
    pub fn new(sizes: &Sizes) -> Result<Self, LayoutError> {
        for (what, size) in [
            ("the environment", sizes.env_size),
            ("the space for a kernel", sizes.kernel),
            ("the space for a root file system", sizes.rootfs),
            ("the data partition", sizes.data),
        ] {
            if size.0 == 0 || !size.0.is_multiple_of(512) {
                return Err(LayoutError::Size { what, size: size.0 });
            }
        }
        let copies = 1 + u64::from(sizes.env_redundant_lba.is_some());
        let size = sizes.env_size.0.saturating_mul(copies);
        if size > BUFFER_LIMIT.0 {
            return Err(LayoutError::EnvTooLarge { size });
        }
        let env_at = |lba| Blocks {
            start: lba,
            count: sizes.env_size.blocks(),
        };
        let env = env_at(sizes.env_lba);
        let env_redundant = sizes.env_redundant_lba.map(env_at);
        for copy in [Some(env), env_redundant].into_iter().flatten() {
            if copy.start == 0 {
                return Err(LayoutError::Overlap {
                    lba: 0,
                    with: "the MBR",
                });
            }
        }
        if let Some(copy) = env_redundant.filter(|copy| copy.overlaps(env)) {
            return Err(LayoutError::Overlap {
                lba: copy.start,
                with: "the first copy",
            });
        }
        // The other parts follow, each aligned to 4 KiB.
        let mut next = env.end().max(env_redundant.map_or(0, Blocks::end));
        let mut take = |size: Size| {
            let start = next.checked_next_multiple_of(8).unwrap_or(u64::MAX);
            let count = size.blocks();
            let blocks = Blocks { start, count };
            next = blocks.end();
            blocks
        };
        let layout = Self {
            env,
            env_redundant,
            kernels: [take(sizes.kernel), take(sizes.kernel)],
            rootfs: [take(sizes.rootfs), take(sizes.rootfs)],
            data: take(sizes.data),
        };
        match u32::try_from(layout.blocks()) {
            Ok(_) => Ok(layout),
            Err(_) => Err(LayoutError::TooLarge {
                blocks: layout.blocks(),
            }),
        }
    }

    /// Returns the size of the disk in blocks.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.data.end()
    }

    /// Returns the space for a slot's kernel and initrd.
    #[must_use]
    pub fn kernel(&self, slot: Slot) -> Blocks {
        self.kernels[index(slot)]
    }

    /// Returns the space for a slot's root file system.
    #[must_use]
    pub fn rootfs(&self, slot: Slot) -> Blocks {
        self.rootfs[index(slot)]
    }

    /// Returns the format of each copy of the environment.
    #[must_use]
    pub fn env_format(&self) -> Format {
        match self.env_redundant {
            None => Format::Single,
            Some(_) => Format::Redundant,
        }
    }

    /// Returns the partition table.
    #[must_use]
    pub fn mbr(&self) -> Mbr {
        // `new` checked that all block numbers fit into 32 bits.
        let partition = |blocks: Blocks| {
            Some(Partition {
                kind: LINUX,
                start: blocks.start as u32,
                blocks: blocks.count as u32,
            })
        };
        Mbr {
            partitions: [
                partition(self.rootfs[0]),
                partition(self.rootfs[1]),
                partition(self.data),
                None,
            ],
        }
    }
}

/// Returns the index of a slot in a pair.
pub(crate) fn index(slot: Slot) -> usize {
    match slot {
        Slot::A => 0,
        Slot::B => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_follows_without_overlap() {
        let layout = Layout::new(&Sizes::default()).unwrap();
        assert_eq!(
            layout.env,
            Blocks {
                start: 16,
                count: 256
            }
        );
        assert_eq!(layout.kernels[0].start, 272);
        assert_eq!(layout.rootfs[0].start, 272 + 2 * 102_400);
        let all = [
            layout.env,
            layout.kernels[0],
            layout.kernels[1],
            layout.rootfs[0],
            layout.rootfs[1],
            layout.data,
        ];
        assert!(all.windows(2).all(|pair| pair[0].end() <= pair[1].start));
    }

    #[test]
    fn with_the_environment_at_8064_it_is_the_layout_of_nerves() {
        let sizes = Sizes {
            env_lba: 8064,
            ..Sizes::default()
        };
        let layout = Layout::new(&sizes).unwrap();
        assert_eq!(layout.kernels.map(|blocks| blocks.start), [8320, 110_720]);
        assert_eq!(layout.rootfs.map(|blocks| blocks.start), [213_120, 315_520]);
        assert_eq!(layout.data.start, 417_920);
    }

    #[test]
    fn odd_sizes_leave_everything_aligned() {
        let sizes = Sizes {
            kernel: Size(512),
            rootfs: Size(1536),
            ..Sizes::default()
        };
        let layout = Layout::new(&sizes).unwrap();
        for blocks in layout
            .kernels
            .iter()
            .chain(&layout.rootfs)
            .chain([&layout.data])
        {
            assert!(blocks.start.is_multiple_of(8));
        }
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        let layout = |sizes| Layout::new(&sizes).unwrap_err().to_string();
        let default = Sizes::default();
        assert_eq!(
            layout(Sizes {
                kernel: Size(1000),
                ..default
            }),
            "the space for a kernel is 1000 bytes; it must be a multiple of 512, and not 0"
        );
        assert_eq!(
            layout(Sizes {
                env_lba: 0,
                ..default
            }),
            "the environment at block 0 overlaps the MBR: put it elsewhere"
        );
        assert_eq!(
            layout(Sizes {
                env_redundant_lba: Some(200),
                ..default
            }),
            "the environment at block 200 overlaps the first copy: put it elsewhere"
        );
        for (env_size, env_redundant_lba) in [(1 << 20, None), (384 << 10, Some(2000))] {
            let error = layout(Sizes {
                env_size: Size(env_size),
                env_redundant_lba,
                ..default
            });
            assert!(error.contains("a loader has room for 524288"), "{error}");
        }
        let half = Sizes {
            env_size: Size(256 << 10),
            env_redundant_lba: Some(528),
            ..default
        };
        assert!(Layout::new(&half).is_ok());
        assert!(
            layout(Sizes {
                data: Size(3 << 40),
                ..default
            })
            .contains("an MBR describes at most")
        );
    }
}
