// SPDX-License-Identifier: MIT OR Apache-2.0

//! Deltas that xdelta3 3.0.11 made from [`common::versions`], written to `old` and `new`:
//! `xdelta3 -e OPTIONS -s old new NAME.vcdiff`, with the options of each test. The ignored test
//! `write_the_inputs` writes both files.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[expect(dead_code, reason = "each test uses some of them")]
mod common;

use std::fs;
use std::io::Read;
use std::path::Path;

use common::{decoded, versions};
use vcdiff_stream::decode::{DecodeOptions, Patched, Summary, check, inspect};
use vcdiff_stream::source::SeekableSource;

fn fixture(name: &str) -> Vec<u8> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::read(fixtures.join(name)).unwrap()
}

fn summary(name: &str) -> Summary {
    inspect(&mut &fixture(name)[..], DecodeOptions::default()).unwrap()
}

fn assert_makes_the_new_version(name: &str) {
    let ([old, new], delta) = (versions(), fixture(name));
    for piece in [1, 7, 1000, usize::MAX] {
        assert!(
            decoded(&delta, &old, piece).unwrap() == new,
            "{name} in pieces of {piece}"
        );
    }
    let source = SeekableSource::new(std::io::Cursor::new(&old)).unwrap();
    let mut patched = Patched::new(&delta[..], source, DecodeOptions::default());
    let mut read = Vec::new();
    patched.read_to_end(&mut read).unwrap();
    assert!(read == new, "{name} read");
    assert_eq!(summary(name).target_length, new.len() as u64);
    assert!(summary(name).source_length <= old.len() as u64);
}

#[test]
#[ignore = "writes the inputs of the fixtures to the folder for temporary files"]
fn write_the_inputs() {
    let [old, new] = versions();
    fs::write(std::env::temp_dir().join("old"), old).unwrap();
    fs::write(std::env::temp_dir().join("new"), new).unwrap();
}

/// `-S none -A`
#[test]
fn a_delta_without_an_application_header() {
    assert_makes_the_new_version("plain.vcdiff");
    let start = check(&mut &fixture("plain.vcdiff")[..], DecodeOptions::default()).unwrap();
    assert_eq!(start.application_header, b"");
    assert!(start.first_window.unwrap().checksum.is_some());
}

/// `-S none`
#[test]
fn a_delta_with_an_application_header() {
    assert_makes_the_new_version("named.vcdiff");
    let start = check(&mut &fixture("named.vcdiff")[..], DecodeOptions::default()).unwrap();
    assert_eq!(start.application_header, b"new//old/");
}

/// `-S none -A -n`
#[test]
fn a_delta_without_checksums() {
    assert_makes_the_new_version("unchecked.vcdiff");
    assert_eq!(summary("unchecked.vcdiff").unchecked_windows, 1);
}

/// `-S none -A -W 16384`
#[test]
fn a_delta_with_several_windows() {
    assert_makes_the_new_version("windows.vcdiff");
    let summary = summary("windows.vcdiff");
    assert_eq!(summary.windows, 3);
    assert_eq!(summary.largest_window, 16 << 10);
    assert_eq!(summary.unchecked_windows, 0);
}

/// `-S none -A -9`, without `-s old`
#[test]
fn a_delta_without_a_source() {
    assert_makes_the_new_version("sourceless.vcdiff");
    assert_eq!(summary("sourceless.vcdiff").source_length, 0);
    let [_, new] = versions();
    assert!(decoded(&fixture("sourceless.vcdiff"), &[], 100).unwrap() == new);
}

/// `-S none -A`, with `/dev/null` for `new`
#[test]
fn a_delta_of_an_empty_target() {
    let [old, _] = versions();
    assert_eq!(decoded(&fixture("empty.vcdiff"), &old, 1).unwrap(), []);
}

/// `-S lzma -A` and `-S djw -A`
#[test]
fn secondary_compressors_are_refused_by_name() {
    for (name, compressor) in [("lzma.vcdiff", "LZMA"), ("djw.vcdiff", "DJW")] {
        let error = check(&mut &fixture(name)[..], DecodeOptions::default()).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains(&format!("secondary compressor {compressor}")),
            "{message}"
        );
        let [old, _] = versions();
        assert_eq!(
            decoded(&fixture(name), &old, 9).unwrap_err().to_string(),
            message
        );
    }
}

#[test]
fn another_source_is_found_by_the_checksum() {
    let [mut old, _] = versions();
    old.remove(0);
    old.push(0);
    let error = decoded(&fixture("windows.vcdiff"), &old, 100).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("window 0, at offset 0 of the target, has the checksum"),
        "{message}"
    );
}

#[test]
fn a_source_that_is_too_short_is_named() {
    let [old, _] = versions();
    let error = decoded(&fixture("windows.vcdiff"), &old[..20_000], 100).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("window 1, at offset "), "{message}");
    assert!(
        message.contains("of the source, which has 20000 bytes"),
        "{message}"
    );
}

#[test]
fn a_delta_that_is_cut_off_is_an_error() {
    let ([old, new], delta) = (versions(), fixture("windows.vcdiff"));
    let mut complete = 0;
    for length in 0..delta.len() {
        match decoded(&delta[..length], &old, usize::MAX) {
            // Between two windows.
            Ok(out) => {
                assert!(new.starts_with(&out));
                complete += 1;
            }
            Err(error) => assert!(
                error
                    .to_string()
                    .contains(&format!("ends after {length} bytes")),
                "{error}"
            ),
        }
    }
    assert_eq!(complete, 3);
}
