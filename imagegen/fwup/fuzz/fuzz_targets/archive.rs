// SPDX-License-Identifier: MIT OR Apache-2.0

//! Any bytes as a firmware archive: an error, or an archive whose resources are read to the end.

#![no_main]

use fwup::language::Environment;
use fwup::opened::Opened;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut opened) = Opened::read(bytes, &mut Environment::empty()) {
        while let Ok(Some(_)) = opened.archive.next_entry() {
            let _ = opened.archive.read_all(1 << 20);
        }
    }
});
