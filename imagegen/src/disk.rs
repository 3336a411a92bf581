// SPDX-License-Identifier: MIT OR Apache-2.0

//! Builds a disk image.

use std::io;
use std::path::Path;

use little_loader_core::slots::slot::Slot;

use crate::layout::{Blocks, Layout, index};
use crate::size::Size;
use crate::variables::{Variables, VariablesError};
use fwup::output::Output;

/// The default kernel arguments after `root=/dev/vdaN`; [`DiskBuilder::args`] replaces both.
/// `panic=5` reboots 5 seconds after a panic, which leads to the next boot.
pub const DEFAULT_ARGS: &str = "console=ttyAMA0 rootfstype=squashfs rootwait ro panic=5";

/// Why an image cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A part is larger than the space reserved for it.
    #[error("{what} of slot {slot} needs {} bytes, but only {} are reserved: raise {option}", .length.0, .room.0, what = .what, slot = .slot, option = .option)]
    TooLarge {
        /// The part.
        what: &'static str,
        /// Its slot.
        slot: Slot,
        /// Its size.
        length: Size,
        /// The space reserved for it.
        room: Size,
        /// The option that raises the reserved space.
        option: &'static str,
    },
    /// The environment cannot hold the variables.
    #[error(transparent)]
    Variables(#[from] VariablesError),
    /// The image cannot be written.
    #[error("cannot write the image: {0}")]
    Write(io::Error),
}

/// The contents of a slot.
#[derive(Clone, Debug, Default)]
struct SlotFiles<'a> {
    kernel: Option<&'a [u8]>,
    kernel_room: u64,
    initrd: Option<&'a [u8]>,
    rootfs: Option<&'a [u8]>,
    args: Option<String>,
}

/// A disk image to build. Parts that are not set stay empty.
#[derive(Clone, Debug)]
pub struct DiskBuilder<'a> {
    layout: Layout,
    slots: [SlotFiles<'a>; 2],
    variables: Variables,
    removed: Vec<String>,
}

