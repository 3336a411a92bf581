// SPDX-License-Identifier: MIT OR Apache-2.0

//! The images of `scenarios/fwup.conf`, compared with those that fwup 1.16.0 made from the same
//! file: `scenarios/sha256.txt` has the SHA-256 of the number (64 bits, little-endian) and the
//! contents of each block that is not zero.
//!
//! `FAT_SCENARIOS` names another folder with these two files, and `FAT_SCENARIO_IMAGES` a folder for
//! the images that differ.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{Disk, pattern};
use fat_volume::{Session, Start, Timestamp};
use sha2::{Digest, Sha256};

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let folder = std::env::var_os("FAT_SCENARIOS").map_or(folder, Into::into);
    fs::read_to_string(folder.join(name)).unwrap()
}

/// Splits the arguments of a call; strings lose their quotes.
fn arguments(call: &str) -> Vec<String> {
    let inner = call.split_once('(').unwrap().1.rsplit_once(')').unwrap().0;
    let mut arguments = Vec::new();
    let mut rest = inner.trim();
    while !rest.is_empty() {
        if let Some(string) = rest.strip_prefix('"') {
            let (string, after) = string.split_once('"').unwrap();
            arguments.push(string.replace("\\\\", "\\"));
            rest = after.trim_start_matches([',', ' ']);
        } else {
            let (number, after) = rest.split_once(',').unwrap_or((rest, ""));
            arguments.push(number.trim().to_owned());
            rest = after.trim();
        }
    }
    arguments
}

fn start(blocks: &str) -> Start {
    Start::from_blocks(blocks.parse().unwrap()).unwrap()
}

fn act(session: &mut Session, disk: &mut Disk, call: &str, resource: usize) {
    let arguments = arguments(call);
    let at = start(&arguments[0]);
    let one = arguments[1].as_str();
    let result = match call.split_once('(').unwrap().0 {
        "fat_mkfs" => session.make_file_system(disk, at, one.parse().unwrap()),
        "fat_setlabel" => session.set_label(disk, at, one),
        "fat_mkdir" => session.make_directory(disk, at, one),
        "fat_touch" => session.touch(disk, at, one),
        "fat_attrib" => {
            // fwup ignores the errors of these two.
            let _ = session.set_attributes(disk, at, one, &arguments[2]);
            Ok(())
        }
        "fat_mv" => session.rename(disk, at, one, &arguments[2]),
        "fat_mv!" => session.replace(disk, at, one, &arguments[2]),
        "fat_rm!" => session.remove(disk, at, one),
        "fat_rm" => {
            let _ = session.remove(disk, at, one);
            Ok(())
        }
        "fat_cp" if arguments.len() == 3 => session.copy(disk, (at, one), (at, &arguments[2])),
        "fat_cp" => session.copy(disk, (at, one), (start(&arguments[2]), &arguments[3])),
        "fat_write" => {
            let data = pattern(resource);
            let mut writer = session.write(disk, at, one).unwrap();
            // Chunks of any size give the same bytes.
            for (index, chunk) in data.chunks(777).enumerate() {
                writer.write_at(index as u64 * 777, chunk).unwrap();
            }
            writer.finish()
        }
        name => panic!("{name}"),
    };
    result.unwrap_or_else(|error| panic!("{call}: {error}"));
}

fn digest(disk: &Disk) -> String {
    let mut hash = Sha256::new();
    for (number, block) in &disk.blocks {
        hash.update(number.to_le_bytes());
        hash.update(block);
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn images_are_those_of_fwup() {
    let expected = fixture("sha256.txt");
    let expected: BTreeMap<_, _> = expected
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    let configuration = fixture("fwup.conf");
    let mut images: BTreeMap<String, Disk> = BTreeMap::new();
    let mut wrong = Vec::new();
    for task in configuration.split("\ntask ").skip(1) {
        let (name, actions) = task.split_once(' ').unwrap();
        let mut disk = match name.split_once('.') {
            Some((base, _)) => images[base].clone(),
            None => Disk::new(1 << 32),
        };
        let mut session = Session::new(Timestamp::FWUP);
        let mut resource = 0;
        for line in actions.lines() {
            if let Some((_, length)) = line.split_once("on-resource pattern-") {
                resource = length.split(' ').next().unwrap().parse().unwrap();
            }
            if line.contains("on-finish") {
                session.unmount();
            }
            if let Some(at) = line.find("fat_") {
                act(&mut session, &mut disk, &line[at..], resource);
            }
        }
        if expected[name] != digest(&disk) {
            if let Some(folder) = std::env::var_os("FAT_SCENARIO_IMAGES") {
                let mut disk = disk.clone();
                disk.size = disk.blocks.keys().next_back().unwrap() + 1;
                fs::write(Path::new(&folder).join(name), disk.image()).unwrap();
            }
            wrong.push(name.to_owned());
        }
        images.insert(name.to_owned(), disk);
    }
    assert_eq!(images.len(), expected.len());
    assert!(wrong.is_empty(), "{wrong:?} differ from fwup's images");
}
