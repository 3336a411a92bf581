// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's log of `-d exec,cpu`: a line for each executed instruction, followed by the registers
//! before it (QEMU, `target/arm/cpu.c`, `aarch64_cpu_dump_state`), with its trace of device
//! accesses in between.

use std::io::{self, BufRead};

use thiserror::Error;

use super::event::DeviceAccess;

/// The general registers and the stack pointer.
const REGISTERS: usize = 32;

/// The length of ` PC=`, `X00=` or ` SP=` with 16 digits and a space or newline.
const FIELD: usize = 21;

/// The reason that a log cannot be used.
#[derive(Debug, Error)]
pub enum LogError {
    /// The system's error.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line has an unexpected format.
    #[error("unexpected text: {0:?}")]
    Malformed(String),
    /// The log ends before the kernel's first instruction.
    #[error("it ends before the kernel's first instruction")]
    Ended,
    /// The loader executed an instruction whose effect on memory is unknown.
    #[error("the effect of the instruction at {0} is not known")]
    Unknown(String),
}

/// The state before an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The instruction's address.
    pub(super) at: u64,
    pub(super) level: u8,
    /// X0 to X30, then SP.
    registers: [u64; REGISTERS],
}

impl State {
    /// Returns a general register; 31 is zero.
    pub(super) fn register(&self, number: u8) -> u64 {
        if number == 31 { 0 } else { self.base(number) }
    }

    /// Returns a general register as the base of an address; 31 is the stack pointer.
    pub(super) fn base(&self, number: u8) -> u64 {
        self.registers[usize::from(number) % REGISTERS]
    }
}

/// A part of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// The first CPU is about to execute an instruction.
    Instruction(Box<State>),
    /// It did not execute the last instruction, which is logged again later.
    Stopped,
    DeviceAccess(DeviceAccess),
}

/// A log that is being read.
pub(super) struct Log<R> {
    from: R,
    line: Vec<u8>,
}

impl<R: BufRead> Log<R> {
    pub(super) fn new(from: R) -> Self {
        Self {
            from,
            line: Vec::new(),
        }
    }

    /// Returns the next part.
    pub(super) fn next(&mut self) -> Result<Item, LogError> {
        loop {
            self.read_line()?;
            let line = &self.line;
            if line.starts_with(b"Trace ") {
                let is_first = line.starts_with(b"Trace 0:");
                let state = self.state()?;
                if is_first {
                    return Ok(Item::Instruction(Box::new(state)));
                }
            } else if line.starts_with(b"Stopped execution") {
                return Ok(Item::Stopped);
            } else if let Some(access) = device_access(line) {
                return Ok(Item::DeviceAccess(access));
            }
        }
    }

    fn read_line(&mut self) -> Result<(), LogError> {
        self.line.clear();
        if self.from.read_until(b'\n', &mut self.line)? == 0 {
            return Err(LogError::Ended);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<State, LogError> {
        let mut text = [0; (1 + REGISTERS) * FIELD];
        self.from.read_exact(&mut text)?;
        self.read_line()?;
        let malformed = |text: &[u8]| LogError::Malformed(String::from_utf8_lossy(text).into());
        let mut values = [0; 1 + REGISTERS];
        for (number, (field, value)) in text.chunks(FIELD).zip(&mut values).enumerate() {
            *value = hexadecimal(field, number).ok_or_else(|| malformed(&text))?;
        }
        let [at, registers @ ..] = values;
        // `PSTATE=600003c5 -ZC- EL1h`
        let level = self.line.windows(3).find_map(|part| match part {
            [b'E', b'L', digit @ b'0'..=b'3'] => Some(digit - b'0'),
            _ => None,
        });
        let level = level.ok_or_else(|| malformed(&self.line))?;
        Ok(State {
            at,
            level,
            registers,
        })
    }
}

/// Reads a field: the program counter is number 0, X0 number 1, and the stack pointer the last.
fn hexadecimal(field: &[u8], number: usize) -> Option<u64> {
    let (name, digits) = field.split_first_chunk::<4>()?;
    let is_named = match number {
        0 => name == b" PC=",
        REGISTERS => name == b" SP=",
        _ => {
            let x = number - 1;
            *name == [b'X', b'0' + (x / 10) as u8, b'0' + (x % 10) as u8, b'=']
        }
    };
    let digits = digits.get(..16).filter(|_| is_named)?;
    u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

/// Parses a line such as `memory_region_ops_write cpu 0 mr 0x… addr 0x9000000 value 0x6c size 4
/// name 'pl011'`.
fn device_access(line: &[u8]) -> Option<DeviceAccess> {
    let line = str::from_utf8(line.strip_prefix(b"memory_region_ops_")?).ok()?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let after = |name: &str| {
        let place = words.iter().position(|word| *word == name)?;
        words.get(place + 1).copied()
    };
    let is_cpus = after("cpu")? == "0";
    is_cpus.then_some(DeviceAccess {
        is_write: words.first() == Some(&"write"),
        address: u64::from_str_radix(after("addr")?.strip_prefix("0x")?, 16).ok()?,
        length: after("size")?.parse().ok()?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns the log of an instruction of the CPU `cpu` at `at`, before which X`n` is `0x100 + n`
    /// and the stack pointer is `0x2000`.
    pub(in crate::caches) fn block(cpu: u32, at: u64, level: u8) -> String {
        let mut text = format!("Trace {cpu}: 0x7fd8 [00004000/{at:016x}/0121/ff00] name\n");
        text += &format!(" PC={at:016x} ");
        for x in 0..31_u64 {
            let end = if x % 3 == 1 { '\n' } else { ' ' };
            text += &format!("X{x:02}={:016x}{end}", 0x100 + x);
        }
        text + &format!(" SP={:016x}\nPSTATE=600003c5 -ZC- EL{level}h\n", 0x2000)
    }

    #[test]
    fn instructions_of_the_first_cpu_are_read_with_their_registers() {
        let text = "warning: something\n".to_owned()
            + &block(1, 0x900, 3)
            + &block(0, 0x1000, 2)
            + "memory_region_ops_read cpu 0 mr 0x56 addr 0x9000018 value 0x90 size 4 name 'pl011'\n"
            + "memory_region_ops_write cpu -1 mr 0x56 addr 0x18 value 0x90 size 4 name 'x'\n"
            + "Stopped execution of TB chain before 0x7f [1004] name\n";
        let mut log = Log::new(text.as_bytes());
        let Item::Instruction(state) = log.next().unwrap() else {
            panic!("not an instruction");
        };
        assert_eq!((state.at, state.level), (0x1000, 2));
        assert_eq!((state.register(0), state.register(30)), (0x100, 0x11e));
        assert_eq!((state.register(31), state.base(31)), (0, 0x2000));
        let access = DeviceAccess {
            is_write: false,
            address: 0x900_0018,
            length: 4,
        };
        assert_eq!(log.next().unwrap(), Item::DeviceAccess(access));
        assert_eq!(log.next().unwrap(), Item::Stopped);
        assert!(matches!(log.next(), Err(LogError::Ended)));
    }

    #[test]
    fn other_formats_are_refused() {
        for (old, new) in [("X07", "X70"), (" SP=", " XX="), ("EL1h", "")] {
            let text = block(0, 0x1000, 1).replace(old, new);
            let error = Log::new(text.as_bytes()).next().unwrap_err();
            assert!(matches!(error, LogError::Malformed(_)), "{error}");
        }
    }
}
