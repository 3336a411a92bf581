// SPDX-License-Identifier: MIT OR Apache-2.0

//! The power fails after each block that an operation writes.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod common;

use common::checker::{Node, check};
use common::{Disk, pattern};
use fat_volume::{Session, Start, Timestamp};

const FILES: [(&str, usize); 3] = [
    ("/first", 3000),
    ("/a long name.txt", 700),
    ("/last.bin", 0),
];

fn write(session: &mut Session, disk: &mut Disk, path: &str, data: &[u8]) {
    let at = Start::from_blocks(0).unwrap();
    let mut writer = session.write(disk, at, path).unwrap();
    writer.write_at(0, data).unwrap();
    writer.finish().unwrap();
}

/// A volume with the files, and one more that the operation is about.
fn volume(blocks: u64) -> Disk {
    let mut disk = Disk::new(blocks);
    let at = Start::from_blocks(0).unwrap();
    let mut session = Session::new(Timestamp::FWUP);
    session.make_file_system(&mut disk, at, blocks).unwrap();
    // Free clusters are not empty.
    write(&mut session, &mut disk, "deleted", &[b'!'; 100_000]);
    session.remove(&mut disk, at, "deleted").unwrap();
    session.unmount();
    for (path, length) in FILES {
        write(&mut session, &mut disk, path, &pattern(length));
    }
    session.make_directory(&mut disk, at, "dir").unwrap();
    // The directory continues in clusters whose entries are in another sector of the table.
    write(&mut session, &mut disk, "large", &pattern(200_000));
    write(
        &mut session,
        &mut disk,
        "dir/changed file.img",
        &pattern(20_000),
    );
    write(&mut session, &mut disk, "dir/other", &pattern(5000));
    disk
}

/// Repeats the operation with each number of blocks, and checks what is left each time: the other
/// files as they were, and the file that the operation is about one of those given.
fn cut(blocks: u64, operation: impl Fn(&mut Session, &mut Disk), results: &[Option<Vec<u8>>]) {
    let before = volume(blocks);
    let mut seen = vec![false; results.len()];
    for power in 0.. {
        let mut disk = before.clone();
        disk.written = 0;
        disk.power = Some(power);
        operation(&mut Session::new(Timestamp::FWUP), &mut disk);
        let is_complete = disk.written < power;
        let mut nodes = check(&disk, 0, true);
        for (path, length) in FILES.into_iter().chain([("/dir/other", 5000)]) {
            let Some(Node::File { data, .. }) = nodes.remove(path) else {
                panic!("{path} is lost after {power} blocks");
            };
            assert_eq!(data, pattern(length), "{path} after {power} blocks");
        }
        let file = nodes
            .remove("/dir/changed file.img")
            .map(|node| match node {
                Node::File { data, .. } => data,
                Node::Directory => panic!("a file became a directory"),
            });
        let result = results.iter().position(|result| *result == file);
        seen[result.unwrap_or_else(|| panic!("other data after {power} blocks"))] = true;
        // What is left can be used.
        disk.power = None;
        write(
            &mut Session::new(Timestamp::FWUP),
            &mut disk,
            "first",
            b"again",
        );
        if is_complete {
            break;
        }
    }
    assert!(seen.iter().all(|&seen| seen), "{seen:?}");
}

#[test]
fn a_file_is_replaced() {
    for blocks in [2048, 5000, 66_600] {
        let data: Vec<u8> = pattern(30_000).iter().map(|byte| !byte).collect();
        let replaced = |session: &mut Session, disk: &mut Disk| {
            write(session, disk, "dir/changed file.img", &data);
        };
        let results = [Some(pattern(20_000)), Some(Vec::new()), Some(data.clone())];
        cut(blocks, replaced, &results);
    }
}

#[test]
fn a_file_is_removed() {
    let at = Start::from_blocks(0).unwrap();
    let removed = |session: &mut Session, disk: &mut Disk| {
        session.remove(disk, at, "dir/changed file.img").unwrap();
    };
    cut(2048, removed, &[Some(pattern(20_000)), None]);
}

#[test]
fn names_are_added_until_the_directory_grows() {
    let at = Start::from_blocks(0).unwrap();
    let added = |session: &mut Session, disk: &mut Disk| {
        for number in 0..6 {
            let path = format!("dir/one more long name with a number {number}");
            session.touch(disk, at, &path).unwrap();
        }
        session.make_directory(disk, at, "dir/new").unwrap();
    };
    cut(2048, added, &[Some(pattern(20_000))]);
}
