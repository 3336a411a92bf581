// SPDX-License-Identifier: MIT OR Apache-2.0

//! A hand-made boot that keeps all rules, and what each omission breaks.

use super::*;
use crate::caches::event::{Action, Barrier, DataCache, DeviceAccess, Event, Orders, Register};

const TABLES: u64 = 0x4014_0000;
const RINGS: u64 = 0x4014_4000;
const AVAILABLE: u64 = RINGS + 64;
const USED: u64 = RINGS + 4096;
const STATUS: u64 = 0x4014_8000;
const KERNEL: u64 = 0x4020_0000;
const DTB: u64 = 0x4000_0000;
const NOTIFY: u64 = 0x0a00_3e50;
const FW_CFG: u64 = 0x0902_0010;

/// The bits of SCTLR_EL1 for MMU, data cache and instruction cache.
const ON: u64 = 1 << 12 | 1 << 2 | 1;

const SY: Action = Action::Barrier(Barrier {
    waits: true,
    orders: Orders::All,
    is_outer: true,
});
const DMB: Action = Action::Barrier(Barrier {
    waits: false,
    orders: Orders::All,
    is_outer: true,
});

/// A boot as labelled steps.
#[derive(Clone)]
struct Boot {
    steps: Vec<(&'static str, Event)>,
}

fn store(address: u64, value: u64, length: u8) -> Action {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&value.to_le_bytes());
    Action::Store {
        address,
        length,
        bytes,
        is_release: false,
    }
}

fn load(address: u64, length: u8) -> Action {
    Action::Load {
        address,
        length,
        is_acquire: false,
    }
}

fn maintain(address: u64, operation: DataCache) -> Action {
    Action::DataCache { address, operation }
}

fn register(register: Register, value: u64) -> Action {
    Action::WriteRegister { register, value }
}

impl Boot {
    fn step(&mut self, label: &'static str, action: Action) {
        let at = 0x4010_0000 + 4 * self.steps.len() as u64;
        let level = 1;
        self.steps.push((label, Event { at, level, action }));
    }

    /// MMU and caches go on, a request reads two lines of a kernel, and the kernel is entered.
    fn good() -> Self {
        let mut boot = Self { steps: Vec::new() };
        boot.caches_on();
        boot.request();
        boot.step("edit the DTB", store(DTB + 4, 0x1000_0000, 4));
        boot.enter();
        boot
    }

    fn caches_on(&mut self) {
        // Level 0, then two blocks of 1 GiB: devices, and RAM.
        self.step("", store(TABLES, TABLES + 0x1000 + 3, 8));
        self.step("", store(TABLES + 0x1000, 1 << 10 | 1, 8));
        self.step(
            "",
            store(TABLES + 0x1008, 0x4000_0000 | 1 << 10 | 1 << 2 | 1, 8),
        );
        self.step("order table stores", DMB);
        self.step("invalidate root", maintain(TABLES, DataCache::Invalidate));
        self.step(
            "invalidate blocks",
            maintain(TABLES + 0x1000, DataCache::Invalidate),
        );
        self.step("", register(Register::MairEl1, 0xff00));
        self.step("", register(Register::TcrEl1, 24 | 0b0101 << 8));
        self.step("", register(Register::Ttbr0El1, TABLES));
        self.step("tlbi before", Action::InvalidateTranslations);
        self.step("ic before", Action::InvalidateInstructions);
        self.step("dsb before", SY);
        self.step("isb before", Action::Synchronize);
        self.step("", register(Register::SctlrEl1, ON));
        self.step("isb on", Action::Synchronize);
        self.step("", store(STATUS, 0xff, 1));
    }

