// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest memory that QEMU and the loader touch before the kernel runs, and that the host must
//! therefore allocate.
//!
//! The guest's RAM is a sparse file, in which the host allocates a page when it is first touched.
//! On tmpfs reads allocate too, and page by page if `shmem_enabled` in
//! `/sys/kernel/mm/transparent_hugepage` is `never`, the default. The file is examined after the
//! payload has finished its checks, while it waits; the payload touches only itself and the device
//! tree.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::BenchError;
use crate::harness::machine::Machine;
use crate::harness::report::{DONE, Report};

/// Where the RAM of QEMU's `virt` machine starts.
const RAM_BASE: u64 = 0x4000_0000;

/// The memory that QEMU reserves for its device tree and fills with zeroes after it (QEMU,
/// hw/arm/virt.c and system/device_tree.c, `FDT_MAX_SIZE`).
const DTB_SIZE: u64 = 1 << 20;

/// The size of a huge page of the host.
const BLOCK: u64 = 2 << 20;

/// The RAM touched by QEMU and a loader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The ranges of the device tree and of the kernel.
    expected: [Range<u64>; 2],
    /// The touched addresses, in whole pages.
    touched: Vec<Range<u64>>,
}

/// Boots the test payload of `payload_size` bytes on `machine` with an ELF loader, and returns the
/// touched RAM.
///
/// # Errors
/// When a run fails, or the file cannot be used.
pub fn touched(machine: &Machine, payload_size: u64, folder: &Path) -> Result<Touched, BenchError> {
    let ram = ram_file(folder)?;
    let mut running = machine
        .clone()
        .memory_file(ram.path())
        .append("payload.end=wait")
        .start()?;
    running.expect(DONE)?;
    let report = Report::parse(&running.serial())?;
    let kernel = report.number("base")?;
    let dtb = report.number("dtb")?;
    let touched = allotted(ram.as_file()).map_err(failed(ram.path()))?;
    let shifted = touched
        .into_iter()
        .map(|range| RAM_BASE + range.start..RAM_BASE + range.end);
    Ok(Touched {
        expected: [dtb..dtb + DTB_SIZE, kernel..kernel + payload_size],
        touched: shifted.collect(),
    })
}

/// Returns the bytes of RAM touched until the guest prints `first`.
///
/// # Errors
/// When the guest does not print it, or the file cannot be used.
pub fn allotted_before(machine: &Machine, first: &str, folder: &Path) -> Result<u64, BenchError> {
    let ram = ram_file(folder)?;
    let mut running = machine.clone().memory_file(ram.path()).start()?;
    running.expect(first)?;
    let touched = allotted(ram.as_file()).map_err(failed(ram.path()))?;
    Ok(touched.iter().map(|range| range.end - range.start).sum())
}

fn ram_file(folder: &Path) -> Result<NamedTempFile, BenchError> {
    // On disk file systems reads do not allocate pages.
    let memory_disk = Path::new("/dev/shm");
    let folder = if memory_disk.is_dir() {
        memory_disk
    } else {
        folder
    };
    tempfile::Builder::new()
        .prefix("little-loader-ram-")
        .tempfile_in(folder)
        .map_err(failed(folder))
}

impl Touched {
    /// The touched KiB outside of the device tree and the kernel.
    #[must_use]
    pub fn other_kib(&self) -> u64 {
        let total: u64 = self
            .touched
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        let expected: u64 = self.expected.iter().map(|range| self.within(range)).sum();
        (total - expected) >> 10
    }

    /// The number of touched 2 MiB blocks that contain neither the device tree nor the kernel.
    #[must_use]
    pub fn other_blocks(&self) -> usize {
        let blocks = |ranges: &[Range<u64>]| -> BTreeSet<u64> {
            let blocks = ranges
                .iter()
                .filter(|range| !range.is_empty())
                .flat_map(|range| range.start / BLOCK..=(range.end - 1) / BLOCK);
            blocks.collect()
        };
        let expected = blocks(&self.expected);
        blocks(&self.touched).difference(&expected).count()
    }

    /// The touched bytes of the pages that overlap `range`.
    fn within(&self, range: &Range<u64>) -> u64 {
        const PAGE: u64 = 4096;
        let (start, end) = (range.start / PAGE * PAGE, range.end.next_multiple_of(PAGE));
        let parts = self.touched.iter().map(|touched| {
            let (start, end) = (start.max(touched.start), end.min(touched.end));
            end.saturating_sub(start)
        });
        parts.sum()
    }
}

/// The parts of `file` that are not holes.
fn allotted(file: &File) -> io::Result<Vec<Range<u64>>> {
    let mut ranges = Vec::new();
    let mut position = 0;
    loop {
        let start = match seek(file, SeekFrom::Data(position)) {
            Ok(start) => start,
            // There is no data after `position`.
            Err(Errno::NXIO) => return Ok(ranges),
            Err(error) => return Err(error.into()),
        };
        position = seek(file, SeekFrom::Hole(start))?;
        ranges.push(start..position);
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> BenchError {
    let path: PathBuf = path.to_owned();
    move |source| BenchError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn what_is_the_device_trees_and_the_kernels_is_not_counted() {
        let touched = Touched {
            expected: [0x4000_0000..0x4010_0000, 0x4020_0000..0x4021_0200],
            touched: vec![0x4000_0000..0x4014_0000, 0x4020_0000..0x4021_1000],
        };
        assert_eq!((touched.other_kib(), touched.other_blocks()), (256, 0));
        let more = Touched {
            touched: vec![0x4000_0000..0x4014_0000, 0x403f_f000..0x4080_1000],
            ..touched
        };
        // The touched range starts in the kernel's block, which is not counted; each further block
        // is, even if only one page of it was touched.
        assert_eq!(
            (more.other_kib(), more.other_blocks()),
            (256 + 4 + 4096 + 4, 3)
        );
    }

    #[test]
    fn holes_are_not_allotted() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(64 << 20).unwrap();
        assert_eq!(allotted(&file).unwrap(), []);
        file.write_all_at(&[1; 8192], 32 << 20).unwrap();
        file.sync_all().unwrap();
        let ranges = allotted(&file).unwrap();
        let [range] = &ranges[..] else {
            panic!("{ranges:?}");
        };
        assert!(
            range.contains(&(32 << 20)) && range.end < 34 << 20,
            "{range:?}"
        );
    }
}