impl<'a> DiskBuilder<'a> {
    /// Starts a disk with only a partition table and an environment in which slot a is active.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            slots: [SlotFiles::default(), SlotFiles::default()],
            variables: Variables::new(),
            removed: Vec::new(),
        }
    }

    /// Sets the kernel of a slot: a raw Image, or any bytes for a test.
    #[must_use]
    pub fn kernel(mut self, slot: Slot, image: &'a [u8]) -> Self {
        self.slots[index(slot)].kernel = Some(image);
        self
    }

    /// Reserves at least `bytes` for the kernel of a slot: the loader may read more than the Image
    /// file has.
    #[must_use]
    pub fn kernel_room(mut self, slot: Slot, bytes: u64) -> Self {
        self.slots[index(slot)].kernel_room = bytes;
        self
    }

    /// Sets the initrd of a slot. It follows the kernel, aligned to 4 KiB.
    #[must_use]
    pub fn initrd(mut self, slot: Slot, initrd: &'a [u8]) -> Self {
        self.slots[index(slot)].initrd = Some(initrd);
        self
    }

    /// Sets the root file system of a slot.
    #[must_use]
    pub fn rootfs(mut self, slot: Slot, squashfs: &'a [u8]) -> Self {
        self.slots[index(slot)].rootfs = Some(squashfs);
        self
    }

    /// Sets the kernel arguments of a slot, replacing `root=/dev/vdaN` and [`DEFAULT_ARGS`].
    #[must_use]
    pub fn args(mut self, slot: Slot, args: &str) -> Self {
        self.slots[index(slot)].args = Some(args.to_owned());
        self
    }

    /// Sets the active slot; the default is a.
    #[must_use]
    pub fn active(self, slot: Slot) -> Self {
        self.variable("nerves_fw_active", slot.name())
    }

    /// Sets any variable, overriding its default value.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.set(name, value);
        self
    }

    /// Omits a variable.
    #[must_use]
    pub fn without_variable(mut self, name: &str) -> Self {
        self.removed.push(name.to_owned());
        self
    }

    /// Returns the variables of the image.
    #[must_use]
    pub fn variables(&self) -> Variables {
        let mut all = Variables::new();
        all.set("nerves_fw_active", "a")
            .set("nerves_fw_devpath", "/dev/vda")
            .set("nerves_fw_validated", "1")
            .set("nerves_fw_booted", "1")
            .set("upgrade_available", "0")
            .set("bootcount", "0");
        for slot in [Slot::A, Slot::B] {
            let files = &self.slots[index(slot)];
            let mut set = |name: &str, value: &str| {
                all.set(format!("{slot}.{name}"), value);
            };
            set("kernel_lba", &self.layout.kernel(slot).start.to_string());
            let partition = index(slot) + 1;
            let args = files
                .args
                .clone()
                .unwrap_or_else(|| format!("root=/dev/vda{partition} {DEFAULT_ARGS}"));
            set("kernel_args", &args);
            if files.kernel.is_none() {
                continue;
            }
            // These make the slot bootable, and acceptable to Nerves' upgrades.
            set("nerves_fw_platform", "qemu_aarch64");
            set("nerves_fw_architecture", "arm");
            set("nerves_fw_application_part0_devpath", "/dev/vda3");
            set("nerves_fw_application_part0_fstype", "f2fs");
            set("nerves_fw_application_part0_target", "/root");
            if let Some(initrd) = files.initrd {
                set("initrd_lba", &self.initrd_place(slot).start.to_string());
                set("initrd_size", &initrd.len().to_string());
            }
        }
        for (name, value) in self.variables.iter() {
            all.set(name, value);
        }
        for name in &self.removed {
            all.unset(name);
        }
        all
    }

    /// Checks that all parts fit.
    ///
    /// # Errors
    ///
    /// When a part is larger than the space reserved for it, or a variable cannot be stored.
    pub fn check(&self) -> Result<(), DiskError> {
        for slot in [Slot::A, Slot::B] {
            let files = &self.slots[index(slot)];
            let room = Size(self.layout.kernel(slot).bytes());
            let kernel = self.kernel_blocks(slot) * 512;
            let end = match files.initrd {
                None => kernel,
                Some(_) => (self.initrd_place(slot).end() - self.layout.kernel(slot).start) * 512,
            };
            let what = if kernel > room.0 {
                "the kernel"
            } else {
                "the kernel with its initrd"
            };
            if end > room.0 {
                return Err(DiskError::TooLarge {
                    what,
                    slot,
                    length: Size(end),
                    room,
                    option: "--kernel-size",
                });
            }
            let length = Size(files.rootfs.map_or(0, <[u8]>::len) as u64);
            let room = Size(self.layout.rootfs(slot).bytes());
            if length > room {
                let what = "the root file system";
                return Err(DiskError::TooLarge {
                    what,
                    slot,
                    length,
                    room,
                    option: "--rootfs-size",
                });
            }
        }
        self.environment(1)?;
        Ok(())
    }

    /// Writes the whole image or nothing. `progress` receives the number of bytes written so far
    /// and the total.
    ///
    /// # Errors
    ///
    /// The errors of [`check`](Self::check), and I/O errors.
    pub fn write_to(&self, path: &Path, progress: impl FnMut(u64, u64)) -> Result<(), DiskError> {
        self.check()?;
        let mut parts: Vec<(u64, &[u8])> = Vec::new();
        let mbr = self.layout.mbr().encode();
        parts.push((0, &mbr));
        // The second copy is the older one.
        let copies = [self.environment(1)?, self.environment(0)?];
        parts.push((self.layout.env.start, &copies[0]));
        if let Some(redundant) = self.layout.env_redundant {
            parts.push((redundant.start, &copies[1]));
        }
        for slot in [Slot::A, Slot::B] {
            let files = &self.slots[index(slot)];
            parts.extend(
                files
                    .kernel
                    .map(|kernel| (self.layout.kernel(slot).start, kernel)),
            );
            parts.extend(
                files
                    .initrd
                    .map(|initrd| (self.initrd_place(slot).start, initrd)),
            );
            parts.extend(
                files
                    .rootfs
                    .map(|rootfs| (self.layout.rootfs(slot).start, rootfs)),
            );
        }
        write(path, self.layout.blocks(), &parts, progress).map_err(DiskError::Write)
    }

    fn environment(&self, flags: u8) -> Result<Vec<u8>, VariablesError> {
        let size = usize::try_from(self.layout.env.bytes()).unwrap_or(usize::MAX);
        self.variables()
            .to_block(size, self.layout.env_format(), flags)
    }

    fn kernel_blocks(&self, slot: Slot) -> u64 {
        let files = &self.slots[index(slot)];
        let length = files.kernel.map_or(0, <[u8]>::len) as u64;
        Size(length.max(files.kernel_room)).blocks()
    }

    fn initrd_place(&self, slot: Slot) -> Blocks {
        let start = self.layout.kernel(slot).start + self.kernel_blocks(slot);
        let length = self.slots[index(slot)].initrd.map_or(0, <[u8]>::len) as u64;
        Blocks {
            start: start.next_multiple_of(8),
            count: Size(length).blocks(),
        }
    }
}

