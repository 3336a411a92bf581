// SPDX-License-Identifier: MIT OR Apache-2.0

//! Replays the events of a boot and checks them against the rules.

use std::collections::HashMap;
use std::ops::Range;

use super::devices::{At, Devices};
use super::lines::{Ineffective, LINE, Lines, Stale, View};
use super::maintenance::Maintenance;
use super::order::Unordered;
use super::outcome::{Layout, Outcome};
use super::rules::{Findings, Rule};
use super::translation::{
    DATA_CACHE, DESCRIPTOR, INSTRUCTION_CACHE, MMU, Memory, NewDescriptors, Translation,
};
use crate::caches::event::{Action, Barrier, DeviceAccess, Event, Orders, Register};

/// The size of the smallest page.
const PAGE: u64 = 4096;

/// Replays the events of a boot.
#[must_use]
pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>, layout: &Layout) -> Outcome {
    let mut replay = Replay {
        layout,
        now: 0,
        lines: Lines::default(),
        unordered: Unordered::default(),
        devices: Devices::new(layout.rings),
        maintenance: Maintenance::default(),
        translation: Translation::default(),
        new_descriptors: NewDescriptors::default(),
        tables: Vec::new(),
        walked: HashMap::new(),
        control: 0,
        new_control: None,
        new_translation: false,
        new_registers: false,
        findings: Findings::default(),
        entered: None,
        device_accesses: Vec::new(),
    };
    for event in events {
        replay.now += 1;
        replay.event(event);
    }
    Outcome {
        findings: replay.findings,
        entered: replay.entered,
        device_accesses: replay.device_accesses,
        disk_reads: replay.devices.disk_reads,
        lines: replay.lines,
    }
}

struct Replay<'a> {
    layout: &'a Layout,
    /// The number of the event, from 1.
    now: u64,
    lines: Lines,
    unordered: Unordered,
    devices: Devices,
    maintenance: Maintenance,
    translation: Translation,
    new_descriptors: NewDescriptors,
    /// The addresses of the translation tables' descriptors that were used.
    tables: Vec<Range<u64>>,
    /// The kind of memory of each page, since the last event that can change it.
    walked: HashMap<u64, Memory>,
    /// SCTLR_EL1 as it is in force, and its new value if that is not synchronized yet.
    control: u64,
    new_control: Option<u64>,
    /// Writes of translation registers, and of any register, that are not synchronized yet.
    new_translation: bool,
    new_registers: bool,
    findings: Findings,
    entered: Option<(u64, u64)>,
    device_accesses: Vec<DeviceAccess>,
}

/// The target of an access.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Cached,
    /// RAM with the MMU off.
    Uncached,
    Device,
}

