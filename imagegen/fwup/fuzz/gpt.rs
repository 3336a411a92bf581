// SPDX-License-Identifier: MIT OR Apache-2.0

//! The body of the fuzz target `gpt`, called by the test `fuzz` as well: bytes become a `gpt`
//! section and a disk, and a reader of its own checks the table that `gpt_write` writes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use fwup::apply::{Observer, apply};
use fwup::archive::read::Archive;
use fwup::destination::{Device, SEGMENT, Storage};
use fwup::language::{Definitions, configuration, meta_conf, to_meta_conf};

/// The size of a block in bytes.
const BLOCK: usize = 512;
/// The size of an entry of a table in bytes.
const ENTRY: usize = 128;
/// The lengths in bytes of the two parts of an input, the disk and each partition. The first byte
/// of the disk is 1 for an image that grows, plus twice a shift of the number of blocks that
/// follows.
const DISK_INPUT: usize = 5;
const PARTITION_INPUT: usize = 16;
/// The characters of names: some take two UTF-16 units.
const CHARACTERS: [char; 8] = ['a', '0', ' ', '-', 'é', '€', '😀', '\u{10ffff}'];
/// The number of UTF-16 units in a name.
const NAME: usize = 36;

/// A partition that a configuration asks for. Offsets and lengths are in blocks.
struct Wanted {
    number: u8,
    start: u32,
    blocks: u32,
    expands: bool,
    boots: bool,
    /// The attributes 0 to 15 and 48 to 63.
    flags: u32,
    name_length: u8,
    /// Selects the name's characters and the type.
    seed: u8,
}

impl Wanted {
    fn decode(input: &[u8; PARTITION_INPUT]) -> Self {
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|byte| input[at + byte]));
        Self {
            // Two numbers are too large.
            number: input[0] % 18,
            expands: input[1] & 1 != 0,
            boots: input[1] & 2 != 0,
            start: word(2),
            blocks: word(6),
            flags: word(10),
            name_length: input[14] % 50,
            seed: input[15],
        }
    }

    fn name(&self) -> String {
        (0..self.name_length)
            .map(|place| CHARACTERS[usize::from(self.seed.wrapping_add(place) % 8)])
            .collect()
    }

    fn attributes(&self) -> u64 {
        let flags = u64::from(self.flags);
        (flags & 0xffff_0000) << 32 | (flags & 0xffff)
    }

    fn kind(&self) -> Guid {
        Guid(u64::from(self.seed))
    }

    fn guid(&self) -> Guid {
        Guid(1000 + u64::from(self.number))
    }

    /// Checks the entry of the partition.
    fn check(&self, entry: &[u8], usable: (u64, u64)) {
        assert_eq!(entry[..16], self.kind().bytes());
        assert_eq!(entry[16..32], self.guid().bytes());
        let (first, last) = extent(entry);
        assert_eq!(first, u64::from(self.start));
        let wanted = (first + u64::from(self.blocks)).wrapping_sub(1);
        if self.expands {
            assert!(self.blocks == 0 || last >= wanted);
            assert!(last + 1 >= usable.1, "it ends at {last} of {usable:?}");
        } else {
            assert_eq!(last, wanted);
        }
        assert!(usable.0 <= first && first <= last && last <= usable.1);
        let boots = u64::from(self.boots) << 2;
        assert_eq!(number(entry, 48), self.attributes() | boots);
        let mut name = Vec::new();
        for character in self.name().chars() {
            if name.len() + 2 * character.len_utf16() > 2 * NAME {
                break;
            }
            let units = character.encode_utf16(&mut [0; 2]).to_vec();
            name.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        }
        name.resize(2 * NAME, 0);
        assert_eq!(entry[56..], name);
    }
}

/// A GUID that is made from a number. Zero is the GUID of zeroes.
struct Guid(u64);

impl Guid {
    /// The numbers of the text's groups; the fourth is also the start of the fifth.
    fn parts(&self) -> (u32, u16, u16, u64) {
        let bits = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (
            bits as u32,
            (bits >> 32) as u16,
            (bits >> 48) as u16,
            bits.rotate_left(17),
        )
    }

    fn text(&self) -> String {
        let (first, second, third, rest) = self.parts();
        let (fourth, fifth) = (rest >> 48, rest & 0xffff_ffff_ffff);
        format!("{first:08x}-{second:04x}-{third:04x}-{fourth:04x}-{fifth:012x}")
    }

