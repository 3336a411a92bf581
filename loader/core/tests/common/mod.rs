// SPDX-License-Identifier: MIT OR Apache-2.0

//! A simulated disk with an environment and two slots, booted with the loader's own code. Every
//! write and flush is recorded, so that a power cut can be simulated at any point.

#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod scenarios;

use std::convert::Infallible;

use little_loader_core::env::block::{Env, EnvMut, Format};
use little_loader_core::env::open;
use little_loader_core::env::place::EnvCopy;
use little_loader_core::env::writer::{RecordError, SECTOR, Storage};
use little_loader_core::slots::policy::{Attempt, decide};
use little_loader_core::slots::run_plan::{Failures, Ready, Slots, first_bootable};
use little_loader_core::slots::slot::{Reason, Slot};
use little_loader_core::slots::variables::Variables;

/// A step of a boot: a write, a flush or the start of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Write(EnvCopy, usize, Vec<u8>),
    Flush,
    /// A slot's kernel was read and runs from here on.
    Start(Slot, Reason),
}

/// The simulated faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Whether slots a and b fail the check.
    pub(crate) bad: [bool; 2],
    /// Whether the kernels of slots a and b cannot be read to the end.
    pub(crate) unreadable: [bool; 2],
    /// The number of the first write that fails; all later ones fail too.
    pub(crate) writes_from: Option<usize>,
    /// Whether flushes fail.
    pub(crate) flushes: bool,
}

/// A defect of the writing code, which the tests must detect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// The write with this number is dropped.
    DropWrite(usize),
    /// The flush with this number is dropped.
    DropFlush(usize),
    /// The kernel starts before anything is written.
    StartFirst,
    /// The kernel starts before the writes are flushed.
    StartBeforeFlush,
    /// The flush comes before the writes that it should follow.
    FlushFirst,
    /// Of a pair, the active copy is written.
    WriteCurrentCopy,
    /// A repair is not written to the disk.
    DropRepair,
}

/// The simulated disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    pub(crate) format: Format,
    /// One or two copies.
    pub(crate) copies: Vec<Vec<u8>>,
    pub(crate) faults: Faults,
    pub(crate) mutation: Option<Mutation>,
}

/// The result of a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Boot {
    pub(crate) result: Option<(Slot, Reason)>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) unrecorded: usize,
    pub(crate) repaired: bool,
    /// The boot count passed to the kernel.
    pub(crate) bootcount: u64,
}

pub(crate) fn index(slot: Slot) -> usize {
    match slot {
        Slot::A => 0,
        Slot::B => 1,
    }
}

/// Returns a sealed block with these variables in this order.
pub(crate) fn block(
    format: Format,
    size: usize,
    padding: u8,
    variables: &[(&str, &str)],
) -> Vec<u8> {
    let mut block = vec![0; size];
    let mut env = EnvMut::clear(&mut block, format).expect("a block has room");
    for (name, value) in variables {
        env.set(name, value.as_bytes())
            .expect("a variable that fits");
    }
    let used = env.as_env().used() + format.data_offset();
    block[used..].fill(padding);
    let crc = crc32fast::hash(&block[format.data_offset()..]);
    block[..4].copy_from_slice(&crc.to_le_bytes());
    block
}

impl Disk {
    pub(crate) fn single(block: Vec<u8>) -> Self {
        Self {
            format: Format::Single,
            copies: vec![block],
            faults: Faults::default(),
            mutation: None,
        }
    }

    pub(crate) fn redundant(first: Vec<u8>, second: Vec<u8>) -> Self {
        Self {
            format: Format::Redundant,
            copies: vec![first, second],
            faults: Faults::default(),
            mutation: None,
        }
    }

