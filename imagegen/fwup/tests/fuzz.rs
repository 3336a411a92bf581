// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs the bodies of the fuzz targets with mutations of the fixtures: proptest's number of cases,
//! or as many as fit in `LITTLE_LOADER_FUZZ_SECONDS` seconds per body.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "../fuzz/bodies.rs"]
mod bodies;
#[path = "../fuzz/gpt.rs"]
mod gpt;

use std::env;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use fwup::archive::read::Archive;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{FileFailurePersistence, TestRunner};

/// The fixtures with a configuration and an archive.
const CASES: [&str; 11] = [
    "01-raw",
    "02-ab",
    "03-language",
    "04-mbr",
    "05-env",
    "06-sparse",
    "07-tables",
    "08-rpi",
    "09-x86",
    "10-stm32",
    "11-delta",
];

fn fixture(case: &str, name: &str) -> Vec<u8> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::read(fixtures.join(case).join(name)).unwrap()
}

fn configurations() -> Vec<Vec<u8>> {
    CASES.map(|case| fixture(case, "fwup.conf")).to_vec()
}

fn archives() -> Vec<Vec<u8>> {
    CASES.map(|case| fixture(case, "out.fw")).to_vec()
}

/// Returns the `meta.conf` of each archive.
fn meta_confs() -> Vec<Vec<u8>> {
    let meta_conf = |bytes: Vec<u8>| {
        let mut archive = Archive::new(&bytes[..]);
        assert_eq!(archive.next_entry().unwrap().unwrap().name, "meta.conf");
        archive.read_all(1 << 20).unwrap()
    };
    archives().into_iter().map(meta_conf).collect()
}

/// A change of some bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, Index),
    /// Inserts a range of the input at an offset.
    Copy(Index, Index, Index),
    /// Replaces a digit with another, so that numbers change.
    Digit(Index, u8),
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        // An offset in the bytes, or at their end.
        let offset = |index: &Index| index.index(bytes.len() + 1);
        let range = |first: &Index, second: &Index| -> Range<usize> {
            let (first, second) = (offset(first), offset(second));
            first.min(second)..first.max(second)
        };
        match self {
            Self::Set(at, value) => {
                let at = offset(at);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = *value;
                }
            }
            Self::Insert(at, inserted) => {
                let at = offset(at);
                bytes.splice(at..at, inserted.iter().copied());
            }
            Self::Remove(first, second) => {
                bytes.drain(range(first, second));
            }
            Self::Copy(first, second, at) => {
                let (range, at) = (range(first, second), offset(at));
                let copied = bytes[range].to_vec();
                bytes.splice(at..at, copied);
            }
            Self::Digit(index, digit) => {
                let digits = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit());
                let digits: Vec<_> = digits.collect();
                if !digits.is_empty() {
                    bytes[digits[index.index(digits.len())]] = b'0' + digit;
                }
            }
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let bytes = prop::collection::vec(any::<u8>(), 1..9);
    prop_oneof![
        3 => any::<(Index, u8)>().prop_map(|(at, value)| Mutation::Set(at, value)),
        2 => (any::<Index>(), bytes).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        1 => any::<(Index, Index)>().prop_map(|(first, second)| Mutation::Remove(first, second)),
        1 => any::<(Index, Index, Index)>()
            .prop_map(|(first, second, at)| Mutation::Copy(first, second, at)),
        3 => (any::<Index>(), 0_u8..10).prop_map(|(at, digit)| Mutation::Digit(at, digit)),
    ]
}

/// Runs a body with mutations of the seeds.
fn fuzz(seeds: Vec<Vec<u8>>, body: fn(&[u8])) {
    let seconds = env::var("LITTLE_LOADER_FUZZ_SECONDS");
    let seconds = seconds.map(|seconds| seconds.parse().expect("a number of seconds"));
    let deadline = seconds
        .ok()
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let input = (
        prop::sample::select(seeds),
        prop::collection::vec(mutation(), 0..6),
    );
    let input = input.prop_map(|(mut bytes, mutations)| {
        mutations
            .iter()
            .for_each(|mutation| mutation.apply(&mut bytes));
        bytes
    });
    let mut config = ProptestConfig::with_source_file(file!());
    let persistence = FileFailurePersistence::WithSource("proptest-regressions");
    config.failure_persistence = Some(Box::new(persistence));
    loop {
        let mut runner = TestRunner::new(config.clone());
        let result = runner.run(&input, |bytes| {
            body(&bytes);
            Ok(())
        });
        result.unwrap_or_else(|error| panic!("{error}"));
        if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
            return;
        }
    }
}

#[test]
fn no_configuration_causes_a_panic_and_a_meta_conf_reads_back_the_same() {
    let seeds = [configurations(), meta_confs()].concat();
    fuzz(seeds, bodies::language);
}

#[test]
fn no_archive_causes_a_panic() {
    fuzz(archives(), bodies::archive);
}

#[test]
fn no_key_file_causes_a_panic() {
    let mut seeds = vec![
        fixture("07-keys", "fwup-key.pub"),
        fixture("07-keys", "fwup-key.priv"),
    ];
    seeds.push((0..64).collect());
    seeds.push((0..32).collect());
    let secret = "0123456789abcdef".repeat(4);
    for options in [
        format!("cipher=aes-cbc-plain,secret={secret}"),
        format!("cipher=aes-xts-plain64 secret={secret}{secret}"),
    ] {
        seeds.push(options.into_bytes());
    }
    // A private key that is also a public key, in base64.
    let both = format!("{:9}{:k>43} kkk m      ", "", "");
    assert_eq!(both.len(), 64);
    bodies::key_files(both.as_bytes());
    seeds.push(both.into_bytes());
    // A public key with a comment, and a private key with a space in it.
    let both = format!("{:k>43} {:k>42}g", "", "");
    bodies::key_files(both.as_bytes());
    seeds.push(both.into_bytes());
    fuzz(seeds, bodies::key_files);
}

