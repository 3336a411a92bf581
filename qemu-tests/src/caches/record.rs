// SPDX-License-Identifier: MIT OR Apache-2.0

//! The events of a boot, from QEMU's log of executed instructions and registers.
//!
//! QEMU logs the registers before each instruction; its filter leaves out what does not matter.

use std::io::BufRead;
use std::time::Duration;

use thiserror::Error;

use super::effect::effect;
use super::event::{Action, DeviceAccess, Event};
use super::log::{Item, Log, LogError};
use super::program::Program;
use crate::harness::emulator::EmulatorError;
use crate::harness::execution_log;
use crate::harness::machine::Machine;
use crate::harness::process::ProcessError;

/// The time that the log may stand still.
const LIMIT: Duration = Duration::from_secs(120);

/// The reason that a boot could not be recorded.
#[derive(Debug, Error)]
pub enum RecordError {
    /// QEMU's version could not be queried.
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    /// QEMU could not be started.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The log could not be read.
    #[error("cannot read the log of `{command}`")]
    Log {
        /// The command.
        command: String,
        /// The cause.
        source: LogError,
    },
    /// The log did not reach the kernel in time.
    #[error("the log of `{command}` does not reach the kernel, or stood still for {} s", LIMIT.as_secs())]
    TimeUp {
        /// The command.
        command: String,
    },
}

/// A recorded boot.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// What the loader did, up to the kernel's first instruction.
    pub events: Vec<Event>,
    /// The device accesses that QEMU saw.
    pub device_accesses: Vec<DeviceAccess>,
}

/// Runs `machine` with the loader `program` until the kernel's first instruction.
///
/// # Errors
/// When QEMU does not run, or its log does not reach the kernel.
pub fn record(machine: &Machine, program: &Program) -> Result<Recording, RecordError> {
    // The whole command has a filter of some 40 KB.
    let command = machine.shell_line();
    // QEMU buffers lines only of a file that it opens itself.
    let machine = machine
        .clone()
        .arguments(["-d", "exec,cpu,nochain", "-D", "/dev/fd/2"])
        .arguments(["-dfilter", &program.filter()])
        .arguments(["-trace", "enable=memory_region_ops_read"])
        .arguments(["-trace", "enable=memory_region_ops_write"]);
    let known = program.clone();
    let found = execution_log::read::<_, RecordError>(machine, LIMIT, move |log| read(log, &known));
    match found? {
        Some(Ok(recording)) => Ok(recording),
        Some(Err(source)) => Err(RecordError::Log { command, source }),
        None => Err(RecordError::TimeUp { command }),
    }
}

fn read(log: impl BufRead, program: &Program) -> Result<Recording, LogError> {
    let mut log = Log::new(log);
    let mut recording = Recording::default();
    // QEMU's own boot code precedes a flat binary.
    let mut has_begun = false;
    let mut last = 0;
    loop {
        let state = match log.next()? {
            Item::Instruction(state) => state,
            Item::Stopped => {
                recording.events.truncate(last);
                continue;
            }
            Item::DeviceAccess(access) => {
                recording.device_accesses.push(access);
                continue;
            }
        };
        has_begun |= program.code.contains(&state.at);
        if !has_begun {
            continue;
        }
        last = recording.events.len();
        let mut push = |action| {
            recording.events.push(Event {
                at: state.at,
                level: state.level,
                action,
            });
        };
        if !program.code.contains(&state.at) {
            push(Action::EnterKernel {
                dtb: state.register(0),
            });
            return Ok(recording);
        }
        if let Some(instruction) = program.instruction(state.at) {
            let unknown = || LogError::Unknown(program.place(state.at));
            push(effect(instruction, &state).ok_or_else(unknown)?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::tests::block;
    use super::*;

    const CODE: u64 = 0x1000;

    fn recorded(words: &[u32], log: &str) -> Result<Recording, LogError> {
        read(log.as_bytes(), &Program::of_words(CODE, words))
    }

    #[test]
    fn addresses_and_values_come_from_the_registers() {
        // In the log, X`n` is 0x100 + n and the stack pointer 0x2000.
        let words = [
            0xa9be_7bfd, // stp x29, x30, [sp, #-32]!
            0x8b02_0020, // add x0, x1, x2
            0x7869_d907, // ldrh w7, [x8, w9, sxtw #1]
            0xd50b_7e21, // dc civac, x1
            0x5800_0103, // ldr x3, #32
            0xd518_2003, // msr ttbr0_el1, x3
        ];
        let log = (0..7).map(|number| block(0, CODE + 4 * number, 1));
        let log = block(0, 0x40, 1) + &log.collect::<String>();
        let recording = recorded(&words, &log).unwrap();
        let actions: Vec<Action> = recording.events.iter().map(|event| event.action).collect();
        let mut bytes = [0; 16];
        (bytes[0], bytes[1], bytes[8], bytes[9]) = (0x1d, 1, 0x1e, 1);
        let load = |address, length| Action::Load {
            address,
            length,
            is_acquire: false,
        };
        assert_eq!(
            actions,
            [
                Action::Store {
                    address: 0x1fe0,
                    length: 16,
                    bytes,
                    is_release: false
                },
                load(0x108 + 2 * 0x109, 2),
                Action::DataCache {
                    address: 0x101,
                    operation: super::super::event::DataCache::CleanAndInvalidate
                },
                load(CODE + 16 + 32, 8),
                Action::WriteRegister {
                    register: super::super::event::Register::Ttbr0El1,
                    value: 0x103
                },
                Action::EnterKernel { dtb: 0x100 },
            ]
        );
    }

    #[test]
    fn a_stopped_instruction_counts_once() {
        let log = block(0, CODE, 1)
            + "Stopped execution of TB chain before 0x7f [1000] name\n"
            + &block(0, CODE, 1)
            + &block(0, 0x8000, 1);
        // dsb sy
        let recording = recorded(&[0xd503_3f9f], &log).unwrap();
        assert_eq!(recording.events.len(), 2);
    }

    #[test]
    fn an_unknown_instruction_or_a_short_log_is_an_error() {
        // ldxr x0, [x1]
        let error = recorded(&[0xc85f_7c20], &block(0, CODE, 1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the effect of the instruction at 0x1000 is not known"
        );
        let error = recorded(&[0xd503_3f9f], &block(0, CODE, 1)).unwrap_err();
        assert!(matches!(error, LogError::Ended), "{error}");
    }
}
