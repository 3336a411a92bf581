// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's execution log: the number of executions of each instruction, and the cost of calls.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use super::symbols::Symbols;

/// The size of an arm64 instruction in bytes.
pub(super) const INSTRUCTION: u64 = 4;

/// The number of executions of each instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// The address of the first instruction.
    pub(super) start: u64,
    /// One count for each instruction from `start` on.
    pub(super) times: Vec<u64>,
    /// By a symbol's address: the instructions executed between its calls and their returns.
    pub(super) with_called: BTreeMap<u64, u64>,
}

/// Counts from the loader's first instruction to the first one outside of the loader, the kernel's.
/// Returns empty counts if the log ends before that.
pub(super) fn count(mut log: impl BufRead, symbols: &Symbols) -> io::Result<Counts> {
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
            // The log ended before the kernel.
            return Ok(Counts::default());
        }
        match (TraceLine::parse(&line), last) {
            (TraceLine::Executed(address), None) if address != symbols.entry => {}
            (TraceLine::Executed(address), _)
                if !(symbols.start..symbols.end).contains(&address) =>
            {
                calls.unwind(0);
                counts.with_called = calls.with_called;
                return Ok(counts);
            }
            (TraceLine::Executed(address), _) => {
                if let Some(times) = counts.at(address) {
                    *times += 1;
                }
                calls.step(last, address, symbols);
                last = Some(address);
            }
            // QEMU stopped before executing the instruction, and will log it again.
            (TraceLine::Stopped, Some(address)) => {
                if let Some(times) = counts.at(address) {
                    *times = times.saturating_sub(1);
                }
            }
            (TraceLine::Stopped, None) | (TraceLine::Other, _) => {}
        }
    }
}

/// The stack of calls that have not returned.
#[derive(Default)]
struct Calls {
    executed: u64,
    frames: Vec<Frame>,
    with_called: BTreeMap<u64, u64>,
}

struct Frame {
    symbol: u64,
    /// The return address: the instruction after the call.
    back: u64,
    /// The number of instructions executed before the call.
    before: u64,
}

impl Calls {
    /// Records the execution of the instruction at `address` after the one at `last`.
    fn step(&mut self, last: Option<u64>, address: u64, symbols: &Symbols) {
        let back = last.map_or(0, |last| last + INSTRUCTION);
        // Only a jump can be a call or a return. A function that was left by a tail call returns
        // together with its caller.
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

    /// Ends all calls except the outermost `depth`.
    fn unwind(&mut self, depth: usize) {
        while self.frames.len() > depth {
            let Some(frame) = self.frames.pop() else {
                break;
            };
            // Of recursive calls, only the outermost is counted.
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

    /// The number of executed instructions.
    pub(super) fn total(&self) -> u64 {
        self.times.iter().sum()
    }
}

/// A line of QEMU's log.
#[derive(Debug, PartialEq, Eq)]
enum TraceLine {
    Executed(u64),
    Stopped,
    Other,
}

impl TraceLine {
    /// Parses a line such as `Trace 0: 0x7f… [0000000000004000/0000000040100000/00000121/ff000201]
    /// symbol`; the second field in the brackets is the address (QEMU, accel/tcg/cpu-exec.c).
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
pub(super) mod tests {
    use super::super::symbols::Symbol;
    use super::*;

    pub(in crate::bench) fn symbols() -> Symbols {
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

    pub(in crate::bench) fn log(addresses: &[u64]) -> String {
        let mut log = "warning: something\n".to_owned();
        for address in addresses {
            log += &format!(
                "Trace 0: 0x7f0000000100 [00004000/{address:016x}/00000121/ff000201] name\n"
            );
        }
        log
    }

    #[test]
    fn calls_end_where_they_return_to() {
        // start calls copy, which calls itself; the inner call jumps to data, which returns to
        // copy.
        let executed = [
            0x1000, 0x1008, 0x100c, 0x1008, 0x1020, 0x1010, 0x1004, 0x9000,
        ];
        let counts = count(log(&executed).as_bytes(), &symbols()).unwrap();
        let called: Vec<_> = counts.with_called.into_iter().collect();
        assert_eq!(called, [(0x1000, 7), (0x1008, 5), (0x1020, 1)]);
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
        assert_eq!(TraceLine::parse(&[0xff, 0xfe, b'\n']), TraceLine::Other);
    }
}