/// A `meta.conf` for the archive of the body: all actions on FAT, a GUID partition table, and
/// deltas from the disk and from a file.
const SMALL: &str = r#"
file-resource "x" { length=5 blake2b-256="324dcf027dd4a30a932c441f365a25e86b173defa4b8e58948253471b81b72cf" }
file-resource "delta" { length=18 blake2b-256="3b26beb5aff485d637683c2447c5c0233a0554d3dde1c522d5231084b24f4139" }
gpt "gpt" { guid="b443fbeb-2c93-481b-88b3-0ecb0aeba911"
partition "0" { name="boot" block-offset=64 block-count=300 boot=true type="c12a7328-f81f-11d2-ba4b-00a0c93ec93b" guid="5278721d-0089-4768-85df-b8f1b97e6684" }
partition "1" { name="root" block-offset=400 block-count=10 expand=true type="c12a7328-f81f-11d2-ba4b-00a0c93ec93b" guid="5278721d-0089-4768-85df-b8f1b97e6685" } }
task "fat" {
on-init { funlist={2,gpt_write,gpt,3,fat_mkfs,64,300,3,fat_setlabel,64,label,3,fat_mkdir,64,dir,3,fat_touch,64,"dir/a long name"} }
on-resource "x" { funlist={3,fat_write,64,"dir/x",4,fat_attrib,64,"dir/x",RHS,4,fat_cp,64,"dir/x",y,5,fat_cp,64,y,64,z} }
on-finish { funlist={4,fat_mv,64,z,w,4,"fat_mv!",64,w,y,3,fat_rm,64,missing,3,"fat_rm!",64,"dir/a long name"} }
}
task "file" {
reqlist={3,require-fat-file-exists,64,y,4,require-fat-file-match,64,y,hell}
on-resource "delta" { delta-source-fat-offset=64 delta-source-fat-path="dir/x" funlist={3,fat_write,64,"dir/new"} }
}
task "raw" {
on-resource "x" { funlist={2,raw_write,400} }
on-resource "delta" { delta-source-raw-offset=400 delta-source-raw-count=1 funlist={2,raw_write,402} }
}
task "hidden" {
on-resource "x" { funlist={4,raw_write,400,"cipher=aes-cbc-plain","secret=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"} }
on-resource "delta" { delta-source-raw-offset=400 delta-source-raw-options="cipher=aes-cbc-plain,secret=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" funlist={2,raw_write,402} }
}
"#;

#[test]
fn the_tasks_of_the_small_disk_succeed() {
    assert_eq!(bodies::task_errors(SMALL.as_bytes()), [""; 0]);
}

#[test]
fn no_task_causes_a_panic_or_changes_the_size_of_a_disk() {
    let mut seeds = meta_confs();
    // A third of the inputs: most fixtures have other resources than the body's archive.
    seeds.extend(std::iter::repeat_n(
        SMALL.as_bytes().to_vec(),
        CASES.len() / 2,
    ));
    fuzz(seeds, bodies::apply_tasks);
}

/// A disk, or an image that grows, and the partitions of its table.
struct Table {
    /// The size in blocks.
    blocks: u32,
    grows: bool,
    partitions: Vec<Partition>,
}

/// The number, the first block, the length in blocks, whether it expands, and its attributes.
type Partition = (u8, u32, u32, bool, u32);

impl Table {
    /// Returns the input of the body.
    fn input(&self) -> Vec<u8> {
        let mut input = vec![u8::from(self.grows)];
        input.extend(self.blocks.to_le_bytes());
        for (number, start, blocks, expands, flags) in &self.partitions {
            input.extend([*number, u8::from(*expands)]);
            for value in [start, blocks, flags] {
                input.extend(value.to_le_bytes());
            }
            // The length of the name, and the seed of the name and the type.
            input.extend([*number * 9, *number]);
        }
        input
    }
}

/// The layouts of the tables of the fixtures `07-tables`, `09-x86` and `10-stm32`.
fn tables() -> Vec<Table> {
    let layouts = [
        vec![(0, 64, 100, false, 0), (1, 2112, 1024, false, 0x8000_0000)],
        vec![(0, 34, 1000, false, 4), (15, 2112, 8, true, 0x1000_0001)],
        vec![
            (0, 64, 5000, false, 4),
            (1, 5064, 64, false, 0),
            (2, 5128, 64, false, 0),
            (3, 5192, 64, true, 0),
        ],
        vec![
            (0, 34, 64, false, 0),
            (1, 98, 64, false, 0),
            (2, 162, 128, false, 0),
            (3, 290, 64, false, 0),
            (4, 354, 128, false, 0x1000_0004),
            (5, 610, 128, true, 0),
        ],
    ];
    let mut tables = Vec::new();
    for partitions in layouts {
        for (blocks, grows) in [(0, true), (5289, false), (100_000, true)] {
            tables.push(Table {
                blocks,
                grows,
                partitions: partitions.clone(),
            });
        }
    }
    tables
}

#[test]
fn the_tables_of_the_fixtures_are_written() {
    for table in tables() {
        assert_eq!(gpt::written(&table.input()), Ok(()));
    }
}

#[test]
fn a_gpt_section_is_an_error_or_a_table_that_an_independent_reader_accepts() {
    fuzz(tables().iter().map(Table::input).collect(), gpt::gpt);
}
