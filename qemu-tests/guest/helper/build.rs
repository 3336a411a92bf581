// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tells the linker to make a program that needs nothing but the kernel.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        for argument in ["--no-pie", "-zmax-page-size=4096", "-ztext"] {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
}
