// SPDX-License-Identifier: MIT OR Apache-2.0

//! Gives the linker its script: a position-independent executable, relocated by its own first
//! instructions.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let script = format!("{root}/../../linker/payload.ld");
    // As a whole path, so that a checkout that was moved is noticed.
    println!("cargo::rerun-if-changed={script}");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        for argument in [
            &format!("-T{script}"),
            "-pie",
            "--no-dynamic-linker",
            "-znotext",
        ] {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
}
