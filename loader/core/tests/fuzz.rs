// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs the bodies of the fuzz targets with mutations of valid inputs: for proptest's number of
//! cases, or for `LITTLE_LOADER_FUZZ_SECONDS` seconds per body.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "../fuzz/bodies.rs"]
mod bodies;

use std::env;
use std::time::{Duration, Instant};

use little_loader_core::env::block::{EnvMut, Format};
use little_loader_core::env::place::EnvPlace;
use little_loader_core::settings::Settings;
use little_loader_core::units::{Bytes, Lba};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{FileFailurePersistence, TestRunner};

/// A change of the input.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    /// Replaces an aligned word of 4 bytes.
    Word(Index, u32),
    /// Replaces a digit with another, so that numbers change.
    Digit(Index, u8),
    Truncate(Index),
    Insert(Index, Vec<u8>),
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Set(at, value) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            Self::Word(at, value) if bytes.len() >= 4 => {
                let at = 4 * at.index(bytes.len() / 4);
                bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
            }
            Self::Digit(index, digit) => {
                let digits = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit());
                let digits: Vec<_> = digits.collect();
                if !digits.is_empty() {
                    bytes[digits[index.index(digits.len())]] = b'0' + digit;
                }
            }
            Self::Truncate(at) => bytes.truncate(at.index(bytes.len() + 1)),
            Self::Insert(at, inserted) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, inserted.iter().copied());
            }
            Self::Set(..) | Self::Word(..) => {}
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let word = prop_oneof![any::<u32>(), 0_u32..64];
    let bytes = prop::collection::vec(any::<u8>(), 1..9);
    prop_oneof![
        3 => any::<(Index, u8)>().prop_map(|(at, value)| Mutation::Set(at, value)),
        3 => (any::<Index>(), word).prop_map(|(at, value)| Mutation::Word(at, value)),
        3 => (any::<Index>(), 0_u8..10).prop_map(|(at, digit)| Mutation::Digit(at, digit)),
        1 => any::<Index>().prop_map(Mutation::Truncate),
        1 => (any::<Index>(), bytes).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
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
        for mutation in mutations {
            mutation.apply(&mut bytes);
        }
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

/// Returns environments in each state of a trial, single and as a pair. The options byte of
/// [`bodies::environment`] precedes each, once with and once without sealing the copies again.
fn environments() -> Vec<Vec<u8>> {
    let states: [&[(&str, &str)]; 4] = [
        &[],
        &[
            ("upgrade_available", "1"),
            ("bootcount", "0"),
            ("bootlimit", "3"),
        ],
        &[("nerves_fw_validated", "0"), ("nerves_fw_booted", "0")],
        &[
            ("upgrade_available", "1"),
            ("bootcount", "1"),
            ("nerves_fw_validated", "0"),
            ("nerves_fw_booted", "0"),
        ],
    ];
    let mut seeds = Vec::new();
    for state in states {
        for (format, options, copies) in
            [(Format::Single, [0, 2], 1), (Format::Redundant, [1, 3], 2)]
        {
            let mut block = vec![0; 1024];
            let mut env = EnvMut::clear(&mut block, format).unwrap();
            let slots = [
                ("nerves_fw_active", "a"),
                ("a.kernel_lba", "2048"),
                ("b.kernel_lba", "9000"),
            ];
            for (name, value) in slots.iter().chain(state) {
                env.set(name, value.as_bytes()).unwrap();
            }
            env.seal();
            for options in options {
                seeds.push([&[options][..], &block.repeat(copies)].concat());
            }
        }
    }
    seeds
}

fn images() -> Vec<Vec<u8>> {
    let mut image = vec![0; 4096];
    image[..2].copy_from_slice(b"MZ");
    image[16..24].copy_from_slice(&(1_u64 << 20).to_le_bytes());
    image[24] = 0b1010;
    image[56..60].copy_from_slice(b"ARM\x64");
    let plain = image.clone();
    image[60] = 64;
    image[64..68].copy_from_slice(b"PE\0\0");
    // One section of 512 bytes at offset 4096; the optional header is empty.
    image[70] = 1;
    let section = 64 + 24;
    image[section + 16..section + 20].copy_from_slice(&512_u32.to_le_bytes());
    image[section + 20..section + 24].copy_from_slice(&4096_u32.to_le_bytes());
    vec![plain, image]
}

/// Returns a directory with each override, and values.
fn override_seeds() -> Vec<Vec<u8>> {
    let mut directory = 3_u32.to_be_bytes().to_vec();
    for name in ["slot", "append", "env-lba"] {
        directory.extend(1_u32.to_be_bytes());
        directory.extend([0, 32, 0, 0]);
        let start = directory.len();
        directory.extend(format!("opt/org.little-loader/{name}").into_bytes());
        directory.resize(start + 56, 0);
    }
    let values = ["a", "b\0", "quiet splash", "8064"];
    let values = values.map(|value| value.as_bytes().to_vec());
    [vec![directory], values.to_vec()].concat()
}

fn encoded_settings() -> Vec<Vec<u8>> {
    let settings = |redundant_lba: Option<u64>| {
        let env = EnvPlace {
            lba: Lba(16),
            size: Bytes(128 << 10),
            redundant_lba: redundant_lba.map(Lba),
        };
        let buffer_size = Bytes(256 << 10);
        Settings { env, buffer_size }.encode().to_vec()
    };
    vec![settings(None), settings(Some(272))]
}

#[test]
fn every_planned_change_of_an_environment_reaches_the_disk_and_nothing_else() {
    fuzz(environments(), bodies::environment);
}

#[test]
fn a_device_tree_that_is_read_can_be_written() {
    let fixtures = [
        &include_bytes!("fixtures/virt.dtb")[..],
        include_bytes!("fixtures/odd.dtb"),
        include_bytes!("fixtures/gicv3.dtb"),
    ];
    fuzz(fixtures.map(<[u8]>::to_vec).to_vec(), bodies::device_tree);
}

#[test]
fn a_header_of_an_image_keeps_its_promises() {
    fuzz(images(), bodies::image);
}

#[test]
fn overrides_are_what_the_bytes_say() {
    fuzz(override_seeds(), bodies::overrides);
}

#[test]
fn settings_encode_to_the_bytes_they_were_read_from() {
    fuzz(encoded_settings(), bodies::settings);
}
