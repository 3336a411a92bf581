// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the loader's instructions go.
//!
//! QEMU translates one instruction at a time, does not chain them, and writes a line for each one it executes: exact
//! counts, from QEMU 7.2 on. The log goes through a pipe, since it has a hundred bytes an instruction.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use super::BenchError;
use super::symbols::Symbols;
use crate::emulator::{self, Version};
use crate::machine::Machine;
use crate::process;

/// From here on `-singlestep` has another name.
const ONE_INSN: Version = Version::new(8, 1, 0);

/// How long one run may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Every arm64 instruction has 4 bytes.
const INSTRUCTION: u64 = 4;

/// What stands for a name where there is none.
pub const NAMELESS: &str = "(no symbol)";

/// What the loader executed.
#[derive(Clone, Debug, Serialize)]
pub struct Profile {
    /// All instructions from reset to the kernel's first.
    pub instructions: u64,
    /// By symbol, the most first.
    pub symbols: Vec<Share>,
    /// Stretches of code whose instructions were all executed equally often, the most first.
    pub stretches: Vec<Stretch>,
}

/// What one symbol takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Its name, without the compiler's hash.
    pub name: String,
    /// Instructions executed in it, without those of the symbols that it calls.
    pub instructions: u64,
    /// The same with those that it calls; 0 if it is only fallen into, from the symbol before it.
    pub with_called: u64,
    /// How often its first instruction was executed.
    pub entered: u64,
}

/// Code without a branch in or out that made a difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// The symbol it lies in.
    pub name: String,
    /// The first instruction's address.
    pub start: u64,
    /// How many instructions it has.
    pub length: u64,
    /// How often each was executed.
    pub times: u64,
}

impl Profile {
    /// The symbols that take more in `later` by at least `least` instructions, and by how many; the most first.
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
    /// All instructions that were executed in it.
    #[must_use]
    pub fn instructions(&self) -> u64 {
        self.length * self.times
    }
}

/// Executes `machine`'s loader, the ELF `loader`, until it is left for the kernel. The least of `runs` counts: polling
/// for the disk takes as long as the host wants, though little here, since logging makes the guest slow.
///
/// # Errors
/// When QEMU does not run, or does not log.
pub fn measure(machine: &Machine, loader: &Path, runs: u32) -> Result<Profile, BenchError> {
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
    let machine = machine.clone().arguments(["-d", "exec,nochain"]);
    let machine = if emulator::version()? < ONE_INSN {
        machine.arguments(["-singlestep"])
    } else {
        machine.accelerator_option("one-insn-per-tb=on")
    };
    let mut command = machine.command();
    command.stdin(Stdio::null()).stdout(Stdio::null());
    // Without -D the log goes there.
    command.stderr(Stdio::piped());
    let mut child = process::start(&mut command)?;
    let stderr = child.stderr.take();
    let (sender, receiver) = mpsc::channel();
    let known = symbols.clone();
    let reader = thread::spawn(move || {
        let counted = stderr.map(|log| count(BufReader::with_capacity(1 << 20, log), &known));
        // Who waits may have given up.
        let _ = sender.send(counted);
    });
    let counted = receiver.recv_timeout(LIMIT);
    // It has done its part, or had its time.
    let _ = child.kill();
    let _ = child.wait();
    let _ = reader.join();
    match counted {
        Ok(Some(Ok(counts))) if counts.total() > 0 => Ok(counts),
        _ => Err(BenchError::ExecutionLog {
            command: process::shell_line(&command),
        }),
    }
}

/// How often each instruction was executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    start: u64,
    times: Vec<u64>,
    /// By a symbol's address, everything between its calls and their returns.
    with_called: BTreeMap<u64, u64>,
}

/// Counts what a log has from the first instruction to the first outside of the loader, the kernel's.
fn count(mut log: impl BufRead, symbols: &Symbols) -> io::Result<Counts> {
    let words = (symbols.end - symbols.start) / INSTRUCTION;
    let mut counts = Counts {
        start: symbols.start,
        times: vec![0; usize::try_from(words).unwrap_or(0)],
        ..Counts::default()
    };
    let mut calls = Calls::default();
    let mut line = Vec::new();
    let mut last = None;
    loop {
        line.clear();
        if log.read_until(b'\n', &mut line)? == 0 {
            // The kernel was never reached.
            return Ok(Counts::default());
        }
        match (Line::parse(&line), last) {
            (Line::Executed(address), None) if address != symbols.entry => {}
            (Line::Executed(address), _) if !(symbols.start..symbols.end).contains(&address) => {
                calls.unwind(0);
                counts.with_called = calls.with_called;
                return Ok(counts);
            }
            (Line::Executed(address), _) => {
                if let Some(times) = counts.at(address) {
                    *times += 1;
                }
                calls.step(last, address, symbols);
                last = Some(address);
            }
            // An interrupt or a timer came first; the instruction is logged again.
            (Line::Stopped, Some(address)) => {
                if let Some(times) = counts.at(address) {
                    *times = times.saturating_sub(1);
                }
            }
            (Line::Stopped, None) | (Line::Other, _) => {}
        }
    }
}

