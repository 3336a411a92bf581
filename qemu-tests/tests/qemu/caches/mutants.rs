// SPDX-License-Identifier: MIT OR Apache-2.0

//! Loaders that lack one of their maintenance instructions or barriers. QEMU executes them like the
//! whole loader, since it has no caches; the model must tell them apart.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use goblin::elf::Elf;
use qemu_tests::caches::model::Rule;

use super::boots::{BOOTS, Loader, Recorded, recorded};
use crate::context::Context;

/// What each instruction of a function is needed for: a part of the function's name, the
/// instruction, and the rule that is broken without it. Assembly comes first, by function; of Rust
/// only the module is named, because the compiler may inline its functions.
const NEEDED: [(&str, &str, Rule); 21] = [
    ("mmu::enable", "dmb", Rule::MaintenanceUnordered),
    ("mmu::enable", "dc ivac", Rule::StaleTableRead),
    ("mmu::enable", "tlbi", Rule::TranslationsNotInvalidated),
    ("mmu::enable", "ic", Rule::InstructionsNotInvalidated),
    ("mmu::enable", "dsb", Rule::MaintenanceIncomplete),
    // Two: before and after SCTLR_EL1 is written.
    ("mmu::enable", "isb", Rule::TranslationNotSynchronized),
    ("mmu::enable", "isb", Rule::ControlNotSynchronized),
    ("handoff::jump", "isb", Rule::ControlNotSynchronized),
    ("handoff::jump", "isb", Rule::StaleTranslations),
    ("handoff::jump", "ic", Rule::StaleInstructions),
    ("handoff::jump", "tlbi", Rule::StaleTranslations),
    ("handoff::jump", "dsb", Rule::StaleTranslations),
    ("el2::handler", "ic", Rule::StaleInstructions),
    ("el2::handler", "dsb", Rule::StaleInstructions),
    ("el2::handler", "isb", Rule::EntryNotSynchronized),
    ("::mmu::", "dsb", Rule::TableNotSynchronized),
    ("::mmu::", "isb", Rule::TableNotSynchronized),
    ("::fw_cfg::", "dsb", Rule::RequestUnordered),
    ("::fw_cfg::", "dsb", Rule::ReplyUnordered),
    ("::handoff::", "dc civac", Rule::NotCleaned),
    ("::handoff::", "dsb", Rule::StaleInstructions),
];

/// Instructions whose absence the model does not notice.
const UNNOTICED: [(&str, &str, &str); 6] = [
    (
        "el2::drop_to_el1",
        "isb",
        "the exception return after it synchronizes as well",
    ),
    (
        "el2::set_up",
        "isb",
        "it makes a register's new value readable, and has nothing to do with memory",
    ),
    ("el3::drop_to_secure_el1", "isb", "as in `el2::drop_to_el1`"),
    ("el3::handler", "isb", "as in `el2::drop_to_el1`"),
    ("el3::set_up", "isb", "as in `el2::set_up`"),
    (
        "::virtio_blk::",
        "dmb",
        "the driver crate's; the store of the index after it is a store-release, which orders as much",
    ),
];

/// The instructions that the short test removes from the loader itself.
pub(super) const PATCHED: &[(&str, &str)] = &[("mmu::enable", "dc ivac"), ("handoff::jump", "ic")];

/// `nop`
const NOP: [u8; 4] = 0xd503_201f_u32.to_le_bytes();

/// An instruction that can be removed.
struct Removable {
    at: u64,
    function: String,
    instruction: &'static str,
}

impl Removable {
    fn is(&self, function: &str, instruction: &str) -> bool {
        self.function.contains(function) && self.instruction == instruction
    }

    /// Returns the rules that may show its absence.
    fn rules(&self) -> impl Iterator<Item = Rule> {
        let needed = NEEDED.iter();
        needed
            .filter(|(function, instruction, _)| self.is(function, instruction))
            .map(|(_, _, rule)| *rule)
    }

    fn is_unnoticed(&self) -> bool {
        let mut unnoticed = UNNOTICED.iter();
        unnoticed.any(|(function, instruction, _)| self.is(function, instruction))
    }
}

