// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;

use proptest::prelude::*;

use super::aligned::is_aligned;
use super::device::{Device, SEGMENT, WriteOptions};
use super::error::DeviceError;
use super::storage::{DiskFile, Storage};
use super::view::SharedDevice;

/// A disk in memory, with a log of its operations.
#[derive(Default)]
struct Memory {
    bytes: Vec<u8>,
    is_fixed: bool,
    log: Vec<String>,
    /// The number of reads.
    reads: usize,
    /// The offset of a byte that each write corrupts.
    bad: Option<usize>,
    /// Whether the disk supports discarding.
    discards: bool,
}

impl Storage for Memory {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        assert_aligned(offset, out);
        self.reads += 1;
        let start = usize::try_from(offset).unwrap().min(self.bytes.len());
        let length = out.len().min(self.bytes.len() - start);
        out[..length].copy_from_slice(&self.bytes[start..start + length]);
        Ok(length)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        assert_aligned(offset, data);
        let start = usize::try_from(offset).unwrap();
        self.log
            .push(format!("write {} {}", start / 512, data.len() / 512));
        self.bytes[start..start + data.len()].copy_from_slice(data);
        if let Some(bad) = self.bad {
            self.bytes[bad] = 0xbd;
        }
        Ok(())
    }

    fn uncache(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.log
            .push(format!("uncache {} {}", offset / 512, length / 512));
        Ok(())
    }

    fn discard(&mut self, offset: u64, length: u64) -> io::Result<()> {
        if !self.discards {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.log
            .push(format!("discard {} {}", offset / 512, length / 512));
        Ok(())
    }

    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn grows(&self) -> bool {
        !self.is_fixed
    }

    fn grow(&mut self, length: u64) -> io::Result<()> {
        self.bytes.resize(usize::try_from(length).unwrap(), 0);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.log.push("sync".to_owned());
        Ok(())
    }
}

/// Checks the requirements of direct I/O.
#[track_caller]
fn assert_aligned(offset: u64, bytes: &[u8]) {
    assert!(is_aligned(bytes));
    assert!(!bytes.is_empty());
    assert_eq!((offset % 512, bytes.len() % 512), (0, 0));
}

fn disk(length: usize, fill: u8) -> Device<Memory> {
    disk_with(length, fill, WriteOptions::default())
}

fn disk_with(length: usize, fill: u8, options: WriteOptions) -> Device<Memory> {
    let memory = Memory {
        bytes: vec![fill; length],
        ..Memory::default()
    };
    Device::with_options(memory, options)
}

#[test]
fn an_image_grows_by_segments() {
    let mut device = disk(0, 0);
    device.write(3 * SEGMENT + 512, &[1; 512]).unwrap();
    device.finish().unwrap();
    assert_eq!(device.length(), 4 * SEGMENT);
    let memory = device.into_storage();
    assert_eq!(memory.log, ["write 769 1"]);
}

#[test]
fn whole_segments_are_written_together_and_at_once() {
    let mut device = disk(0, 0);
    device.write(512, &vec![7; 4 * SEGMENT as usize]).unwrap();
    assert_eq!(device.storage.log, ["write 256 768"]);
    device.finish().unwrap();
    assert_eq!(
        device.into_storage().log,
        ["write 256 768", "write 1 255", "write 1024 1"]
    );
}

#[test]
fn a_write_past_the_end_of_a_disk_is_refused() {
    let mut device = disk(1000 * 512, 0);
    device.storage.is_fixed = true;
    let error = device.write(999 * 512, &[0; 513]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "bytes 511488 to 512001 are beyond the end of the destination, which has 512000 bytes"
    );
    // A trimmed segment at the end is written only up to the end of the disk.
    device.trim(0, 1 << 20).unwrap();
    device.write(999 * 512, &[5; 512]).unwrap();
    device.finish().unwrap();
    assert_eq!(device.into_storage().bytes[999 * 512..], [5; 512]);
}