impl Replay<'_> {
    fn event(&mut self, event: &Event) {
        if !matches!(event.action, Action::Load { .. } | Action::Store { .. }) {
            self.walked.clear();
        }
        if event.level == 1 && self.control & INSTRUCTION_CACHE != 0 {
            self.maintenance.fetch(event.at, &mut self.findings);
        }
        match event.action {
            Action::Load {
                address,
                length,
                is_acquire,
            } => self.load(event, address..address + u64::from(length), is_acquire),
            Action::Store {
                address,
                length,
                bytes,
                is_release,
            } => self.store(event, address, &bytes[..usize::from(length)], is_release),
            Action::DataCache { address, operation } => {
                self.expect_synchronized(event);
                match self.lines.maintain(address, operation) {
                    Ok(()) => {}
                    Err(Ineffective::Unordered) => {
                        self.found(Rule::MaintenanceUnordered, event, address);
                    }
                    Err(Ineffective::Discards) => self.found(Rule::WriteDiscarded, event, address),
                }
            }
            Action::InvalidateInstructions => {
                self.expect_synchronized(event);
                self.maintenance
                    .invalidate_instructions(event.level, self.now);
            }
            Action::InvalidateTranslations => {
                self.expect_synchronized(event);
                self.maintenance.invalidate_translations();
            }
            Action::Barrier(barrier) => self.barrier(barrier),
            Action::Synchronize | Action::ChangeLevel => self.synchronize(event),
            Action::WriteRegister { register, value } => self.write(event, register, value),
            Action::EnterKernel { dtb } => self.enter(event, dtb),
        }
    }

    fn access_device(&mut self, is_write: bool, address: u64, length: u64) {
        self.device_accesses.push(DeviceAccess {
            is_write,
            address,
            length,
        });
    }

    fn found(&mut self, rule: Rule, event: &Event, address: u64) {
        self.findings.add(rule, event.at, address);
    }

    /// Returns where an access goes.
    fn target(&mut self, event: &Event, address: u64) -> Target {
        self.expect_synchronized(event);
        if event.level > 1 || self.control & MMU == 0 {
            return if self.layout.ram.contains(&address) {
                Target::Uncached
            } else {
                Target::Device
            };
        }
        let memory = match self.walked.get(&(address / PAGE)) {
            Some(memory) => *memory,
            None => self.walk(event, address),
        };
        match memory {
            Memory::Device => Target::Device,
            Memory::Cached if self.control & DATA_CACHE == 0 => Target::Uncached,
            Memory::Cached => Target::Cached,
        }
    }

    /// Reads the translation tables as the table walker does.
    fn walk(&mut self, event: &Event, address: u64) -> Memory {
        let Some(walk) = self.translation.walk(address, &self.lines) else {
            self.found(Rule::Unknown, event, address);
            return Memory::Cached;
        };
        for descriptor in walk.descriptors {
            if self.new_descriptors.has(descriptor) {
                self.found(Rule::TableNotSynchronized, event, descriptor);
            }
            let stale = self.lines.stale(descriptor, DESCRIPTOR, View::Cache);
            self.found_stale(Rule::StaleTableRead, stale, event, descriptor);
            if !self.tables.iter().any(|table| table.contains(&descriptor)) {
                self.tables
                    .push(descriptor & !0xfff..(descriptor | 0xfff) + 1);
            }
        }
        self.walked.insert(address / PAGE, walk.memory);
        walk.memory
    }

    fn found_stale(&mut self, rule: Rule, stale: Option<Stale>, event: &Event, address: u64) {
        match stale {
            None => {}
            Some(Stale::Unmaintained) => self.found(rule, event, address),
            Some(Stale::Incomplete) => self.found(Rule::MaintenanceIncomplete, event, address),
        }
    }

    /// Returns the devices, and the state for their checks of an event.
    fn devices(&mut self, event: &Event) -> (&mut Devices, At<'_>) {
        let at = At {
            at: event.at,
            now: self.now,
            lines: &mut self.lines,
            unordered: &self.unordered,
            findings: &mut self.findings,
        };
        (&mut self.devices, at)
    }

    fn load(&mut self, event: &Event, loaded: Range<u64>, is_acquire: bool) {
        let length = loaded.end - loaded.start;
        let (view, rule) = match self.target(event, loaded.start) {
            Target::Device => {
                self.access_device(false, loaded.start, length);
                return;
            }
            Target::Cached => (View::Cache, Rule::StaleCacheRead),
            Target::Uncached => (View::Memory, Rule::StaleMemoryRead),
        };
        let stale = self.lines.stale(loaded.start, length, view);
        self.found_stale(rule, stale, event, loaded.start);
        let (devices, mut at) = self.devices(event);
        devices.load(&loaded, is_acquire, &mut at);
        if is_acquire {
            self.unordered.load_acquire();
        }
    }

    fn store(&mut self, event: &Event, address: u64, bytes: &[u8], is_release: bool) {
        let target = self.target(event, address);
        let length = bytes.len() as u64;
        match target {
            Target::Device => self.access_device(true, address, length),
            Target::Cached => self.lines.store_cached(address, bytes, self.now),
            Target::Uncached => self.lines.store_uncached(address, bytes, self.now),
        }
        let (devices, mut at) = self.devices(event);
        if target == Target::Device {
            devices.store_to_device(address, bytes, &mut at);
            return;
        }
        devices.store(address..address + length, is_release, &mut at);
        self.unordered.store(address, length, is_release);
        if self.control & MMU != 0 && self.tables.iter().any(|table| table.contains(&address)) {
            self.walked.clear();
            for descriptor in (address..address + length).step_by(DESCRIPTOR as usize) {
                self.new_descriptors.write(descriptor);
            }
        }
    }

    fn barrier(&mut self, barrier: Barrier) {
        self.unordered.barrier(barrier);
        self.devices.barrier(barrier);
        if barrier.is_outer && barrier.orders == Orders::All {
            self.lines.order();
        }
        if !barrier.waits || barrier.orders == Orders::Loads {
            return;
        }
        self.new_descriptors.complete();
        // Only a `dsb` for all accesses waits for maintenance.
        if barrier.orders == Orders::All {
            self.maintenance.complete();
            if barrier.is_outer {
                self.lines.complete(self.now);
            }
        }
    }

    fn synchronize(&mut self, event: &Event) {
        self.new_descriptors.synchronize();
        let was_on = self.control & MMU != 0;
        self.control = self.new_control.take().unwrap_or(self.control);
        (self.new_translation, self.new_registers) = (false, false);
        self.maintenance.synchronize();
        match (was_on, self.control & MMU != 0) {
            (false, true) => self.maintenance.mmu_on(event.at, &mut self.findings),
            (true, false) => self.maintenance.mmu_off(),
            _ => {}
        }
    }

    /// A change of SCTLR_EL1 must be synchronized before anything depends on it.
    fn expect_synchronized(&mut self, event: &Event) {
        if event.level == 1 && self.new_control.is_some() {
            self.found(Rule::ControlNotSynchronized, event, 0);
        }
    }

    fn write(&mut self, event: &Event, register: Register, value: u64) {
        self.new_registers = true;
        match register {
            Register::SctlrEl1 => {
                if value & MMU != 0 && self.new_translation {
                    self.found(Rule::TranslationNotSynchronized, event, 0);
                }
                if value & MMU != 0 && self.control & MMU == 0 {
                    self.maintenance
                        .expect_complete(event.at, &mut self.findings);
                }
                self.new_control = Some(value);
            }
            // The model knows EL2 and EL3 only with everything off.
            Register::SctlrAbove if value & (MMU | DATA_CACHE) != 0 => {
                self.found(Rule::Unknown, event, 0);
            }
            Register::Ttbr0El1 => self.translation.table = value,
            Register::TcrEl1 => self.translation.control = value,
            Register::MairEl1 => self.translation.attributes = value,
            Register::SctlrAbove | Register::Other => {}
        }
        self.new_translation |= matches!(
            register,
            Register::Ttbr0El1 | Register::TcrEl1 | Register::MairEl1
        );
    }

    fn enter(&mut self, event: &Event, dtb: u64) {
        self.entered = Some((event.at, dtb));
        if self.new_registers {
            self.found(Rule::EntryNotSynchronized, event, 0);
        }
        let mut latest = 0;
        let mut dirty = Vec::new();
        for (line, changed) in self.lines.written() {
            if self
                .layout
                .unread
                .iter()
                .any(|unread| unread.contains(&line))
            {
                continue;
            }
            latest = latest.max(changed);
            let stale = self.lines.stale(line, LINE, View::Memory);
            dirty.extend(stale.map(|stale| (line, stale)));
        }
        dirty.sort_unstable_by_key(|(line, _)| *line);
        for (line, stale) in dirty {
            self.found_stale(Rule::NotCleaned, Some(stale), event, line);
        }
        self.maintenance
            .enter(event.at, event.level, latest, &mut self.findings);
    }
}
