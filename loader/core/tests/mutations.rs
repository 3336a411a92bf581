// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tests of the tests: each write, flush and ordering rule is removed, one at a time, and the
//! simulated power cuts must detect it.

mod common;

use common::scenarios::{FORMS, SIZES, explore, pairs, trial};
use common::{Disk, Mutation};
use little_loader_core::env::block::Format;

/// Returns trials with a single copy and with a pair.
fn scenarios() -> Vec<(Disk, usize)> {
    let mut scenarios = Vec::new();
    for size in SIZES {
        for (form, limit) in FORMS {
            for shift in [0, 21, 30] {
                scenarios.push((
                    Disk::single(trial(Format::Single, size, 0xff, shift, form)),
                    limit,
                ));
            }
        }
    }
    scenarios.extend(pairs().into_iter().map(|(disk, limit, _)| (disk, limit)));
    scenarios
}

#[test]
fn every_mutation_of_the_writing_code_is_noticed() {
    // A revert in an environment of four sectors writes up to three of them; a boot flushes once,
    // or twice after a repair.
    let mutations = (0..4)
        .map(Mutation::DropWrite)
        .chain((0..2).map(Mutation::DropFlush))
        .chain([
            Mutation::StartFirst,
            Mutation::StartBeforeFlush,
            Mutation::FlushFirst,
            Mutation::WriteCurrentCopy,
            Mutation::DropRepair,
        ]);
    for mutation in mutations {
        let noticed: Vec<String> = scenarios()
            .into_iter()
            .filter_map(|(mut disk, limit)| {
                disk.mutation = Some(mutation);
                explore(&disk, limit).err()
            })
            .collect();
        println!(
            "{mutation:?}: noticed in {} scenarios, first: {:?}",
            noticed.len(),
            noticed.first()
        );
        assert!(!noticed.is_empty(), "{mutation:?} goes unnoticed");
    }
    for (disk, limit) in scenarios() {
        explore(&disk, limit).expect("without a mutation all is well");
    }
}