    /// Descriptor 0 is written by the device, 1 is the status.
    fn request(&mut self) {
        self.step("clear the rings", store(AVAILABLE, 0, 8));
        for (number, address, length, flags) in [(0, KERNEL, 128, 3_u64), (1, STATUS, 1, 2)] {
            let descriptor = RINGS + 16 * number;
            self.step("", store(descriptor, address, 8));
            self.step("", store(descriptor + 8, length | flags << 32 | 1 << 48, 8));
        }
        self.step("", store(AVAILABLE + 4, 0, 2));
        self.step("order the request", DMB);
        self.step("", store(AVAILABLE + 2, 1, 2));
        self.step("order the notification", DMB);
        self.step("", store(NOTIFY, 0, 4));
        self.step("poll", load(USED + 2, 2));
        self.step("order the reply", DMB);
        self.step("", load(STATUS, 1));
    }

    fn enter(&mut self) {
        self.step(
            "clean the first line",
            maintain(KERNEL, DataCache::CleanAndInvalidate),
        );
        self.step(
            "clean the last line",
            maintain(KERNEL + 64, DataCache::Clean),
        );
        self.step(
            "clean the DTB",
            maintain(DTB, DataCache::CleanAndInvalidate),
        );
        self.step("dsb after clean", SY);
        self.step("", register(Register::SctlrEl1, 0));
        self.step("isb off", Action::Synchronize);
        self.step("ic after", Action::InvalidateInstructions);
        self.step("tlbi after", Action::InvalidateTranslations);
        self.step("dsb after", SY);
        self.step("isb after", Action::Synchronize);
        self.step("", Action::EnterKernel { dtb: DTB });
    }

    fn place(&self, label: &str) -> usize {
        let mut labels = self.steps.iter().map(|(label, _)| *label);
        labels.position(|it| it == label).unwrap()
    }

    fn without(mut self, label: &str) -> Self {
        self.steps.remove(self.place(label));
        self
    }

    fn instead(mut self, label: &str, action: Action) -> Self {
        let place = self.place(label);
        self.steps[place].1.action = action;
        self
    }

    fn before(mut self, label: &str, actions: &[Action]) -> Self {
        let place = self.place(label);
        for (offset, action) in actions.iter().enumerate() {
            let event = Event {
                at: 0x4011_0000,
                level: 1,
                action: *action,
            };
            self.steps.insert(place + offset, ("", event));
        }
        self
    }

    fn replayed(&self) -> Outcome {
        let loader = 0x4010_0000..0x4016_0000;
        let layout = Layout {
            ram: 0x4000_0000..0x4800_0000,
            unread: vec![loader],
            rings: RINGS,
        };
        replay(self.steps.iter().map(|(_, event)| event), &layout)
    }

    fn broken(&self) -> Vec<Rule> {
        self.replayed()
            .findings
            .iter()
            .map(|(rule, _)| rule)
            .collect()
    }
}

#[test]
fn a_good_boot_breaks_no_rule() {
    let outcome = Boot::good().replayed();
    assert!(outcome.findings.is_empty(), "{:?}", outcome.findings);
    assert_eq!(outcome.entered.map(|(_, dtb)| dtb), Some(DTB));
    let notification = DeviceAccess {
        is_write: true,
        address: NOTIFY,
        length: 4,
    };
    assert_eq!(outcome.device_accesses, [notification]);
    assert_eq!(
        outcome.disk_reads,
        [KERNEL..KERNEL + 128, STATUS..STATUS + 1]
    );
    assert!(outcome.is_maintained(KERNEL, 128) && !outcome.is_maintained(KERNEL, 129));
    assert_eq!(outcome.word(DTB + 4), Some(0x10));
}

#[test]
fn each_omission_breaks_its_rule() {
    let omissions = [
        ("order table stores", Rule::MaintenanceUnordered),
        ("invalidate root", Rule::StaleTableRead),
        ("invalidate blocks", Rule::StaleTableRead),
        ("tlbi before", Rule::TranslationsNotInvalidated),
        ("ic before", Rule::InstructionsNotInvalidated),
        ("dsb before", Rule::MaintenanceIncomplete),
        ("isb before", Rule::TranslationNotSynchronized),
        ("isb on", Rule::ControlNotSynchronized),
        ("order the request", Rule::RequestUnordered),
        ("order the notification", Rule::NotificationUnordered),
        ("order the reply", Rule::ReplyUnordered),
        ("poll", Rule::ReplyUnordered),
        ("clean the first line", Rule::NotCleaned),
        ("clean the last line", Rule::NotCleaned),
        ("clean the DTB", Rule::NotCleaned),
        ("dsb after clean", Rule::StaleInstructions),
        ("isb off", Rule::ControlNotSynchronized),
        ("ic after", Rule::StaleInstructions),
        ("tlbi after", Rule::StaleTranslations),
        ("dsb after", Rule::StaleTranslations),
        ("isb after", Rule::StaleTranslations),
    ];
    for (label, rule) in omissions {
        let broken = Boot::good().without(label).broken();
        assert!(broken.contains(&rule), "without {label:?}: {broken:?}");
    }
}