#[test]
fn ordered_writes_follow_all_previous_data_and_precede_all_later_data() {
    let mut device = disk(SEGMENT as usize * 2, 0);
    device.write(SEGMENT, &[1; 512]).unwrap();
    let mut decision = vec![0; 4096];
    decision[1024] = 1;
    device.write_ordered(0, &decision).unwrap();
    device.write(SEGMENT + 512, &[2; 512]).unwrap();
    device.finish().unwrap();
    assert_eq!(
        device.into_storage().log,
        [
            "write 256 1",
            "sync",
            "write 2 1",
            "sync",
            "write 257 1",
            "sync"
        ]
    );
}

#[test]
fn a_new_image_needs_no_syncs() {
    let mut device = disk(0, 0);
    device.write_ordered(0, &[1; 512]).unwrap();
    device.finish().unwrap();
    assert_eq!(device.into_storage().log, ["write 0 1"]);
}

#[test]
fn trimmed_segments_are_zeroes_around_what_is_written_later() {
    let mut device = disk(SEGMENT as usize * 4, 0xee);
    // The range covers only a part of the first segment.
    device.trim(512, 3 * SEGMENT).unwrap();
    let mut bytes = [1; 512];
    device.read(SEGMENT, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 512]);
    device.write(SEGMENT + 512, &[2; 512]).unwrap();
    device.finish().unwrap();
    let bytes = device.into_storage().bytes;
    let segment = |number: usize| &bytes[number * SEGMENT as usize..][..SEGMENT as usize];
    assert!(segment(0).iter().all(|byte| *byte == 0xee));
    assert!(segment(2).iter().all(|byte| *byte == 0xee));
    assert_eq!(segment(1)[..512], [0; 512]);
    assert_eq!(segment(1)[512..1024], [2; 512]);
    assert!(segment(1)[1024..].iter().all(|byte| *byte == 0));
}

#[test]
fn an_ordered_write_into_a_trimmed_segment_zeroes_the_rest_of_it() {
    let mut device = disk(SEGMENT as usize, 0xee);
    device.trim(0, SEGMENT).unwrap();
    device.write_ordered(0, &[0; 1024]).unwrap();
    device.finish().unwrap();
    assert!(device.into_storage().bytes.iter().all(|byte| *byte == 0));
}

#[test]
fn writes_are_verified_with_the_option() {
    let options = WriteOptions {
        verifies: true,
        ..WriteOptions::default()
    };
    let mut device = disk_with(4 * SEGMENT as usize, 0, options);
    device
        .write(SEGMENT, &vec![7; 2 * SEGMENT as usize])
        .unwrap();
    assert_eq!(device.storage.log, ["write 256 512", "uncache 256 512"]);
    device.storage.bad = Some(3 * SEGMENT as usize + 700);
    device.write_ordered(3 * SEGMENT + 1024, &[1; 512]).unwrap();
    device.write(3 * SEGMENT, &[1; 1024]).unwrap();
    assert_eq!(
        device.finish().unwrap_err().to_string(),
        "writing at byte 393916: the data that was read back differs from the data that was written; the disk or its connection is faulty"
    );
    // Without the option nothing is verified.
    let mut device = disk(SEGMENT as usize, 0);
    device.storage.bad = Some(5);
    device.write(0, &[1; 512]).unwrap();
    device.finish().unwrap();
    assert_eq!(device.storage.log, ["write 0 1"]);
}

#[test]
fn writes_are_minimized_with_the_option() {
    let options = WriteOptions {
        minimizes: true,
        ..WriteOptions::default()
    };
    let mut device = disk_with(4 * SEGMENT as usize, 7, options);
    let mut data = vec![7; 3 * SEGMENT as usize];
    data[SEGMENT as usize + 1024..][..1024].fill(8);
    device.write(0, &data).unwrap();
    device.write(3 * SEGMENT, &[7; 512]).unwrap();
    device.write(3 * SEGMENT + 512, &[9; 512]).unwrap();
    device.finish().unwrap();
    let memory = device.into_storage();
    assert_eq!(memory.log, ["write 258 2", "write 769 1"]);
    assert!(memory.bytes.starts_with(&data));
    // An image is still extended.
    let mut device = disk_with(0, 0, options);
    device.write(SEGMENT, &[0; 512]).unwrap();
    device.finish().unwrap();
    assert_eq!(device.length(), 2 * SEGMENT);
    assert!(device.into_storage().log.is_empty());
}