    /// The bytes on a disk (UEFI 2.10, appendix A).
    fn bytes(&self) -> [u8; 16] {
        let (first, second, third, rest) = self.parts();
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&first.to_le_bytes());
        bytes[4..6].copy_from_slice(&second.to_le_bytes());
        bytes[6..8].copy_from_slice(&third.to_le_bytes());
        bytes[8..].copy_from_slice(&rest.to_be_bytes());
        bytes
    }
}

/// Makes a configuration of bytes, applies it to a disk, and checks the table. If there is none,
/// nothing may have been written.
pub(crate) fn gpt(bytes: &[u8]) {
    let _ = written(bytes);
}

/// As [`gpt`]; returns why no table was written.
pub(crate) fn written(bytes: &[u8]) -> Result<(), String> {
    let (disk, partitions) = bytes
        .split_at_checked(DISK_INPUT)
        .ok_or("the input has no disk")?;
    let (partitions, _) = partitions.as_chunks::<PARTITION_INPUT>();
    let wanted: Vec<_> = partitions.iter().map(Wanted::decode).collect();
    let blocks = u64::from(u32::from_le_bytes([disk[1], disk[2], disk[3], disk[4]]));
    // The largest disk has 2^47 blocks.
    let blocks = blocks << (disk[0] >> 1 & 15);
    let storage = Blocks {
        blocks: BTreeMap::new(),
        length: blocks * BLOCK as u64,
        grows: disk[0] & 1 != 0,
        is_written: false,
    };

    let folder = PathBuf::from("/nowhere");
    let text = configuration_of(&wanted).into_bytes();
    let firmware = configuration(text, "fuzz", folder, &mut Definitions::empty())
        .map_err(|error| error.to_string())?;
    let firmware = meta_conf(
        to_meta_conf(&firmware).as_bytes(),
        &mut Definitions::empty(),
    )
    .expect("a meta.conf that we wrote is valid");
    let mut device = Device::new(storage);
    let mut entries = Archive::new(io::empty());
    let applied = apply(&mut entries, &firmware, "t", &mut device, &mut Silent);
    let disk = device.into_storage();
    if let Err(error) = applied {
        assert!(!disk.is_written, "{error}");
        return Err(error.to_string());
    }
    check(&disk, &wanted);
    Ok(())
}

fn configuration_of(wanted: &[Wanted]) -> String {
    let mut text = format!("gpt g {{ guid = \"{}\"\n", Guid(1).text());
    for partition in wanted {
        let Wanted {
            number,
            start,
            blocks,
            expands,
            boots,
            ..
        } = partition;
        let (kind, guid) = (partition.kind().text(), partition.guid().text());
        let (name, flags) = (partition.name(), partition.attributes());
        writeln!(
            text,
            "partition {number} {{ block-offset = {start} block-count = {blocks} name = \"{name}\" type = \"{kind}\" guid = \"{guid}\" flags = \"{flags}\" expand = {expands} boot = {boots} }}"
        )
        .expect("a string can be written");
    }
    text + "}\ntask t { on-init { gpt_write(g) } }\n"
}

/// Checks the protective master boot record, both copies of the table, and the partitions.
fn check(disk: &Blocks, wanted: &[Wanted]) {
    let primary = Copy::read(disk, 1);
    let mut blocks = disk.length / BLOCK as u64;
    if disk.grows {
        // It grew by whole segments, so the table may end before it.
        let end = primary.other + 1;
        assert!(end <= blocks && blocks - end < SEGMENT / BLOCK as u64);
        blocks = end;
    }
    let master = disk.read(0, 1);
    assert_eq!(master[510..], [0x55, 0xaa]);
    assert_eq!(master[446 + 4], 0xee);
    let protected = u32::try_from(blocks - 1).unwrap_or(u32::MAX);
    let place = [1_u32.to_le_bytes(), protected.to_le_bytes()].concat();
    assert_eq!(master[446 + 8..446 + 16], place);
    assert_eq!(master[446 + 16..510], [0; 48]);

    let backup = Copy::read(disk, blocks - 1);
    assert_eq!((primary.other, backup.other), (blocks - 1, 1));
    assert_eq!(primary.usable, backup.usable);
    assert!(primary.array == backup.array);
    // The order on the disk: header, array, partitions, array, header.
    let (first, last) = primary.usable;
    assert!(primary.array_blocks.0 > 1 && primary.array_blocks.1 <= first);
    assert!(backup.array_blocks.0 > last && backup.array_blocks.1 < blocks);

    let mut extents = Vec::new();
    for (number, entry) in primary.array.chunks_exact(ENTRY).enumerate() {
        match wanted
            .iter()
            .find(|wanted| usize::from(wanted.number) == number)
        {
            Some(wanted) => {
                wanted.check(entry, primary.usable);
                extents.push(extent(entry));
            }
            None => assert_eq!(entry, [0; ENTRY]),
        }
    }
    assert_eq!(extents.len(), wanted.len());
    extents.sort_unstable();
    for pair in extents.windows(2) {
        assert!(pair[0].1 < pair[1].0, "{pair:?} overlap");
    }
}