#[test]
fn memory_written_with_the_mmu_off_is_stale_in_the_caches() {
    let write = [store(STATUS + 256, 7, 8)];
    let read = [load(STATUS + 260, 1)];
    let boot = Boot::good().before("order table stores", &write);
    assert_eq!(boot.broken(), []);
    let boot = boot.before("poll", &read);
    assert_eq!(boot.broken(), [Rule::StaleCacheRead]);
    // Another byte of the line is written through the caches: even memory may have lost it.
    let write = [store(STATUS + 264, 7, 8)];
    let clean = [maintain(STATUS + 256, DataCache::CleanAndInvalidate), SY];
    let boot = boot.before("poll", &[write, [clean[0]], [clean[1]]].concat());
    assert_eq!(boot.broken(), [Rule::StaleCacheRead]);
    // Invalidating the line in time helps.
    let boot = Boot::good()
        .before("order table stores", &[store(STATUS + 256, 7, 8)])
        .before(
            "invalidate root",
            &[maintain(STATUS + 256, DataCache::Invalidate)],
        )
        .before("poll", &read);
    assert_eq!(boot.broken(), []);
}

#[test]
fn what_the_caches_hold_is_not_in_memory() {
    let read = [load(STATUS, 1)];
    let boot = Boot::good().before("ic after", &read);
    assert_eq!(boot.broken(), [Rule::StaleMemoryRead]);
    let clean = [maintain(STATUS, DataCache::Clean)];
    let boot = boot.before("clean the first line", &clean);
    assert_eq!(boot.broken(), []);
    // A write with the MMU off to a dirty line can be overwritten.
    let boot = Boot::good().before("ic after", &[store(STATUS + 1, 0, 1), load(STATUS + 1, 1)]);
    assert_eq!(boot.broken(), [Rule::StaleMemoryRead]);
    // A clean needs its `dsb`, and counts only for earlier writes.
    let boot = Boot::good()
        .without("dsb after clean")
        .before("ic after", &[load(DTB + 4, 4)]);
    assert!(boot.broken().contains(&Rule::MaintenanceIncomplete));
    let boot = Boot::good().before("dsb after clean", &[store(DTB + 8, 0, 4)]);
    assert_eq!(boot.broken(), [Rule::NotCleaned]);
}

#[test]
fn an_invalidate_instead_of_a_clean_discards() {
    let boot = Boot::good().instead("clean the DTB", maintain(DTB, DataCache::Invalidate));
    assert!(boot.broken().contains(&Rule::WriteDiscarded));
}

#[test]
fn an_inner_barrier_does_not_complete_maintenance() {
    let inner = Action::Barrier(Barrier {
        waits: true,
        orders: Orders::All,
        is_outer: false,
    });
    let boot = Boot::good().instead("dsb after clean", inner);
    assert_eq!(boot.broken(), [Rule::StaleInstructions]);
    // Neither does one for stores only.
    let stores = Action::Barrier(Barrier {
        waits: true,
        orders: Orders::Stores,
        is_outer: true,
    });
    let boot = Boot::good().instead("dsb before", stores);
    assert!(boot.broken().contains(&Rule::MaintenanceIncomplete));
}