#[test]
fn the_destination_ends_at_the_limit() {
    let options = WriteOptions {
        limit: Some(300 * 512),
        ..WriteOptions::default()
    };
    let mut device = disk_with(0, 0, options);
    assert_eq!(device.capacity(), 300 * 512);
    let error = device.write(299 * 512, &[1; 513]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "bytes 153088 to 153601 are beyond the end of the destination, which has 153600 bytes"
    );
    // The last segment of the image is shorter.
    device.write(299 * 512, &[1; 512]).unwrap();
    device.finish().unwrap();
    assert_eq!(device.length(), 300 * 512);
    // The limit can only reduce the capacity of a disk.
    for (disk, capacity) in [(400, 300), (200, 200)] {
        let mut device = disk_with(disk * 512, 0, options);
        device.storage.is_fixed = true;
        assert_eq!(device.capacity(), capacity * 512);
        assert!(device.write(capacity * 512, &[1]).is_err());
        device.write(capacity * 512 - 1, &[1]).unwrap();
        device.finish().unwrap();
    }
}

#[test]
fn trimmed_segments_are_discarded_with_the_option() {
    let options = WriteOptions {
        discards: true,
        ..WriteOptions::default()
    };
    let mut device = disk_with(3 * SEGMENT as usize + 512, 0, options);
    device.storage.is_fixed = true;
    device.storage.discards = true;
    device.trim(512, 8 * SEGMENT).unwrap();
    // Whole segments, up to the end of the disk.
    assert_eq!(device.storage.log, ["discard 256 513"]);
    assert!(device.discard_error().is_none());
    // A failed discard is not an error.
    device.storage.discards = false;
    device.trim(0, SEGMENT).unwrap();
    let refusal = device.discard_error().unwrap().to_string();
    assert!(
        refusal.starts_with("discarding data at byte 0: "),
        "{refusal}"
    );
    let mut device = disk(SEGMENT as usize, 0);
    device.storage.discards = true;
    device.trim(0, SEGMENT).unwrap();
    assert!(device.storage.log.is_empty());
}

#[test]
fn offsets_beyond_8_eib_are_refused() {
    let mut device = disk(0, 0);
    for offset in [u64::MAX, i64::MAX as u64, i64::MAX as u64 - SEGMENT] {
        let error = device.write(offset, &[1]).unwrap_err();
        assert!(error.to_string().ends_with("end beyond 8 EiB"), "{error}");
        assert!(device.trim(offset, 1).is_err());
    }
}

#[test]
fn the_cache_has_a_limit_and_keeps_what_is_read() {
    let segments = 40;
    let mut device = disk(segments * SEGMENT as usize, 3);
    device.set_cache_size(1).unwrap();
    let sweep = |device: &mut Device<Memory>, most: u64| {
        let before = device.storage.reads;
        for number in 0..segments as u64 {
            let mut bytes = [0; 700];
            device.read(number * SEGMENT + 300, &mut bytes).unwrap();
            assert_eq!(bytes, [3; 700]);
            assert!(device.cached_bytes() <= most << 20);
        }
        device.storage.reads - before
    };
    assert_eq!((sweep(&mut device, 1), sweep(&mut device, 1)), (40, 40));
    // Writes evict the oldest segments.
    for number in 0..segments as u64 {
        device.write(number * SEGMENT, &[3; 512]).unwrap();
        assert!(device.cached_bytes() <= 1 << 20);
    }
    assert_eq!(device.storage.log.len(), segments - 8);
    device.set_cache_size(16).unwrap();
    sweep(&mut device, 16);
    assert_eq!(sweep(&mut device, 16), 0);
    // Whole segments keep the cache up to date.
    device.write(SEGMENT, &[4; SEGMENT as usize]).unwrap();
    let mut bytes = [0; 1024];
    device.read(SEGMENT + 5, &mut bytes).unwrap();
    assert_eq!(bytes, [4; 1024]);
    device.set_cache_size(1).unwrap();
    assert!(device.cached_bytes() <= 1 << 20);
    device.set_cache_size(u64::MAX).unwrap();
}

