// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command lines of the book, run exactly as printed: each command block of
//! `docs/src/command-lines.md`, and the block after it with lines that the console must show.

use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;
use std::{fs, iter};

use anyhow::{Context as _, Result, bail, ensure};
use qemu_tests::harness::emulator;
use qemu_tests::harness::running::Running;

use crate::Test;
use crate::context::Context;

const PAGE: &str = include_str!("../../../docs/src/command-lines.md");

/// The first word of each command.
const QEMU: &str = "qemu-system-aarch64";

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn tests() -> Vec<Test> {
    vec![(
        "command_lines::each_one_of_the_book".to_owned(),
        each_one as fn(&Context) -> Result<()>,
    )]
}

fn each_one(context: &Context) -> Result<()> {
    let folder = context.path("user");
    fs::create_dir_all(folder.join("target"))?;
    for (loader, name) in [
        (context.artifacts.loader(), "target/little-loader.elf"),
        (context.artifacts.flat_loader(), "target/little-loader.bin"),
    ] {
        symlink(loader, folder.join(name))?;
    }
    context
        .bootable()?
        .without_env()
        .create(&folder.join("data.img"))?;
    fs::write(folder.join("initrd.img"), [0x5a; 70_000])?;
    let examples = examples(PAGE)?;
    ensure!(examples.len() > 10, "only {} command lines", examples.len());
    for (command, shown) in examples {
        context.bootable()?.create(&folder.join("disk.img"))?;
        let mut words = shell_words::split(command)?.into_iter();
        ensure!(words.next().as_deref() == Some(QEMU), "{command}");
        let mut qemu = Command::new(emulator::program());
        qemu.args(words).current_dir(&folder);
        let mut running = Running::start(qemu, LIMIT)?;
        for line in shown.lines().chain(iter::once("payload: done")) {
            running.expect(line).with_context(|| command.to_owned())?;
        }
    }
    Ok(())
}

/// Returns each command of the page with the console lines shown after it.
fn examples(page: &str) -> Result<Vec<(&str, &str)>> {
    // Split at the fences, every second part is a block.
    let blocks: Vec<&str> = page.split("```").skip(1).step_by(2).collect();
    let mut examples = Vec::new();
    for pair in blocks.chunks(2) {
        match pair {
            [command, shown] => examples.push((
                command.strip_prefix("sh\n").context("not a command")?,
                shown
                    .strip_prefix("text\n")
                    .context("the block after a command is not text")?,
            )),
            _ => bail!("no block after the last command"),
        }
    }
    Ok(examples)
}
