// SPDX-License-Identifier: MIT OR Apache-2.0

//! The loader's executed instructions by symbol and by stretch of code.
//!
//! QEMU does not chain instructions, and logs each one it executes. The counts are exact from QEMU
//! 7.2 on.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::BenchError;
use super::execution::{Counts, INSTRUCTION, count};
use super::symbols::Symbols;
use crate::harness::execution_log;
use crate::harness::machine::Machine;

/// The time that the log may stand still.
const LIMIT: Duration = Duration::from_secs(120);

/// The name of code without a symbol.
pub const NAMELESS: &str = "(no symbol)";

/// The instructions that the loader executed.
#[derive(Clone, Debug, Serialize)]
pub struct InstructionProfile {
    /// All instructions from reset to the kernel's first.
    pub instructions: u64,
    /// The instructions by symbol, the most first.
    pub symbols: Vec<Share>,
    /// Stretches of code whose instructions were all executed equally often, the most expensive
    /// first.
    pub stretches: Vec<Stretch>,
}

/// The cost of one symbol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Its name, without the compiler's hash.
    pub name: String,
    /// Instructions executed in the symbol itself, without those of its callees.
    pub instructions: u64,
    /// Instructions including those of its callees; 0 if control only falls through from the symbol
    /// before it.
    pub with_called: u64,
    /// The number of executions of its first instruction.
    pub entered: u64,
}

/// Consecutive instructions of one symbol that were executed equally often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// The symbol that contains it.
    pub name: String,
    /// The first instruction's address.
    pub start: u64,
    /// Its length in instructions.
    pub length: u64,
    /// The number of executions of each instruction.
    pub times: u64,
}

impl InstructionProfile {
    /// Returns the symbols that execute at least `least` more instructions in `later`, and the
    /// increase, the largest first.
    #[must_use]
    pub fn growth(&self, later: &Self, least: u64) -> Vec<(String, u64)> {
        let total = |profile: &Self, name: &str| -> u64 {
            let shares = profile.symbols.iter().filter(|share| share.name == name);
            shares.map(|share| share.instructions).sum()
        };
        let names: BTreeSet<&str> = later.symbols.iter().map(|share| &*share.name).collect();
        let grown = names.into_iter().map(|name| {
            let more = total(later, name).saturating_sub(total(self, name));
            (name.to_owned(), more)
        });
        let mut grown: Vec<_> = grown.filter(|(_, more)| *more >= least).collect();
        grown.sort_by_key(|(_, more)| std::cmp::Reverse(*more));
        grown
    }
}

impl Stretch {
    /// The number of instructions executed in it.
    #[must_use]
    pub fn instructions(&self) -> u64 {
        self.length * self.times
    }
}

/// Runs `machine` with the ELF `loader` until the kernel's first instruction, `runs` times. Uses
/// the lowest total, because the time spent polling the disk depends on the host; it is short here,
/// as logging slows down the guest.
///
/// # Errors
/// When QEMU does not run, or its log does not reach the kernel.
pub fn measure(
    machine: &Machine,
    loader: &Path,
    runs: u32,
) -> Result<InstructionProfile, BenchError> {
    let bytes = fs::read(loader).map_err(|source| BenchError::Io {
        path: loader.into(),
        source,
    })?;
    let symbols = Symbols::parse(&bytes).map_err(|source| BenchError::Symbols {
        path: loader.into(),
        source,
    })?;
    let mut least: Option<Counts> = None;
    for _run in 0..runs {
        let counts = run(machine, &symbols)?;
        least = Some(
            least
                .filter(|least| least.total() <= counts.total())
                .unwrap_or(counts),
        );
    }
    Ok(least.unwrap_or_default().profile(&symbols))
}

fn run(machine: &Machine, symbols: &Symbols) -> Result<Counts, BenchError> {
    // Without `-D`, QEMU logs to stderr.
    let machine = machine.clone().arguments(["-d", "exec,nochain"]);
    let command = machine.shell_line();
    let known = symbols.clone();
    let counted =
        execution_log::read::<_, BenchError>(machine, LIMIT, move |log| count(log, &known));
    match counted? {
        Some(Ok(counts)) if counts.total() > 0 => Ok(counts),
        _ => Err(BenchError::ExecutionLog { command }),
    }
}