/// Writes an image of `blocks` blocks; each part comes with its first block.
fn write(
    path: &Path,
    blocks: u64,
    parts: &[(u64, &[u8])],
    mut progress: impl FnMut(u64, u64),
) -> io::Result<()> {
    /// The number of bytes written between two calls of `progress`.
    const STEP: usize = 4 << 20;

    let total = parts.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let mut output = Output::create(path)?;
    output.set_length(blocks * 512)?;
    let mut done = 0;
    for (lba, bytes) in parts {
        for (number, piece) in bytes.chunks(STEP).enumerate() {
            output.write_at(lba * 512 + (number * STEP) as u64, piece)?;
            done += piece.len() as u64;
            progress(done, total);
        }
    }
    output.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use little_loader_core::env::block::{Env, Format};

    use super::*;
    use crate::layout::Sizes;

    fn layout() -> Layout {
        Layout::new(&Sizes {
            kernel: Size(1 << 20),
            rootfs: Size(1 << 20),
            data: Size(1 << 20),
            ..Sizes::default()
        })
        .unwrap()
    }

    #[test]
    fn everything_is_where_the_variables_say() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.img");
        let (kernel, initrd, rootfs) = (vec![1; 5000], vec![2; 3000], vec![3; 700]);
        let mut steps = Vec::new();
        DiskBuilder::new(layout())
            .kernel(Slot::B, &kernel)
            .initrd(Slot::B, &initrd)
            .rootfs(Slot::B, &rootfs)
            .active(Slot::B)
            .args(Slot::B, "quiet")
            .variable("serial", "7")
            .without_variable("nerves_fw_devpath")
            .write_to(&path, |done, total| steps.push((done, total)))
            .unwrap();
        let disk = fs::read(&path).unwrap();
        assert_eq!(disk.len() as u64, layout().blocks() * 512);
        let env = Env::parse(&disk[8192..8192 + 131_072], Format::Single).unwrap();
        let text = |name: &str| String::from_utf8(env.get(name).unwrap().to_vec()).unwrap();
        let at = |name: &str| text(name).parse::<usize>().unwrap() * 512;
        assert_eq!(text("nerves_fw_active"), "b");
        assert_eq!(text("b.kernel_args"), "quiet");
        assert_eq!(text("serial"), "7");
        assert_eq!(env.get("nerves_fw_devpath"), None);
        assert_eq!(disk[at("b.kernel_lba")..][..5000], kernel);
        assert_eq!(disk[at("b.initrd_lba")..][..3000], initrd);
        assert_eq!(text("b.initrd_size"), "3000");
        assert_eq!(
            disk[layout().rootfs[1].start as usize * 512..][..700],
            rootfs
        );
        let last = *steps.last().unwrap();
        assert_eq!(last.0, last.1);
    }

    #[test]
    fn what_is_too_large_is_refused_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.img");
        let large = vec![1; (1 << 20) + 1];
        let build =
            |builder: DiskBuilder<'_>| builder.write_to(&path, |_, _| {}).unwrap_err().to_string();
        assert_eq!(
            build(DiskBuilder::new(layout()).kernel(Slot::A, &large)),
            "the kernel of slot a needs 1049088 bytes, but only 1048576 are reserved: raise --kernel-size"
        );
        assert!(
            build(
                DiskBuilder::new(layout())
                    .kernel(Slot::A, &large[..1 << 19])
                    .initrd(Slot::A, &large[..(1 << 19) + 1])
            )
            .contains("with its initrd")
        );
        assert!(
            build(DiskBuilder::new(layout()).rootfs(Slot::B, &large))
                .contains("raise --rootfs-size")
        );
        assert!(
            build(DiskBuilder::new(layout()).variable("a=b", "1")).contains("variable \"a=b\"")
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_redundant_pair_starts_with_the_first_copy() {
        let sizes = Sizes {
            env_redundant_lba: Some(272),
            kernel: Size(1 << 20),
            ..Sizes::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.img");
        DiskBuilder::new(Layout::new(&sizes).unwrap())
            .write_to(&path, |_, _| {})
            .unwrap();
        let disk = fs::read(&path).unwrap();
        let flags = |lba: usize| {
            Env::parse(&disk[lba * 512..lba * 512 + 131_072], Format::Redundant)
                .unwrap()
                .flags()
        };
        assert_eq!((flags(16), flags(272)), (Some(1), Some(0)));
    }
}
