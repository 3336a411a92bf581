// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks the build settings, generates `built.rs` from them, and passes the linker its script.
//!
//! | environment variable | meaning | default |
//! | --- | --- | --- |
//! | `LITTLE_LOADER_ENV_LBA` | first block of the environment, in blocks of 512 bytes | 16 |
//! | `LITTLE_LOADER_ENV_SIZE` | size of one copy, in bytes, a multiple of 512 | 131072 |
//! | `LITTLE_LOADER_ENV_REDUNDANT_LBA` | first block of the second copy | not set |
//! | `LITTLE_LOADER_EL2` | the kernel's level after an entry at EL2: `auto`, `keep` or `drop`, see `core/src/kernel/entry_level.rs` | auto |
//! | `LITTLE_LOADER_QUIET` | 1: print only warnings and errors | 0 |
//! | `LITTLE_LOADER_TRACE` | 1: log every step to the console | 0 |

use std::fmt::Display;
use std::path::Path;
use std::process::exit;
use std::str::FromStr;
use std::{env, fs};

use little_loader_core::env::place::EnvPlace;
use little_loader_core::kernel::entry_level::El2Policy;
use little_loader_core::settings::{BUFFER_LIMIT, Settings};
use little_loader_core::units::{Bytes, Lba};

fn main() {
    let mut settings = Settings {
        env: EnvPlace {
            lba: Lba(number("LITTLE_LOADER_ENV_LBA").unwrap_or(16)),
            size: Bytes(number("LITTLE_LOADER_ENV_SIZE").unwrap_or(128 << 10)),
            redundant_lba: number("LITTLE_LOADER_ENV_REDUNDANT_LBA").map(Lba),
        },
        buffer_size: BUFFER_LIMIT,
    };
    if let Err(error) = settings.check() {
        stop(&error);
    }
    settings.buffer_size = settings.env.total_size();
    let quiet = switch("LITTLE_LOADER_QUIET");
    let trace = switch("LITTLE_LOADER_TRACE");

    let name = "LITTLE_LOADER_EL2";
    println!("cargo::rerun-if-env-changed={name}");
    let text = env::var(name).unwrap_or_else(|_| "auto".to_owned());
    let Some(el2) = El2Policy::from_name(&text) else {
        stop(&format_args!(
            "{name} is \"{text}\"; it must be auto, keep or drop"
        ));
    };

    let code = format!(
        "/// The settings of this build.\npub(crate) const BUILT: Settings = {settings:?};\n\
         /// Whether to print only warnings and errors, unless an override says otherwise.\npub(crate) const QUIET: bool = {quiet};\n\
         /// Whether to log every step to the console.\npub(crate) const TRACE: bool = {trace};\n\
         /// The level for the kernel after an entry at EL2.\npub(crate) const EL2: El2Policy = El2Policy::{el2:?};\n"
    );
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    if let Err(error) = fs::write(Path::new(&out).join("built.rs"), code) {
        stop(&format_args!("cannot write {out}/built.rs: {error}"));
    }

    println!("cargo::rerun-if-changed=build.rs");
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let script = format!("{root}/../linker/loader.ld");
    // An absolute path, so that cargo rebuilds after the checkout is moved.
    println!("cargo::rerun-if-changed={script}");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        println!("cargo::rustc-link-arg-bins=-T{script}");
        println!(
            "cargo::rustc-link-arg-bins=--defsym=ENVIRONMENT_SIZE={}",
            settings.buffer_size.0
        );
    }
}

/// Returns the number in an environment variable, `None` if it is not set or empty.
fn number<T: FromStr>(name: &str) -> Option<T>
where
    T::Err: Display,
{
    println!("cargo::rerun-if-env-changed={name}");
    let text = env::var(name).ok().filter(|text| !text.is_empty())?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(error) => stop(&format_args!(
            "{name} is \"{text}\"; it must be a whole number: {error}"
        )),
    }
}

/// Returns whether an environment variable turns something on: 1; 0, or not set, leaves it off.
fn switch(name: &str) -> bool {
    match number::<u8>(name) {
        None | Some(0) => false,
        Some(1) => true,
        Some(other) => stop(&format_args!("{name} is {other}; it must be 0 or 1")),
    }
}

fn stop(message: &dyn Display) -> ! {
    println!("cargo::error={message}");
    exit(1)
}
