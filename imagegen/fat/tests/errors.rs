// SPDX-License-Identifier: MIT OR Apache-2.0

//! What each operation refuses, and that it then writes nothing.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod common;

use common::{Disk, pattern};
use fat_volume::{Error, Session, Start, Timestamp};

const BLOCKS: u64 = 2048;

fn at(blocks: u64) -> Start {
    Start::from_blocks(blocks).unwrap()
}

fn write(session: &mut Session, disk: &mut Disk, path: &str, data: &[u8]) -> Result<(), Error> {
    let mut writer = session.write(disk, at(0), path)?;
    writer.write_at(0, data)?;
    writer.finish()
}

/// A volume with a file, a read-only one, a directory and a file in it.
fn volume() -> (Session, Disk) {
    let mut session = Session::new(Timestamp::FWUP);
    let mut disk = Disk::new(BLOCKS);
    let disk_ref = &mut disk;
    session.make_file_system(disk_ref, at(0), BLOCKS).unwrap();
    write(&mut session, disk_ref, "file", &pattern(5000)).unwrap();
    write(&mut session, disk_ref, "locked", b"x").unwrap();
    session
        .set_attributes(disk_ref, at(0), "locked", "R")
        .unwrap();
    session.make_directory(disk_ref, at(0), "dir").unwrap();
    session.touch(disk_ref, at(0), "dir/inside").unwrap();
    (session, disk)
}

/// Runs an operation that must fail without a write.
fn refuse(operation: impl FnOnce(&mut Session, &mut Disk) -> Result<(), Error>) -> Error {
    let (mut session, mut disk) = volume();
    let before = disk.writes;
    let error = operation(&mut session, &mut disk).unwrap_err();
    assert_eq!(disk.writes, before, "{error}");
    error
}

macro_rules! refused {
    ($variant:pat, $session:ident, $disk:ident => $operation:expr) => {
        let error = refuse(|$session, $disk| $operation);
        assert!(matches!(error, $variant), "{error:?}");
    };
}

#[test]
fn names_that_are_missing_or_in_use() {
    refused!(Error::NotFound { .. }, s, d => s.remove(d, at(0), "missing"));
    refused!(Error::NoDirectory { .. }, s, d => s.remove(d, at(0), "missing/file"));
    refused!(Error::NoDirectory { .. }, s, d => s.make_directory(d, at(0), "missing/dir"));
    refused!(Error::NoDirectory { .. }, s, d => s.touch(d, at(0), "file/below"));
    refused!(Error::Exists { .. }, s, d => s.make_directory(d, at(0), "FILE"));
    refused!(Error::Exists { .. }, s, d => s.rename(d, at(0), "file", "dir/inside"));
    refused!(Error::NotFound { .. }, s, d => s.replace(d, at(0), "missing", "file"));
    refused!(Error::NotFound { .. }, s, d => s.copy(d, (at(0), "missing"), (at(0), "file")));
    refused!(Error::NotFound { .. }, s, d => s.set_attributes(d, at(0), "missing", "R"));
    refused!(Error::InsideItself { .. }, s, d => s.rename(d, at(0), "dir", "dir/dir"));
}

#[test]
fn files_and_directories_that_are_protected() {
    refused!(Error::ReadOnly { .. }, s, d => write(s, d, "locked", b"y"));
    refused!(Error::ReadOnly { .. }, s, d => s.touch(d, at(0), "locked"));
    refused!(Error::ReadOnly { .. }, s, d => s.remove(d, at(0), "locked"));
    refused!(Error::ReadOnly { .. }, s, d => s.replace(d, at(0), "file", "locked"));
    refused!(Error::NotEmpty { .. }, s, d => s.remove(d, at(0), "dir"));
    refused!(Error::IsDirectory { .. }, s, d => write(s, d, "dir", b"y"));
    refused!(Error::IsDirectory { .. }, s, d => s.open(d, at(0), "dir").map(drop));
}

