// SPDX-License-Identifier: MIT OR Apache-2.0

//! Archives made to do harm are refused, in little time and memory.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::path::Path;

use fwup::apply::{Observer, apply_to};
use fwup::archive::write::{Level, Writer};
use fwup::hex;
use fwup::language::Definitions;

struct Deaf;

impl Observer for Deaf {
    fn progress(&mut self, _: u64, _: u64) {}
    fn info(&mut self, _: &str) {}
}

/// A resource of five bytes, another one that the task does not use, and one that it needs last.
const META_CONF: &str = r#"
file-resource "x" { length=LENGTH blake2b-256="HASH" }
file-resource "unused" { length=5 blake2b-256="HASH" }
file-resource "last" { length=5 blake2b-256="HASH" }
task "complete" {
on-resource "x" { funlist={2,raw_write,0} }
on-resource "last" { funlist={2,raw_write,1} }
}
"#;

/// An entry's name and data.
type Entry<'a> = (&'a str, &'a [u8]);

/// Applies an archive with these entries, and returns the error.
fn error_of(length: &str, entries: &[Entry<'_>]) -> String {
    let hash = hex::encode(&<blake2::Blake2b256 as blake2::Digest>::digest("hello"));
    let meta_conf = META_CONF.replace("HASH", &hash).replace("LENGTH", length);
    let mut writer = Writer::new(Vec::new(), Level::default());
    for (name, data) in [("meta.conf", meta_conf.as_bytes())].iter().chain(entries) {
        writer
            .entry::<std::io::Error>(name, None, data.len() as u64, |take| take(data))
            .unwrap();
    }
    let archive = writer.finish().unwrap();
    let folder = tempfile::tempdir().unwrap();
    apply(&archive, &folder.path().join("disk.img"))
}

fn apply(archive: &[u8], image: &Path) -> String {
    let result = apply_to(
        archive,
        image,
        "complete",
        &mut Definitions::empty(),
        &mut Deaf,
    );
    result.map_or_else(|error| error.to_string(), |_| "no error".to_owned())
}

#[test]
fn entries_that_repeat_or_are_too_long_are_refused() {
    let zeroes = vec![0; 64 << 20];
    let x: Entry<'_> = ("data/x", b"hello");
    let last: Entry<'_> = ("data/last", b"hello");
    for (entries, expected) in [
        (vec![x, ("data/", b""), ("other", b"x"), last], "no error"),
        (
            vec![x, x, last],
            "the archive has two entries for the resource \"x\", expected one; make it again",
        ),
        (
            vec![
                ("data/unused", b"hello"),
                ("data/unused", b"hello"),
                x,
                last,
            ],
            "the archive has two entries for the resource \"unused\", expected one; make it again",
        ),
        (
            vec![("data/x", &zeroes), last],
            "resource \"x\" has more than 5 bytes of data, expected 5",
        ),
        (
            vec![x, ("data/unused", &zeroes), last],
            "entry \"data/unused\" is not used, and has more than the 1048576 bytes expected",
        ),
        (
            vec![x, ("data/bomb", &zeroes), last],
            "entry \"data/bomb\" is not used, and has more than the 1048576 bytes expected",
        ),
        (
            vec![x, ("data/../../last", b"hello")],
            "the name is absolute or contains '..', expected one inside the archive",
        ),
    ] {
        let error = error_of("5", &entries);
        assert!(error.ends_with(expected), "{error}");
    }
}

#[test]
fn enormous_lengths_are_refused() {
    let entries: [Entry<'_>; 2] = [("data/x", b"hello"), ("data/last", b"hello")];
    for (length, expected) in [
        (
            "1000000000000000000",
            "resource \"x\" has 5 bytes of data, expected 1000000000000000000",
        ),
        ("9223372036854775807", "end beyond 8 EiB"),
        (
            "{9223372036854775807,9223372036854775807,9}",
            "resource \"x\": its lengths add up to more than any disk has",
        ),
    ] {
        let error = error_of(length, &entries);
        assert!(error.ends_with(expected), "{error}");
    }
}