    /// Returns the value of a variable in the newer valid copy, by the distance of the flags modulo
    /// 256; `None` if it is not set or no copy is valid.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let valid = self
            .copies
            .iter()
            .filter_map(|copy| Env::parse(copy, self.format).ok());
        let env = valid.reduce(|first, second| match (first.flags(), second.flags()) {
            (Some(old), Some(new)) if (1..128).contains(&new.wrapping_sub(old)) => second,
            _ => first,
        })?;
        env.get(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Simulates a boot. The disk is unchanged; the result contains the operations.
    pub(crate) fn boot(&self) -> Boot {
        let mut boot = Boot {
            result: None,
            operations: Vec::new(),
            unrecorded: 0,
            repaired: false,
            bootcount: 0,
        };
        let mut copies = self.copies.clone();
        let opened = match &mut copies[..] {
            [block] => open::single(block).ok(),
            [first, second] => open::redundant::<Infallible>(first, second, (Ok(()), Ok(())))
                .map(|(opened, _)| opened)
                .ok(),
            _ => unreachable!("one or two copies"),
        };
        let Some(opened) = opened else {
            return boot;
        };
        let (first, second) = copies.split_at_mut(1);
        let second = second.first_mut().map_or(&mut [][..], |second| second);
        let mut writer = opened.writer(&mut first[0], second);
        let mut machine = Machine {
            faults: self.faults,
            mutation: self.mutation,
            is_pair: self.copies.len() == 2,
            boot: &mut boot,
            writes: 0,
            flushes: 0,
        };
        if opened.is_repaired() {
            machine.boot.repaired = true;
            if self.mutation != Some(Mutation::DropRepair) {
                let _ = writer.write(&mut machine);
            }
        }
        let plan = decide(&Variables::gather(&writer.env()));
        let mut failures = Failures::default();
        if let Some(Ready {
            slot,
            reason,
            bootcount,
            ..
        }) = first_bootable(&plan, &mut writer, &mut machine, &mut failures)
        {
            boot.result = Some((slot, reason));
            boot.bootcount = bootcount;
            let end = boot.operations.len();
            let place = match self.mutation {
                Some(Mutation::StartFirst) => 0,
                Some(Mutation::StartBeforeFlush) => end.saturating_sub(1),
                _ => end,
            };
            boot.operations
                .insert(place, Operation::Start(slot, reason));
        }
        boot
    }

    /// Returns the disk after these operations.
    pub(crate) fn after<'a>(&self, operations: impl IntoIterator<Item = &'a Operation>) -> Self {
        let mut disk = self.clone();
        for operation in operations {
            if let Operation::Write(copy, first, bytes) = operation {
                let copy = match copy {
                    EnvCopy::First => 0,
                    EnvCopy::Second => 1,
                };
                disk.copies[copy][first * SECTOR..first * SECTOR + bytes.len()]
                    .copy_from_slice(bytes);
            }
        }
        disk
    }

    /// Returns every disk that a power cut during these operations can leave, with the number of
    /// operations before the cut. All flushed writes are on the disk, and any subset of the later
    /// ones.
    pub(crate) fn cuts(&self, operations: &[Operation]) -> Vec<(usize, Self)> {
        let mut cuts = Vec::new();
        for done in 0..=operations.len() {
            let flushed = operations[..done]
                .iter()
                .rposition(|operation| *operation == Operation::Flush)
                .unwrap_or(0);
            let safe = self.after(&operations[..flushed]);
            let pending: Vec<_> = operations[flushed..done]
                .iter()
                .filter(|operation| matches!(operation, Operation::Write(..)))
                .collect();
            for subset in 0..1_u32 << pending.len() {
                let written = pending
                    .iter()
                    .enumerate()
                    .filter(|(bit, _)| subset >> bit & 1 == 1)
                    .map(|(_, operation)| *operation);
                cuts.push((done, safe.after(written)));
            }
        }
        cuts
    }
}

struct Machine<'a> {
    faults: Faults,
    mutation: Option<Mutation>,
    is_pair: bool,
    boot: &'a mut Boot,
    writes: usize,
    flushes: usize,
}

impl Storage for Machine<'_> {
    type Error = &'static str;

    fn write(&mut self, copy: EnvCopy, first: usize, bytes: &[u8]) -> Result<(), Self::Error> {
        if self
            .faults
            .writes_from
            .is_some_and(|from| self.writes >= from)
        {
            return Err("write error");
        }
        self.writes += 1;
        if self.mutation == Some(Mutation::DropWrite(self.writes - 1)) {
            return Ok(());
        }
        let copy = match self.mutation {
            Some(Mutation::WriteCurrentCopy) if self.is_pair => copy.other(),
            _ => copy,
        };
        self.boot
            .operations
            .push(Operation::Write(copy, first, bytes.to_vec()));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        if self.faults.flushes {
            return Err("flush error");
        }
        self.flushes += 1;
        let operations = &mut self.boot.operations;
        match self.mutation {
            Some(Mutation::DropFlush(number)) if number == self.flushes - 1 => {}
            Some(Mutation::FlushFirst) => {
                let last = operations
                    .iter()
                    .rposition(|operation| *operation == Operation::Flush);
                operations.insert(last.map_or(0, |last| last + 1), Operation::Flush);
            }
            _ => operations.push(Operation::Flush),
        }
        Ok(())
    }
}

impl Slots for Machine<'_> {
    type Checked = Slot;
    type Loaded = ();
    type SlotError = &'static str;

    fn check(&mut self, _env: &Env<'_>, slot: Slot) -> Result<Slot, &'static str> {
        if self.faults.bad[index(slot)] {
            Err("no Image")
        } else {
            Ok(slot)
        }
    }

    fn load(&mut self, slot: Slot) -> Result<(), &'static str> {
        if self.faults.unreadable[index(slot)] {
            Err("read error")
        } else {
            Ok(())
        }
    }

    fn unrecorded(&mut self, _attempt: &Attempt, _error: &RecordError<Self::Error>) {
        self.boot.unrecorded += 1;
    }
}