#[test]
fn a_device_does_not_see_what_was_written_with_the_mmu_off() {
    let mut boot = Boot::good();
    let place = boot.place("clear the rings") + 1;
    let first_descriptor = boot.steps.remove(place);
    boot.steps.insert(0, first_descriptor);
    assert!(boot.broken().contains(&Rule::StaleDeviceRead));
}

#[test]
fn release_and_acquire_order_a_request_too() {
    let acquire = |address| Action::Load {
        address,
        length: 2,
        is_acquire: true,
    };
    let mut boot = Boot::good()
        .without("order the request")
        .without("order the reply")
        .instead("order the notification", acquire(USED))
        .instead("poll", acquire(USED + 2));
    let unordered = [Rule::RequestUnordered, Rule::NotificationUnordered];
    assert_eq!(boot.broken(), unordered);
    for (_, event) in &mut boot.steps {
        if let Action::Store {
            address,
            is_release,
            ..
        } = &mut event.action
        {
            *is_release = *address == AVAILABLE + 2;
        }
    }
    assert_eq!(boot.broken(), []);
    let boot = boot.without("order the notification");
    assert_eq!(boot.broken(), [Rule::NotificationUnordered]);
}

#[test]
fn fw_cfg_needs_barriers_on_both_sides() {
    // Select and read item 0x19, 8 bytes.
    let request = STATUS + 64;
    let read = [
        store(
            request,
            u64::from(0x0019_000a_u32.to_be()) | 8_u64.to_be(),
            8,
        ),
        store(request + 8, (STATUS + 128).to_be(), 8),
        SY,
        store(FW_CFG, request.to_be(), 8),
        SY,
        load(STATUS + 128, 8),
        load(request, 4),
    ];
    let with = |actions: &[Action]| Boot::good().before("clear the rings", actions).broken();
    assert_eq!(with(&read), []);
    assert_eq!(
        with(&[&read[..2], &read[3..]].concat()),
        [Rule::RequestUnordered]
    );
    assert_eq!(
        with(&[&read[..4], &read[5..]].concat()),
        [Rule::ReplyUnordered]
    );
    // A request that nobody wrote.
    assert_eq!(with(&read[2..5]), [Rule::Unknown]);
}

#[test]
fn a_new_table_entry_needs_a_dsb_and_an_isb() {
    const STORES: Action = Action::Barrier(Barrier {
        waits: true,
        orders: Orders::Stores,
        is_outer: false,
    });
    // 2 GiB to 3 GiB.
    let map = store(TABLES + 0x1010, 0x8000_0000 | 1 << 10 | 1, 8);
    let access = load(0x8000_0000, 4);
    let with = |actions: &[Action]| Boot::good().before("clear the rings", actions).broken();
    assert_eq!(with(&[map, STORES, Action::Synchronize, access]), []);
    for incomplete in [
        &[map, access][..],
        &[map, STORES, access],
        &[map, Action::Synchronize, access],
        &[map, Action::Synchronize, STORES, access],
    ] {
        assert_eq!(with(incomplete), [Rule::TableNotSynchronized]);
    }
    assert_eq!(with(&[access]), [Rule::Unknown]);
}

#[test]
fn a_kernel_above_needs_an_invalidation_above() {
    let mut boot = Boot::good();
    let mut enter = boot.steps.pop().unwrap();
    enter.1.level = 2;
    boot.steps.push(enter);
    assert_eq!(boot.broken(), [Rule::StaleInstructions]);
    for (label, event) in &mut boot.steps {
        if *label == "ic after" {
            event.level = 2;
        }
    }
    assert_eq!(boot.broken(), []);
}

#[test]
fn registers_are_synchronized_at_the_entry() {
    let mut boot = Boot::good();
    let enter = boot.steps.pop().unwrap();
    boot.step("", register(Register::Other, 0));
    boot.steps.push(enter);
    assert_eq!(boot.broken(), [Rule::EntryNotSynchronized]);
}

#[test]
fn caches_at_higher_levels_are_not_modelled() {
    let boot = Boot::good().before("isb before", &[register(Register::SctlrAbove, ON)]);
    assert_eq!(boot.broken(), [Rule::Unknown]);
}