/// Who was called from where and has not returned.
#[derive(Default)]
struct Calls {
    executed: u64,
    frames: Vec<Frame>,
    with_called: BTreeMap<u64, u64>,
}

struct Frame {
    symbol: u64,
    /// The instruction behind the call.
    back: u64,
    /// What had been executed before.
    before: u64,
}

impl Calls {
    /// Takes in that the instruction at `address` follows that at `last`.
    fn step(&mut self, last: Option<u64>, address: u64, symbols: &Symbols) {
        let back = last.map_or(0, |last| last + INSTRUCTION);
        // Only what jumps can call or return. What was left by a jump to another function returns with its caller.
        if last.is_none() || address != back {
            if let Some(depth) = self.frames.iter().rposition(|frame| frame.back == address) {
                self.unwind(depth);
            } else if symbols.at(address).is_some_and(|it| it.address == address) {
                self.frames.push(Frame {
                    symbol: address,
                    back,
                    before: self.executed,
                });
            }
        }
        self.executed += 1;
    }

    /// Ends all calls but the first `depth`.
    fn unwind(&mut self, depth: usize) {
        while self.frames.len() > depth {
            let Some(frame) = self.frames.pop() else {
                break;
            };
            // Of calls to itself the outermost counts.
            if self.frames.iter().all(|outer| outer.symbol != frame.symbol) {
                *self.with_called.entry(frame.symbol).or_default() += self.executed - frame.before;
            }
        }
    }
}

impl Counts {
    fn at(&mut self, address: u64) -> Option<&mut u64> {
        let index = (address - self.start) / INSTRUCTION;
        self.times.get_mut(usize::try_from(index).ok()?)
    }

    fn total(&self) -> u64 {
        self.times.iter().sum()
    }

    fn profile(&self, symbols: &Symbols) -> Profile {
        let mut shares: Vec<Share> = Vec::new();
        let mut stretches: Vec<Stretch> = Vec::new();
        let mut current = None;
        let addresses = (self.start..).step_by(4);
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
        Profile {
            instructions: self.total(),
            symbols: shares,
            stretches,
        }
    }
}

/// A line of the log.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Executed(u64),
    Stopped,
    Other,
}

impl Line {
    /// Lines are such as `Trace 0: 0x7f… [0000000000004000/0000000040100000/00000121/ff000201] symbol`; the second field
    /// between the brackets is the address (QEMU, accel/tcg/cpu-exec.c).
    fn parse(line: &[u8]) -> Self {
        if line.starts_with(b"Stopped execution") {
            return Self::Stopped;
        }
        let address = || {
            let line = line.strip_prefix(b"Trace ")?;
            let open = line.iter().position(|byte| *byte == b'[')?;
            let field = line[open..].split(|byte| *byte == b'/').nth(1)?;
            u64::from_str_radix(std::str::from_utf8(field).ok()?, 16).ok()
        };
        address().map_or(Self::Other, Self::Executed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::symbols::Symbol;
    use super::*;

    fn symbols() -> Symbols {
        let symbol = |name: &str, address, size| Symbol {
            name: name.to_owned(),
            address,
            size,
        };
        Symbols::new(
            0x1000,
            0x1000..0x1040,
            vec![
                symbol("start", 0x1000, 0),
                symbol("copy", 0x1008, 12),
                symbol("data", 0x1020, 8),
            ],
        )
    }

    fn log(addresses: &[u64]) -> String {
        let mut log = "warning: something\n".to_owned();
        for address in addresses {
            log += &format!(
                "Trace 0: 0x7f0000000100 [00004000/{address:016x}/00000121/ff000201] name\n"
            );
        }
        log
    }

    #[test]
    fn instructions_are_counted_from_entry_to_the_kernel() {
        // Firmware before the entry, two rounds of a loop, a function called from it, one instruction between symbols,
        // the kernel.
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
    fn calls_end_where_they_return_to() {
        // start calls copy, which calls itself, which jumps to data, which returns to copy.
        let executed = [
            0x1000, 0x1008, 0x100c, 0x1008, 0x1020, 0x1010, 0x1004, 0x9000,
        ];
        let counts = count(log(&executed).as_bytes(), &symbols()).unwrap();
        let called: Vec<_> = counts.with_called.into_iter().collect();
        assert_eq!(called, [(0x1000, 7), (0x1008, 5), (0x1020, 1)]);
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

    #[test]
    fn what_was_stopped_is_not_counted_twice() {
        let text = log(&[0x1000, 0x1004])
            + "Stopped execution of TB chain before 0x7f0000000100 [1004] name\n"
            + &log(&[0x1004, 0x9000]);
        let counts = count(text.as_bytes(), &symbols()).unwrap();
        assert_eq!(counts.times[..2], [1, 1]);
    }

    #[test]
    fn a_log_without_a_kernel_counts_nothing() {
        let counts = count(log(&[0x1000, 0x1004]).as_bytes(), &symbols()).unwrap();
        assert_eq!(counts, Counts::default());
        assert_eq!(Line::parse(&[0xff, 0xfe, b'\n']), Line::Other);
    }
}
