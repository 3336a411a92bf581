// SPDX-License-Identifier: MIT OR Apache-2.0

//! The loader maintains the caches that QEMU does not have: its boots are replayed on a model, and
//! so are those of loaders that lack an instruction.

mod boots;
mod mutants;

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::{Scenario, Test, named};
use boots::{ELF, Loader, MORE, other_loaders, recorded};

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 8] = [
        ("maintained_by_elf", |context| recorded(0, context)?.check()),
        ("maintained_on_pci", |context| recorded(1, context)?.check()),
        (
            "maintained_with_initrd_and_trial_by_flat_binary",
            |context| recorded(2, context)?.check(),
        ),
        ("maintained_at_el2_with_one_cpu", |context| {
            recorded(3, context)?.check()
        }),
        ("maintained_at_el2_with_several_cpus", |context| {
            recorded(4, context)?.check()
        }),
        ("maintained_at_el3_and_el2", |context| {
            recorded(5, context)?.check()
        }),
        ("each_instruction_is_needed", mutants::each_is_needed),
        ("a_loader_without_an_instruction_is_caught", |context| {
            mutants::patched(context, Some(mutants::PATCHED))
        }),
    ];
    named("caches", tests)
}

/// Tests of further machines and loaders, and of all loaders that lack an instruction.
pub(crate) fn long_tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 3] = [
        ("maintained_on_other_machines", other_machines),
        ("maintained_by_other_builds", other_builds),
        ("every_loader_without_an_instruction_is_caught", |context| {
            mutants::patched(context, None)
        }),
    ];
    named("caches", tests)
}

fn other_machines(context: &Context) -> Result<()> {
    let loader = Loader::shipped(&context.artifacts);
    for boot in MORE {
        let recorded = boot.record(context, &loader);
        recorded
            .and_then(|recorded| recorded.check())
            .context(boot.name)?;
    }
    Ok(())
}

fn other_builds(context: &Context) -> Result<()> {
    for elf in other_loaders(&context.artifacts) {
        let name = elf.display().to_string();
        let loader = Loader {
            flat: context.artifacts.flat_loader(),
            elf,
        };
        let recorded = ELF.record(context, &loader);
        recorded
            .and_then(|recorded| recorded.check())
            .context(name)?;
    }
    Ok(())
}
