// SPDX-License-Identifier: MIT OR Apache-2.0

//! The loader boots at every optimisation level: code that works only at some levels has a race or
//! lacks a barrier.

use anyhow::{Context as _, Result, ensure};

use qemu_tests::build::OPT_LEVELS;
use qemu_tests::harness::payload::pattern;
use qemu_tests::scratch::KERNEL_A;

use crate::Test;
use crate::context::{Context, machine, report};

pub(crate) fn tests() -> Vec<Test> {
    // One test per level, so that the summary shows which one fails.
    let tests: [fn(&Context) -> Result<()>; 6] = [
        |context| boots(context, OPT_LEVELS[0]),
        |context| boots(context, OPT_LEVELS[1]),
        |context| boots(context, OPT_LEVELS[2]),
        |context| boots(context, OPT_LEVELS[3]),
        |context| boots(context, OPT_LEVELS[4]),
        |context| boots(context, OPT_LEVELS[5]),
    ];
    OPT_LEVELS
        .iter()
        .zip(tests)
        .map(|(level, test)| (format!("optlevels::boots_at_{level}"), test))
        .collect()
}

fn boots(context: &Context, level: &str) -> Result<()> {
    let loader = context.artifacts.loader_at(level);
    ensure!(loader.is_file(), "{} was not built", loader.display());
    let length = 1_000_001;
    let payload = context.payload()?.append(length);
    let disk = context.disk(&context.bootable()?.write(KERNEL_A, payload.bytes()))?;
    let crc = crc32fast::hash(&pattern(length));
    let plain = machine(&loader).disk(disk);
    for machine in [
        plain.clone(),
        plain.clone().modern_transports(),
        plain.cpu("max"),
    ] {
        let report = report(&machine).with_context(|| machine.shell_line())?;
        ensure!(report.get("bootargs")? == "test.slot=a", "{report:?}");
        ensure!(
            report.number("appended_crc")? == u64::from(crc),
            "not {crc:#010x}: {report:?}"
        );
    }
    Ok(())
}
