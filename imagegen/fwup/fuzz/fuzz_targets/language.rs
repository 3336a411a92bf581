// SPDX-License-Identifier: MIT OR Apache-2.0

//! Any bytes as a configuration and as a `meta.conf`: an error, or a firmware whose `meta.conf`
//! reads as the same again.

#![no_main]

use std::path::PathBuf;

use fwup::language::{Environment, configuration, meta_conf};
use fwup::meta;
use fwup::model::Firmware;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let folder = PathBuf::from("/nowhere");
    let packed = configuration(bytes.to_vec(), "fuzz", folder, &mut Environment::empty());
    let applied = meta_conf(bytes, &mut Environment::empty());
    [packed, applied].iter().flatten().for_each(reads_again);
});

fn reads_again(firmware: &Firmware) {
    let written = meta::write(firmware);
    // Variables are resolved once more when what was written is read.
    if !written.contains("${") {
        let again = meta_conf(written.as_bytes(), &mut Environment::empty())
            .expect("what was written is read");
        assert_eq!(meta::write(&again), written);
    }
}
