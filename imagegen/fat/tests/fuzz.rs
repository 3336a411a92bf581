// SPDX-License-Identifier: MIT OR Apache-2.0

//! The body of the fuzz target, with mutations of small volumes: as many as proptest's number of
//! cases, or for as many seconds as `LITTLE_LOADER_FUZZ_SECONDS` says.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "../fuzz/bodies.rs"]
mod bodies;
mod common;

use std::env;
use std::time::{Duration, Instant};

use common::{Disk, pattern};
use fat_volume::{BLOCK, Session, Start, Timestamp};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

/// A volume as the records that the body reads.
fn seed(blocks: u64) -> Vec<u8> {
    let mut disk = Disk::new(blocks);
    let at = Start::from_blocks(0).unwrap();
    let mut session = Session::new(Timestamp::FWUP);
    session.make_file_system(&mut disk, at, blocks).unwrap();
    session.make_directory(&mut disk, at, "dir").unwrap();
    session.make_directory(&mut disk, at, "dir/sub").unwrap();
    for (path, length) in [
        ("a", 2000),
        ("A long name.txt", 600),
        ("dir/sub/a long name.txt", 1),
    ] {
        let mut writer = session.write(&mut disk, at, path).unwrap();
        writer.write_at(0, &pattern(length)).unwrap();
        writer.finish().unwrap();
    }
    let mut records = Vec::new();
    // The last block of a new volume has no meaning.
    disk.blocks.remove(&(blocks - 1));
    for (&number, block) in &disk.blocks {
        records.extend(u16::try_from(number).unwrap().to_le_bytes());
        records.extend(block);
    }
    records
}

/// Where to change bytes: anywhere, or in the boot sector, the tables and directories.
#[derive(Clone, Debug)]
enum Mutation {
    Byte(Index, u8),
    /// In a record, a field of 32 bits that is aligned to two bytes.
    Field(Index, Index, u32),
    Copy(Index, Index),
}

impl Mutation {
    fn apply(&self, bytes: &mut [u8]) {
        let record = 2 + BLOCK;
        let records = bytes.len() / record;
        match self {
            Self::Byte(at, value) => bytes[at.index(bytes.len())] = *value,
            Self::Field(number, at, value) => {
                let at = number.index(records) * record + 2 + at.index(BLOCK / 2 - 1) * 2;
                bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
            Self::Copy(from, to) => {
                let (from, to) = (from.index(records) * record, to.index(records) * record);
                bytes.copy_within(from + 2..from + record, to + 2);
            }
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let value = prop_oneof![
        3 => 0_u32..12,
        1 => any::<u32>(),
        1 => Just(u32::MAX),
        1 => (1_u32..8, 1_u32..8).prop_map(|(low, high)| high << 16 | low),
    ];
    prop_oneof![
        3 => any::<(Index, u8)>().prop_map(|(at, value)| Mutation::Byte(at, value)),
        4 => (any::<(Index, Index)>(), value)
            .prop_map(|((record, at), value)| Mutation::Field(record, at, value)),
        1 => any::<(Index, Index)>().prop_map(|(from, to)| Mutation::Copy(from, to)),
    ]
}

#[test]
fn no_volume_causes_a_panic_or_endless_work() {
    let seconds = env::var("LITTLE_LOADER_FUZZ_SECONDS");
    let seconds = seconds.map(|seconds| seconds.parse().expect("a number of seconds"));
    let deadline = seconds
        .ok()
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let seeds = vec![seed(128), seed(4200), seed(65_000), seed(66_600)];
    let input = (
        prop::sample::select(seeds),
        prop::collection::vec(mutation(), 1..12),
    );
    let input = input.prop_map(|(mut bytes, mutations)| {
        mutations
            .iter()
            .for_each(|mutation| mutation.apply(&mut bytes));
        bytes
    });
    loop {
        let mut runner = TestRunner::new(ProptestConfig::with_source_file(file!()));
        let result = runner.run(&input, |bytes| {
            bodies::volume(&bytes);
            Ok(())
        });
        result.unwrap_or_else(|error| panic!("{error}"));
        if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
            return;
        }
    }
}

#[test]
fn a_chain_that_is_a_loop_ends() {
    let mut records = seed(66_600);
    // The first table: the entry of cluster 2, the root directory, leads to itself.
    let record = records.chunks_mut(2 + BLOCK).nth(4).unwrap();
    assert_eq!(record[..2], [32, 0]);
    record[2 + 8..2 + 12].copy_from_slice(&2_u32.to_le_bytes());
    bodies::volume(&records);
}
