// SPDX-License-Identifier: MIT OR Apache-2.0

//! Power cuts in environments where another writer left bytes after the end mark: an added variable
//! then overwrites bytes that are not known padding.

mod common;

use std::collections::HashSet;

use common::scenarios::explore;
use common::{Disk, Mutation, block};
use little_loader_core::env::block::{Env, Format};

/// The remains of a longer environment.
const STALE: &[u8] = b"serial=0123456789abcdef012345\0";

/// Forms of a trial in which `bootcount` is added, and the number of boots each allows.
const FORMS: [(&[(&str, &str)], usize); 3] = [
    (&[("upgrade_available", "1")], 1),
    (&[("upgrade_available", "1"), ("bootlimit", "3")], 3),
    // The count is set, but not as one digit.
    (
        &[
            ("upgrade_available", "1"),
            ("bootlimit", "3"),
            ("bootcount", "01"),
        ],
        2,
    ),
];

/// Returns a trial of slot b with stale bytes. The length `filler` moves the end mark.
fn disk(form: &[(&str, &str)], filler: usize) -> Disk {
    let filler = "x".repeat(filler);
    let mut variables = vec![("nerves_fw_active", "b")];
    variables.extend(form);
    variables.push(("filler", &filler));
    let mut block = block(Format::Single, 2048, 0x00, &variables);
    let used = used(&block);
    block[used..used + STALE.len()].copy_from_slice(STALE);
    let crc = crc32fast::hash(&block[4..]);
    block[..4].copy_from_slice(&crc.to_le_bytes());
    Disk::single(block)
}

/// Returns the offset after the end mark.
fn used(block: &[u8]) -> usize {
    let env = Env::parse(block, Format::Single).expect("a valid block");
    Format::Single.data_offset() + env.used()
}

#[test]
fn a_variable_added_before_stale_bytes_survives_every_subset() {
    let mut tried = 0;
    let mut splits = HashSet::new();
    // The first form has the end mark at every offset of a sector, the others around a sector's
    // end.
    for ((form, limit), fillers) in FORMS.into_iter().zip([360..872, 400..460, 400..460]) {
        for filler in fillers {
            let disk = disk(form, filler);
            splits.insert(used(&disk.copies[0]) % 512);
            tried += explore(&disk, limit)
                .unwrap_or_else(|error| panic!("{form:?}, filler of {filler}: {error}"));
        }
    }
    println!("{tried} cuts");
    assert!(tried > 10_000);
    assert_eq!(splits.len(), 512, "the end mark at every place of a sector");
}

/// Writing a later sector destroys its old bytes. So the first sector, whose checksum allows a
/// repair to complete the write, must be on stable storage before.
#[test]
fn without_the_flush_behind_the_first_sector_it_would_not() {
    let mut disk = disk(FORMS[0].0, 700);
    disk.mutation = Some(Mutation::DropFlush(0));
    assert!(explore(&disk, 1).is_err());
    disk.mutation = None;
    explore(&disk, 1).unwrap();
}