impl Counts {
    fn profile(&self, symbols: &Symbols) -> InstructionProfile {
        let mut shares: Vec<Share> = Vec::new();
        let mut stretches: Vec<Stretch> = Vec::new();
        let mut current = None;
        let addresses = (self.start..).step_by(INSTRUCTION as usize);
        for (address, &times) in addresses.zip(&self.times) {
            let symbol = symbols.at(address);
            let name = symbol.map_or(NAMELESS, |symbol| &symbol.name);
            if times == 0 {
                continue;
            }
            let id = symbol.map(|symbol| symbol.address);
            let is_same = current == Some(id);
            current = Some(id);
            match shares.last_mut() {
                Some(share) if is_same => share.instructions += times,
                _ => shares.push(Share {
                    name: name.to_owned(),
                    instructions: times,
                    with_called: id
                        .and_then(|id| self.with_called.get(&id))
                        .copied()
                        .unwrap_or(0),
                    entered: if id == Some(address) { times } else { 0 },
                }),
            }
            match stretches.last_mut() {
                Some(last)
                    if is_same
                        && last.times == times
                        && last.start + last.length * INSTRUCTION == address =>
                {
                    last.length += 1;
                }
                _ => stretches.push(Stretch {
                    name: name.to_owned(),
                    start: address,
                    length: 1,
                    times,
                }),
            }
        }
        shares.sort_by(|a, b| {
            b.instructions
                .cmp(&a.instructions)
                .then(a.name.cmp(&b.name))
        });
        stretches.sort_by_key(|stretch| std::cmp::Reverse(stretch.instructions()));
        InstructionProfile {
            instructions: self.total(),
            symbols: shares,
            stretches,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::execution::tests::{log, symbols};
    use super::*;

    #[test]
    fn instructions_are_counted_from_entry_to_the_kernel() {
        // Firmware before the entry, two rounds of a loop that calls a function, one instruction
        // between symbols, the kernel.
        let executed = [
            0x0, 0x1000, 0x1004, 0x1008, 0x100c, 0x1010, 0x100c, 0x1020, 0x1024, 0x1010, 0x1018,
            0x4000, 0x1000,
        ];
        let counts = count(log(&executed).as_bytes(), &symbols()).unwrap();
        let profile = counts.profile(&symbols());
        assert_eq!(profile.instructions, 10);
        let shares: Vec<_> = profile
            .symbols
            .iter()
            .map(|share| {
                let Share {
                    name,
                    instructions,
                    with_called,
                    entered,
                } = share;
                (name.as_str(), *instructions, *with_called, *entered)
            })
            .collect();
        assert_eq!(
            shares,
            [
                ("copy", 5, 0, 1),
                ("data", 2, 2, 1),
                ("start", 2, 10, 1),
                ("(no symbol)", 1, 0, 0)
            ]
        );
        let first = &profile.stretches[0];
        assert_eq!((first.start, first.length, first.times), (0x100c, 2, 2));
        assert_eq!(first.instructions(), 4);
    }

    #[test]
    fn growth_is_told_by_symbol() {
        let profile = |addresses: &[u64]| {
            let log = log(addresses);
            let counts = count(log.as_bytes(), &symbols()).unwrap();
            counts.profile(&symbols())
        };
        let less = profile(&[0x1000, 0x1008, 0x1020, 0x9000]);
        let more = profile(&[0x1000, 0x1008, 0x1008, 0x1008, 0x1020, 0x1020, 0x9000]);
        let grown = [("copy".to_owned(), 2), ("data".to_owned(), 1)];
        assert_eq!(less.growth(&more, 1), grown);
        assert_eq!(less.growth(&more, 2), grown[..1]);
        assert_eq!(more.growth(&less, 1), []);
    }
}
