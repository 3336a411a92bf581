// SPDX-License-Identifier: MIT OR Apache-2.0

//! xdelta3 as a judge of our deltas and of our decoder. If it is not installed, the tests fail.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod common;

use std::fs;
use std::process::Command;

use common::{decoded, encoded, noise, versions};
use proptest::prelude::*;
use tempfile::TempDir;

/// Runs xdelta3 with the files `old` and `input`, and returns its output.
fn xdelta3(options: &[&str], old: &[u8], input: &[u8]) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("old"), old).unwrap();
    fs::write(folder.path().join("input"), input).unwrap();
    let run = Command::new("xdelta3")
        .args(options)
        .args(["-s", "old", "input", "output"])
        .current_dir(&folder)
        .output();
    let run = run.unwrap_or_else(|error| {
        panic!("xdelta3: {error}; this test needs it: apt-get install xdelta3")
    });
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    fs::read(folder.path().join("output")).unwrap()
}

/// Both decoders make the target from the deltas of both encoders.
fn assert_agree(old: &[u8], new: &[u8], window_length: usize) {
    let ours = encoded(old, new, window_length);
    assert!(
        decoded(&ours, old, 1000).unwrap() == new,
        "our delta, our decoder"
    );
    assert!(
        xdelta3(&["-d"], old, &ours) == new,
        "our delta, their decoder"
    );
    let theirs = xdelta3(&["-e", "-S", "none", "-9"], old, new);
    assert!(
        decoded(&theirs, old, 1000).unwrap() == new,
        "their delta, our decoder"
    );
}

#[test]
fn two_versions_of_a_file() {
    let [old, new] = versions();
    assert_agree(&old, &new, 8 << 20);
    assert_agree(&old, &new, 9_999);
    assert_agree(&new, &old, 20_000);
    assert_agree(&old, &old, 8 << 20);
}

#[test]
fn small_and_empty_files() {
    for (old, new) in [
        (&b""[..], &b""[..]),
        (b"", b"a"),
        (b"a", b""),
        (b"abcdefghi", b"abcdefghi"),
    ] {
        let ours = encoded(old, new, 100);
        assert_eq!(decoded(&ours, old, 1).unwrap(), new);
        // xdelta3 does not open an empty source.
        if !old.is_empty() {
            assert_eq!(xdelta3(&["-d"], old, &ours), new);
        }
    }
}

#[test]
fn our_delta_is_no_longer_than_theirs() {
    // A file in which every 50th byte differs, and everything has moved.
    let old = noise(300_000, 5);
    let mut new = [&old[100_000..], &noise(1000, 6), &old[..100_000]].concat();
    new.iter_mut().step_by(50).for_each(|byte| *byte ^= 1);
    let ours = encoded(&old, &new, 8 << 20);
    let theirs = xdelta3(&["-e", "-S", "none", "-A", "-9"], &old, &new);
    assert!(
        ours.len() <= theirs.len(),
        "{} and {}",
        ours.len(),
        theirs.len()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn files_of_shared_parts(
        old in prop::collection::vec((0_u32..12, 1_usize..900), 1..30),
        new in prop::collection::vec((0_u32..12, 1_usize..900), 0..30),
        window in 500_usize..5000,
    ) {
        // Seed 0 gives zeroes.
        let file = |parts: &[(u32, usize)]| -> Vec<u8> {
            parts.iter().flat_map(|(seed, length)| noise(*length, *seed)).collect()
        };
        assert_agree(&file(&old), &file(&new), window);
    }
}
