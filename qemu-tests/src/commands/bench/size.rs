// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu bench --size`.

use std::process::ExitCode;

use anyhow::{Result, ensure};

use qemu_tests::bench::{page, size};
use qemu_tests::build::{self, LoaderBuild, read_elf};
use qemu_tests::paths;

pub(super) fn main(json: bool, draw: bool) -> Result<ExitCode> {
    let target = paths::target();
    let shipped = build::loader(&LoaderBuild::default(), &target.join("little-loader"))?;
    let lines = LoaderBuild {
        lines: true,
        ..LoaderBuild::default()
    };
    let with_lines = build::loader(&lines, &target.join("little-loader-lines"))?;
    let (size, same) = (
        read_elf(&shipped.elf)?.loaded(),
        read_elf(&with_lines.elf)?.loaded(),
    );
    ensure!(
        size == same,
        "with line tables the loader has {same} bytes instead of {size}, so they do not describe the shipped loader"
    );
    let parts = size::parts(&with_lines.elf, size)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&parts)?);
    } else {
        for part in &parts {
            println!("{:>8}  {}", part.bytes, part.name);
        }
        println!("{size:>8}  loaded size");
    }
    if draw {
        page::draw(&page::benchmarks(), "size", &size::markdown(&parts))?;
    }
    Ok(ExitCode::SUCCESS)
}
