// SPDX-License-Identifier: MIT OR Apache-2.0

//! Passes the linker the script and options for a position-independent executable, whose first
//! instructions relocate it.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let script = format!("{root}/../../linker/payload.ld");
    // An absolute path, so that cargo rebuilds after the checkout is moved.
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