#[test]
fn arguments_that_are_invalid() {
    refused!(Error::InvalidPath { .. }, s, d => s.touch(d, at(0), "a:b"));
    refused!(Error::InvalidPath { .. }, s, d => s.touch(d, at(0), "/"));
    refused!(Error::InvalidPath { .. }, s, d => s.touch(d, at(0), &"a".repeat(253)));
    refused!(Error::InvalidLabel { .. }, s, d => s.set_label(d, at(0), "longer than it"));
    refused!(Error::InvalidAttribute { letter: 'A' }, s, d => {
        s.set_attributes(d, at(0), "file", "RA")
    });
    refused!(Error::NoFileSystem { .. }, s, d => s.touch(d, at(1), "file"));
    refused!(Error::Size { .. }, s, d => s.make_file_system(d, at(0), 4100));
    refused!(Error::Size { .. }, s, d => s.make_file_system(d, at(0), 1 << 32 | 2048));
    refused!(Error::Disk { .. }, s, d => s.make_file_system(d, at(1), BLOCKS));
    assert!(matches!(
        Start::from_blocks(1 << 54),
        Err(Error::Offset { .. })
    ));
}

#[test]
fn a_file_that_does_not_fit_leaves_an_empty_one() {
    let (mut session, mut disk) = volume();
    let error = write(&mut session, &mut disk, "big", &pattern(2 << 20)).unwrap_err();
    assert!(matches!(error, Error::Full), "{error:?}");
    let nodes = common::checker::check(&disk, 0, false);
    let empty = common::checker::Node::File {
        attributes: 0x20,
        data: Vec::new(),
    };
    assert_eq!(nodes["/big"], empty);
    // The space is still there.
    write(&mut session, &mut disk, "big", &pattern(1 << 19)).unwrap();
}

#[test]
fn data_comes_in_order_and_has_32_bits_of_length() {
    let (mut session, mut disk) = volume();
    let mut writer = session.write(&mut disk, at(0), "new").unwrap();
    writer.write_at(700, b"end").unwrap();
    let error = writer.write_at(702, b"!").unwrap_err();
    assert!(
        matches!(
            error,
            Error::Order {
                offset: 702,
                length: 703
            }
        ),
        "{error:?}"
    );
    let error = writer.extend_to(1 << 32).unwrap_err();
    assert!(matches!(error, Error::FileTooLarge { .. }), "{error:?}");
    writer.extend_to(1000).unwrap();
    writer.finish().unwrap();
    let mut data = vec![0; 1100];
    let map = session.open(&mut disk, at(0), "new").unwrap();
    assert_eq!(map.read_at(&mut disk, 0, &mut data).unwrap(), 1000);
    assert_eq!(&data[699..704], b"\0end\0");
}

#[test]
fn patterns_are_found_across_parts() {
    let (mut session, mut disk) = volume();
    let mut data = vec![b'.'; 200_000];
    let text = b"across the border";
    for place in [0, 65_530, 131_060, data.len() - text.len()] {
        data.fill(b'.');
        data[place..place + text.len()].copy_from_slice(text);
        write(&mut session, &mut disk, "text", &data).unwrap();
        let found = session.file_contains(&mut disk, at(0), "text", text);
        assert!(found.unwrap(), "{place}");
    }
    assert!(
        !session
            .file_contains(&mut disk, at(0), "text", b"missing")
            .unwrap()
    );
    assert!(
        session
            .file_contains(&mut disk, at(0), "text", b"")
            .unwrap()
    );
    assert!(!session.exists(&mut disk, at(0), "dir").unwrap());
    assert!(!session.exists(&mut disk, at(0), "missing/file").unwrap());
    assert!(session.exists(&mut disk, at(0), "DIR/Inside").unwrap());
}

#[test]
fn the_place_on_the_disk_does_not_matter() {
    let make = |start: u64| {
        let mut disk = Disk::new(start + 70_000);
        let mut session = Session::new(Timestamp::FWUP);
        session
            .make_file_system(&mut disk, at(start), 70_000)
            .unwrap();
        session.make_directory(&mut disk, at(start), "dir").unwrap();
        let mut writer = session.write(&mut disk, at(start), "dir/file").unwrap();
        writer.write_at(0, &pattern(100_000)).unwrap();
        writer.finish().unwrap();
        let blocks = disk.blocks.into_iter();
        blocks
            .map(|(block, data)| (block - start, data))
            .collect::<Vec<_>>()
    };
    // 100 TiB.
    assert!(make(0) == make(100 << 31));
}
