// SPDX-License-Identifier: MIT OR Apache-2.0

//! The body of the fuzz target. The fuzzer calls it, and so does the test `fuzz`, which needs no
//! nightly compiler.

use std::collections::BTreeMap;
use std::io;

use fat_volume::{BLOCK, Session, Start, Storage, Timestamp};

/// The size of the disk in blocks: 512 MiB.
const SIZE: u64 = 1 << 20;
/// The most accesses that all operations together may need.
const MOST_ACCESSES: u64 = 4_000_000;

/// Paths to try: short and long names, in the root and below it.
const PATHS: [&str; 6] = [
    "a",
    "A LONG NAME.TXT",
    "dir",
    "dir/x",
    "dir/sub/a long name.txt",
    "new name.bin",
];

struct Disk {
    blocks: BTreeMap<u64, [u8; BLOCK]>,
    accesses: u64,
}

impl Disk {
    /// Reads records of a block number (16 bits, little-endian) and its contents; the last may be
    /// shorter.
    fn new(bytes: &[u8]) -> Self {
        let mut blocks = BTreeMap::new();
        for record in bytes.chunks(2 + BLOCK) {
            if let [low, high, contents @ ..] = record {
                let mut block = [0; BLOCK];
                block[..contents.len()].copy_from_slice(contents);
                blocks.insert(u64::from(u16::from_le_bytes([*low, *high])), block);
            }
        }
        Self {
            blocks,
            accesses: 0,
        }
    }

    fn check(&mut self, offset: u64, length: usize) -> io::Result<u64> {
        assert_eq!(offset % BLOCK as u64, 0);
        assert_eq!(length % BLOCK, 0);
        self.accesses += 1;
        assert!(self.accesses < MOST_ACCESSES, "an operation does not end");
        let block = offset / BLOCK as u64;
        let fits = block + (length / BLOCK) as u64 <= SIZE;
        if fits {
            Ok(block)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

impl Storage for Disk {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = self.check(offset, out.len())?;
        for (block, out) in (start..).zip(out.chunks_mut(BLOCK)) {
            out.copy_from_slice(self.blocks.get(&block).unwrap_or(&[0; BLOCK]));
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = self.check(offset, data.len())?;
        for (block, data) in (start..).zip(data.chunks(BLOCK)) {
            let mut contents = [0; BLOCK];
            contents.copy_from_slice(data);
            self.blocks.insert(block, contents);
        }
        Ok(())
    }
}

/// Bytes as a volume: each operation ends with an error or success, after a bounded number of
/// accesses, all of which are whole blocks.
pub(crate) fn volume(bytes: &[u8]) {
    let mut disk = Disk::new(bytes);
    let disk = &mut disk;
    let Ok(at) = Start::from_blocks(0) else {
        return;
    };
    let mut session = Session::new(Timestamp::FWUP);
    for path in PATHS {
        let _ = session.exists(disk, at, path);
        if let Ok(map) = session.open(disk, at, path) {
            let _ = map.read_at(disk, map.length() / 2, &mut [0; 1000]);
        }
        let _ = session.set_attributes(disk, at, path, "h");
        let _ = session.touch(disk, at, path);
        let _ = session.make_directory(disk, at, path);
        if let Ok(mut writer) = session.write(disk, at, path) {
            let _ = writer.write_at(0, &[1; 3000]);
            let _ = writer.finish();
        }
        let _ = session.rename(disk, at, path, "dir/renamed with a long name");
        let _ = session.replace(disk, at, "dir/renamed with a long name", path);
        let _ = session.copy(disk, (at, path), (at, "copy"));
        let _ = session.remove(disk, at, path);
    }
    let _ = session.set_label(disk, at, "label");
    session.unmount();
    let _ = session.exists(disk, at, PATHS[0]);
}
