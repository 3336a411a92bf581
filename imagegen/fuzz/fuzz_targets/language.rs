// SPDX-License-Identifier: MIT OR Apache-2.0

//! Any bytes as a configuration and as a `meta.conf`: an error, or a firmware whose `meta.conf` reads as the same again.

#![no_main]

use std::path::PathBuf;

use imagegen::fwup::language::{Environment, configuration, meta_conf};
use imagegen::fwup::meta;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let folder = PathBuf::from("/nowhere");
    let _ = configuration(bytes.to_vec(), "fuzz", folder, &mut Environment::empty());
    if let Ok(firmware) = meta_conf(bytes, &mut Environment::empty()) {
        let written = meta::write(&firmware);
        let again = meta_conf(written.as_bytes(), &mut Environment::empty());
        if let Ok(again) = again {
            assert_eq!(meta::write(&again), written);
        }
    }
});
