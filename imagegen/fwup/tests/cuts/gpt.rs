// SPDX-License-Identifier: MIT OR Apache-2.0

//! Interrupted changes of a GUID partition table: a reader always finds the complete old table or
//! the complete new one.

use std::path::PathBuf;

use fwup::archive::read::Archive;
use fwup::language::configuration;

use super::*;

/// The blocks of the disk: whole segments, since the disk in memory grows by these.
const DISK: usize = 512;
/// The blocks of a copy of a table.
const TABLE: usize = 33;

const CONFIGURATION: &str = r#"
define(T, "0fc63daf-8483-4772-8e79-3d69d8477de4")
gpt old { guid = "11111111-8483-4772-8e79-3d69d8477de4"
  partition 0 { block-offset = 40 block-count = 8 type = ${T} guid = ${T} name = old }
  partition 15 { block-offset = 48 block-count = 100 type = ${T} guid = ${T} expand = true } }
gpt new { guid = "22222222-8483-4772-8e79-3d69d8477de4"
  partition 0 { block-offset = 60 block-count = 8 type = ${T} guid = ${T} name = new }
  partition 15 { block-offset = 70 block-count = 100 type = ${T} guid = ${T} } }
mbr plain { partition 0 { block-offset = 40 block-count = 8 type = 0x83 } }
task old { on-init { gpt_write(old) } }
task new { on-init { gpt_write(new) } }
task both { on-init { raw_memset(200, 3, 1) gpt_write(new) raw_memset(210, 3, 1) } }
task plain { on-init { mbr_write(plain) } }
"#;

/// Applies a task, and returns the disk with a log of only its writes and syncs.
fn applied(disk: &Disk, task: &str) -> Disk {
    let definitions = &mut Definitions::empty();
    let firmware =
        configuration(CONFIGURATION.into(), "conf", PathBuf::new(), definitions).unwrap();
    let mut device = Device::new(forget(disk.clone()));
    let mut archive = Archive::new(&b"PK\x01\x02"[..]);
    apply(&mut archive, &firmware, task, &mut device, &mut Deaf).unwrap();
    device.into_storage()
}

fn number(bytes: &[u8]) -> usize {
    let wide = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    usize::try_from(wide).unwrap_or(usize::MAX)
}

/// Returns the GUID and the array of the copy with its header in this block, if it is valid.
fn copy(disk: &[u8], at: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    let header = &disk[at * BLOCK..][..BLOCK];
    let crc = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
    let mut covered = header[..92].to_vec();
    covered[16..20].fill(0);
    let is_valid = header.starts_with(b"EFI PART")
        && crc32fast::hash(&covered) == crc(&header[16..])
        && number(&header[24..]) == at;
    if !is_valid {
        return None;
    }
    let array = disk.get(number(&header[72..]) * BLOCK..)?.get(..16384)?;
    (crc32fast::hash(array) == crc(&header[88..]))
        .then(|| (header[56..72].to_vec(), array.to_vec()))
}

/// Returns the table that Linux and UEFI use: the primary copy, or else the backup in the last
/// blocks of the disk.
pub(super) fn table_of(disk: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let last = disk.len() / BLOCK - 1;
    copy(disk, 1).or_else(|| copy(disk, last))
}

pub(super) fn is_protective(disk: &[u8]) -> bool {
    disk[450] == 0xee && disk[510..512] == [0x55, 0xaa]
}

fn empty_disk() -> Disk {
    Disk {
        bytes: vec![0; DISK * BLOCK],
        events: Vec::new(),
    }
}

/// Checks that every interruption leaves the table before or the table after.
fn check_change(before: &Disk, task: &str) -> usize {
    let after = applied(before, task);
    let tables = [before, &after].map(|disk| table_of(&disk.bytes).unwrap());
    let new = applied(&empty_disk(), "new");
    assert_eq!(table_of(&new.bytes).as_ref(), Some(&tables[1]));
    // Both copies are complete at the end.
    assert!(copy(&after.bytes, 1).is_some() && copy(&after.bytes, DISK - 1).is_some());
    explore(&before.bytes, &after.events, |disk| {
        let found = table_of(disk).ok_or("no valid table")?;
        if !is_protective(disk) {
            Err("no protective master boot record".to_owned())
        } else if tables.contains(&found) {
            Ok(())
        } else {
            Err("a mixture of the tables".to_owned())
        }
    })
    .unwrap()
}

#[test]
fn a_change_of_the_table_can_be_interrupted_anywhere() {
    let old = applied(&empty_disk(), "old");
    let last = DISK - 1;
    for (task, damaged) in [
        ("new", None),
        ("both", None),
        // Only one of the old copies is valid: a header or an array is damaged.
        ("new", Some(1)),
        ("new", Some(2)),
        ("new", Some(33)),
        ("new", Some(last)),
        ("new", Some(last - 1)),
        ("new", Some(last - TABLE + 1)),
    ] {
        let mut before = old.clone();
        if let Some(block) = damaged {
            before.bytes[block * BLOCK + 100] ^= 1;
            before.bytes[block * BLOCK] ^= 1;
        }
        let states = check_change(&before, task);
        assert!(states > 100, "{states}");
    }
}

/// A change that was interrupted can be made again, and interrupted again.
#[test]
fn an_interrupted_change_of_the_table_can_be_repeated() {
    let old = applied(&empty_disk(), "old");
    let events = applied(&old, "new").events;
    for cut in 0..events.len() {
        let mut before = old.clone();
        for event in &events[..cut] {
            if let DiskEvent::Write(at, data) = event {
                // Only half of each write has reached the disk.
                let half = (data.len() / BLOCK).div_ceil(2) * BLOCK;
                let part = if cut % 2 == 0 { half } else { data.len() };
                before.bytes[*at..][..part].copy_from_slice(&data[..part]);
            }
        }
        if table_of(&before.bytes).is_some() {
            check_change(&before, "new");
        }
    }
}

/// Until the new table is complete, the disk keeps its master boot record.
#[test]
fn a_change_from_a_master_boot_record_can_be_interrupted_anywhere() {
    let before = applied(&empty_disk(), "plain");
    let after = applied(&before, "new");
    let expected = table_of(&after.bytes);
    explore(&before.bytes, &after.events, |disk| {
        let is_old = disk[..BLOCK] == before.bytes[..BLOCK];
        let is_new = is_protective(disk) && copy(disk, 1) == expected;
        if is_old || is_new {
            Ok(())
        } else {
            Err("neither table".to_owned())
        }
    })
    .unwrap();
}

/// Without a sync between the copies, an interruption could damage both at once.
#[test]
fn the_copies_of_a_table_are_written_one_after_the_other() {
    let old = applied(&empty_disk(), "old");
    let mut damaged = old.clone();
    damaged.bytes[BLOCK] ^= 1;
    let (primary, backup) = (1, DISK - TABLE);
    for (before, expected) in [(old, [backup, primary]), (damaged, [primary, backup])] {
        let events = applied(&before, "new").events;
        let copies: Vec<_> = events
            .split(|event| matches!(event, DiskEvent::Sync))
            .filter(|writes| !writes.is_empty())
            .map(|writes| match writes {
                [DiskEvent::Write(at, _)] if *at < backup * BLOCK => primary,
                [DiskEvent::Write(..)] => backup,
                _ => panic!("several writes without a sync between them"),
            })
            .collect();
        assert_eq!(copies, expected);
    }
}