/// Returns the maintenance instructions and barriers of the boots.
fn removable(boots: &[&Recorded]) -> Vec<Removable> {
    let mut found = BTreeMap::new();
    for boot in boots {
        for event in &boot.recording.events {
            if let Some(instruction) = event.action.maintenance() {
                found.entry(event.at).or_insert_with(|| Removable {
                    at: event.at,
                    function: boot.program.function(event.at),
                    instruction,
                });
            }
        }
    }
    found.into_values().collect()
}

fn recorded_boots(context: &Context) -> Result<Vec<&'static Recorded>> {
    (0..BOOTS.len())
        .map(|number| recorded(number, context))
        .collect()
}

/// Leaves out each instruction from the recordings.
pub(super) fn each_is_needed(context: &Context) -> Result<()> {
    let boots = recorded_boots(context)?;
    let mut used = Vec::new();
    for removed in removable(&boots) {
        let what = || {
            format!(
                "{} in {} at {:#x}",
                removed.instruction, removed.function, removed.at
            )
        };
        let mut rules = Vec::new();
        for boot in &boots {
            let mut events = boot.recording.events.iter();
            if events.any(|event| event.at == removed.at) {
                rules.extend(boot.broken_without(removed.at));
            }
            if removed.rules().any(|rule| rules.contains(&rule)) {
                break;
            }
        }
        if removed.is_unnoticed() {
            ensure!(rules.is_empty(), "without {}: {rules:?}", what());
            continue;
        }
        let rule = removed.rules().find(|rule| rules.contains(rule));
        let rule = rule.with_context(|| format!("without {}: {rules:?}", what()))?;
        used.push((removed.function, removed.instruction, rule));
    }
    for (function, instruction, rule) in NEEDED {
        let is_used = used.iter().any(|(in_function, found, broken)| {
            in_function.contains(function) && *found == instruction && *broken == rule
        });
        ensure!(
            is_used,
            "no {instruction} in {function} is needed for {rule:?}"
        );
    }
    Ok(())
}

/// Replaces instructions of the loader itself by `nop`, boots it, and compares what is found with
/// what is found when they are left out of a recording. `which` names them; `None` for all.
pub(super) fn patched(context: &Context, which: Option<&[(&str, &str)]>) -> Result<()> {
    let boots = recorded_boots(context)?;
    let elf = fs::read(context.artifacts.loader())?;
    let flat = fs::read(context.artifacts.flat_loader())?;
    let mut patched = 0;
    for removed in removable(&boots) {
        let is_wanted = which.is_none_or(|which| {
            let mut which = which.iter();
            which.any(|(function, instruction)| removed.is(function, instruction))
        });
        if !is_wanted {
            continue;
        }
        patched += 1;
        let loader = Loader {
            elf: context.path("patched.elf"),
            flat: context.path("patched.bin"),
        };
        patch(&elf, elf_offset(&elf, removed.at)?, &loader.elf)?;
        let start = Elf::parse(&elf)?.entry;
        patch(&flat, usize::try_from(removed.at - start)?, &loader.flat)?;
        let all = boots.iter().zip(BOOTS);
        let (recorded, boot) = all
            .rev()
            .find(|(boot, _)| {
                boot.recording
                    .events
                    .iter()
                    .any(|event| event.at == removed.at)
            })
            .context("no boot executes it")?;
        let again = boot.record(context, &loader)?;
        let found = again.broken_without(0);
        let expected = recorded.broken_without(removed.at);
        ensure!(
            found == expected,
            "{} in {}, removed: {found:?}, left out: {expected:?}",
            removed.instruction,
            removed.function
        );
    }
    ensure!(patched > 1, "only {patched} instructions were removed");
    Ok(())
}

fn elf_offset(elf: &[u8], address: u64) -> Result<usize> {
    let elf = Elf::parse(elf)?;
    let mut headers = elf.program_headers.iter();
    let code = headers
        .find(|header| header.is_executable())
        .context("no code")?;
    Ok(usize::try_from(code.p_offset + address - code.p_vaddr)?)
}

fn patch(loader: &[u8], offset: usize, path: &Path) -> Result<()> {
    let mut loader = loader.to_owned();
    let word = loader
        .get_mut(offset..offset + NOP.len())
        .context("beyond the loader")?;
    word.copy_from_slice(&NOP);
    Ok(fs::write(path, loader)?)
}