#[test]
fn a_view_reads_one_part_while_another_is_written() {
    let mut device = disk(8 * SEGMENT as usize, 1);
    let shared = SharedDevice::new(&mut device);
    let source = shared.view(SEGMENT..2 * SEGMENT).unwrap();
    let mut bytes = [0; 1000];
    for at in (0..SEGMENT - 1000).step_by(1000) {
        source.read(at, &mut bytes).unwrap();
        shared
            .write(4 * SEGMENT + at, &bytes.map(|byte| byte + 1))
            .unwrap();
    }
    // Data that is not flushed is seen.
    shared.write(SEGMENT + 1, &[9]).unwrap();
    source.read(0, &mut bytes).unwrap();
    assert_eq!(bytes[..3], [1, 9, 1]);
    assert_eq!(source.length(), SEGMENT);
    let beyond = source.read(SEGMENT - 999, &mut bytes);
    assert!(matches!(beyond, Err(DeviceError::BeyondEnd { .. })));
    assert!(source.read(u64::MAX, &mut bytes).is_err());
    device.finish().unwrap();
    assert_eq!(device.storage.bytes[4 * SEGMENT as usize + 500], 2);
}

#[test]
fn direct_io_reads_back_what_was_written() {
    // Some file systems, such as old versions of tmpfs, do not support it.
    let folders = [
        tempfile::tempdir(),
        tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")),
    ];
    let opened = folders.into_iter().flatten().find_map(|folder| {
        let file = DiskFile::open(&folder.path().join("disk.img")).unwrap();
        let flags = rustix::fs::fcntl_getfl(&file.file).unwrap() | rustix::fs::OFlags::DIRECT;
        let is_direct = rustix::fs::fcntl_setfl(&file.file, flags).is_ok();
        is_direct.then_some((folder, file))
    });
    let (folder, mut file) = opened
        .expect("this test needs a file system with direct I/O: set TMPDIR to a folder on a disk");
    file.is_direct = true;
    let options = WriteOptions {
        verifies: true,
        ..WriteOptions::default()
    };
    let mut device = Device::with_options(file, options);
    let mut expected = vec![0; 5 * SEGMENT as usize];
    for (at, length) in [(70_000, 400_000), (3, 5), (511, 2), (600_000, 1)] {
        expected[at..at + length].fill(7);
        device.write(at as u64, &vec![7; length]).unwrap();
    }
    device.write_ordered(1024, &[8; 700]).unwrap();
    expected[1024..1724].fill(8);
    device.finish().unwrap();
    device.clear_cache();
    let mut read = vec![0; expected.len()];
    device.read(0, &mut read).unwrap();
    assert!(read == expected);
    assert!(std::fs::read(folder.path().join("disk.img")).unwrap() == expected);
}

/// An operation on a device.
#[derive(Clone, Debug)]
enum Access {
    Write(u64, usize, u8),
    Ordered(u64, usize, u8),
    Flush,
}

fn access() -> impl Strategy<Value = Access> {
    let place = 0_u64..1_700_000;
    prop_oneof![
        4 => (place.clone(), 0_usize..300_000, any::<u8>()).prop_map(|(at, length, byte)| Access::Write(at, length, byte)),
        1 => (place, 0_usize..3_000, any::<u8>()).prop_map(|(at, length, byte)| Access::Ordered(at, length, byte)),
        1 => Just(Access::Flush),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_device_holds_what_was_written_last(
        accesses in proptest::collection::vec(access(), 0..12),
        verifies: bool,
        minimizes: bool,
        is_small: bool,
    ) {
        let mut model = vec![0x11; 2 << 20];
        let options = WriteOptions { verifies, minimizes, ..WriteOptions::default() };
        let mut device = disk_with(model.len(), 0x11, options);
        device.set_cache_size(if is_small { 1 } else { 8 }).unwrap();
        for access in accesses {
            match access {
                Access::Write(at, length, byte) => {
                    device.write(at, &vec![byte; length]).unwrap();
                    model[at as usize..][..length].fill(byte);
                }
                Access::Ordered(at, length, byte) => {
                    device.write_ordered(at, &vec![byte; length]).unwrap();
                    model[at as usize..][..length].fill(byte);
                }
                Access::Flush => device.flush().unwrap(),
            }
            let mut read = vec![0; model.len()];
            device.read(0, &mut read).unwrap();
            prop_assert!(read == model);
        }
        device.finish().unwrap();
        prop_assert!(device.into_storage().bytes == model);
    }
}
