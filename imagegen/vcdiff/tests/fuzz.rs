// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bodies of the fuzz targets, with mutations of deltas: as many as proptest's number of cases.

#[path = "../fuzz/bodies.rs"]
mod bodies;
#[expect(dead_code, reason = "each test uses some of them")]
mod common;

use common::{encoded, noise};
use proptest::prelude::*;
use proptest::sample::Index;

/// A delta of the source of the fuzz targets with every instruction.
fn delta(windows: usize) -> Vec<u8> {
    let source = bodies::source();
    let parts = [
        &source[50..300],
        &[7; 90],
        &noise(70, 1),
        &source[66_000..69_000],
        &noise(30, 2),
        &source[66_000..66_060],
        &noise(70, 1),
    ];
    let target = parts.concat();
    encoded(&source, &target, target.len().div_ceil(windows))
}

proptest! {
    #[test]
    fn no_delta_causes_a_panic(
        windows in 1_usize..4,
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 0..5),
        // Most of a delta is data. The headers, instructions and addresses are at its ends.
        ends in prop::collection::vec((0_usize..60, any::<bool>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<Index>()),
    ) {
        let mut bytes = delta(windows);
        for (at, value) in changes {
            *at.get_mut(&mut bytes) = value;
        }
        for (at, from_end, value) in ends {
            let at = if from_end { bytes.len() - 1 - at } else { at };
            bytes[at] = value;
        }
        bytes.truncate(cut.map_or(usize::MAX, |cut| cut.index(bytes.len())));
        bodies::delta(&bytes);
    }

    /// Windows that differ from valid ones only in their sections, so that most instructions run.
    #[test]
    fn no_sections_cause_a_panic(
        codes in prop::collection::vec(any::<u8>(), 0..40),
        addresses in prop::collection::vec(any::<u8>(), 0..60),
        segment in prop::option::of((1_u8..128, 0_u8..128)),
        length in 0_u8..128,
    ) {
        let data = noise(usize::from(length.min(40)), 3);
        let sizes = [data.len() as u8, codes.len() as u8, addresses.len() as u8];
        let mut bytes = vec![0xd6, 0xc3, 0xc4, 0, 0];
        match segment {
            Some((length, offset)) => bytes.extend_from_slice(&[1, length, offset]),
            None => bytes.push(0),
        }
        let encoding = 5 + sizes.iter().map(|size| u32::from(*size)).sum::<u32>();
        bytes.extend_from_slice(&[0x80 | (encoding >> 7) as u8, encoding as u8 & 0x7f]);
        bytes.extend_from_slice(&[length, 0]);
        bytes.extend_from_slice(&sizes);
        bytes.extend_from_slice(&[data, codes, addresses].concat());
        bodies::delta(&bytes);
    }

    #[test]
    fn every_target_is_made(
        parts in prop::collection::vec((0_u32..6, 1_usize..300), 1..20),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 0..20),
    ) {
        let parts = parts.iter().map(|(seed, length)| noise(*length, *seed));
        let mut bytes: Vec<_> = parts.flatten().collect();
        for (at, value) in changes {
            *at.get_mut(&mut bytes) = value;
        }
        bodies::target(&bytes);
    }
}