/// A copy of a table.
struct Copy {
    /// The block of the other header.
    other: u64,
    /// The first and the last block for partitions.
    usable: (u64, u64),
    /// The first block of the array, and the first after it.
    array_blocks: (u64, u64),
    array: Vec<u8>,
}

impl Copy {
    /// Reads the copy with its header at block `at`, and checks its checksums.
    fn read(disk: &Blocks, at: u64) -> Self {
        let mut header = disk.read(at, 1);
        assert_eq!(header[..8], *b"EFI PART");
        // The revision, and the length of the header.
        assert_eq!(word(&header, 8), 0x0001_0000);
        assert_eq!(word(&header, 12), 92);
        let crc = word(&header, 16);
        header[16..20].fill(0);
        assert_eq!(crc32fast::hash(&header[..92]), crc);
        assert!(
            header[20..24]
                .iter()
                .chain(&header[92..])
                .all(|byte| *byte == 0)
        );
        assert_eq!(number(&header, 24), at);
        assert_eq!(header[56..72], Guid(1).bytes());
        assert_eq!(word(&header, 84) as usize, ENTRY);
        let array_at = number(&header, 72);
        let array_blocks = u64::from(word(&header, 80)) * ENTRY as u64 / BLOCK as u64;
        // UEFI 2.10, section 5.3.1: at least 16 KiB.
        assert!(array_blocks >= 32);
        let array = disk.read(array_at, array_blocks);
        assert_eq!(crc32fast::hash(&array), word(&header, 88));
        Self {
            other: number(&header, 32),
            usable: (number(&header, 40), number(&header, 48)),
            array_blocks: (array_at, array_at + array_blocks),
            array,
        }
    }
}

/// Returns the first and the last block of an entry.
fn extent(entry: &[u8]) -> (u64, u64) {
    (number(entry, 32), number(entry, 40))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]))
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]))
}

/// A disk of any size, or an image that grows. Blocks that were never written are zero.
struct Blocks {
    blocks: BTreeMap<u64, [u8; BLOCK]>,
    length: u64,
    grows: bool,
    /// Whether anything was written, or the size changed.
    is_written: bool,
}

impl Blocks {
    fn read(&self, start: u64, count: u64) -> Vec<u8> {
        (start..start + count)
            .flat_map(|block| self.blocks.get(&block).copied().unwrap_or([0; BLOCK]))
            .collect()
    }
}

impl Storage for Blocks {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(offset);
        let length = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        assert!(offset.is_multiple_of(BLOCK as u64) && length.is_multiple_of(BLOCK));
        let bytes = self.read(offset / BLOCK as u64, (length / BLOCK) as u64);
        out[..length].copy_from_slice(&bytes);
        Ok(length)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.is_written = true;
        let (blocks, rest) = data.as_chunks::<BLOCK>();
        assert!(offset.is_multiple_of(BLOCK as u64) && rest.is_empty());
        let end = offset + data.len() as u64;
        assert!(self.grows || end <= self.length);
        self.length = self.length.max(end);
        self.blocks
            .extend((offset / BLOCK as u64..).zip(blocks.iter().copied()));
        Ok(())
    }

    fn length(&self) -> u64 {
        self.length
    }

    fn grows(&self) -> bool {
        self.grows
    }

    fn grow(&mut self, length: u64) -> io::Result<()> {
        assert!(self.grows && length >= self.length);
        self.is_written = true;
        self.length = length;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Ignores the progress.
struct Silent;

impl Observer for Silent {
    fn progress(&mut self, _: u64, _: u64) {}

    fn info(&mut self, _: &str) {}
}
