// SPDX-License-Identifier: MIT OR Apache-2.0

//! Gives the linker its script: a position-independent executable, relocated by its own first instructions.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../linker/payload.ld");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
        for argument in [
            &format!("-T{root}/../../linker/payload.ld"),
            "-pie",
            "--no-dynamic-linker",
            "-znotext",
        ] {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
}
