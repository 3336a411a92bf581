// SPDX-License-Identifier: MIT OR Apache-2.0

//! Interrupted upgrades: after an interruption at any point, the loader's code finds either the
//! complete running slot, or the complete new slot with the running slot as the fallback.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "cuts/boards.rs"]
mod boards;
#[path = "cuts/gpt.rs"]
mod gpt;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use fwup::apply::{Observer, apply};
use fwup::archive::firmware_archive::FirmwareArchive;
use fwup::archive::read::Archive;
use fwup::destination::{Device, Storage};
use fwup::firmware::model::{Call, Firmware, Section, SectionOptions, Task, Value};
use fwup::language::Definitions;
use little_loader_core::env::open;
use little_loader_core::slots::policy::decide;
use little_loader_core::slots::slot::Slot;
use little_loader_core::slots::variables::{SlotContents, Variables};

const BLOCK: usize = 512;
/// The first block of the fixture's environment, its size in blocks, and the first block of the
/// second copy that some tests add.
const ENV: usize = 16;
const ENV_BLOCKS: usize = 256;
const SECOND_ENV: usize = 1040;
/// The first blocks of the slots' root file systems and kernels.
const ROOTS: [usize; 2] = [400, 464];
const KERNELS: [usize; 2] = [272, 336];

/// A write to a disk, or a sync.
#[derive(Clone)]
enum DiskEvent {
    Write(usize, Vec<u8>),
    Sync,
}

/// A disk in memory, with a log of its writes and syncs.
#[derive(Clone, Default)]
struct Disk {
    bytes: Vec<u8>,
    events: Vec<DiskEvent>,
}

impl Storage for Disk {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap().min(self.bytes.len());
        let length = out.len().min(self.bytes.len() - start);
        out[..length].copy_from_slice(&self.bytes[start..start + length]);
        Ok(length)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        self.bytes[start..start + data.len()].copy_from_slice(data);
        self.events.push(DiskEvent::Write(start, data.to_vec()));
        Ok(())
    }

    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn grows(&self) -> bool {
        true
    }

    fn grow(&mut self, length: u64) -> io::Result<()> {
        self.bytes.resize(usize::try_from(length).unwrap(), 0);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.events.push(DiskEvent::Sync);
        Ok(())
    }
}

struct Deaf;

impl Observer for Deaf {
    fn progress(&mut self, _: u64, _: u64) {}
    fn info(&mut self, _: &str) {}
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/02-ab")
        .join(name)
}

/// Applies a task, and returns the disk with a log of the writes and syncs.
fn after(disk: &Disk, task: &str, is_redundant: bool) -> Disk {
    let mut definitions = Definitions::empty();
    let archive = File::open(fixture("out.fw")).unwrap();
    let mut opened = FirmwareArchive::read(archive, &mut definitions).unwrap();
    if is_redundant {
        opened.firmware.environments[0].options.0.push((
            "block-offset-redund".to_owned(),
            Value::Integer(SECOND_ENV as i64),
        ));
    }
    let mut device = Device::new(disk.clone());
    apply(
        &mut opened.entries,
        &opened.firmware,
        task,
        &mut device,
        &mut Deaf,
    )
    .unwrap();
    device.into_storage()
}

fn forget(mut disk: Disk) -> Disk {
    disk.events.clear();
    disk
}

/// Returns the slots that the loader would try, in order.
fn attempts(disk: &[u8], is_redundant: bool) -> Result<Vec<Slot>, String> {
    let copy = |block: usize| disk[block * BLOCK..][..ENV_BLOCKS * BLOCK].to_vec();
    let (mut first, mut second) = (copy(ENV), Vec::new());
    let opened = if is_redundant {
        second = copy(SECOND_ENV);
        open::redundant::<()>(&first, &second, (Ok(()), Ok(())))
            .map_err(|_| "both copies of the environment are bad".to_owned())?
            .0
    } else {
        open::single(&mut first).map_err(|error| error.to_string())?
    };
    let writer = opened.writer(&mut first, &mut second);
    let env = writer.env();
    let variables = Variables::gather(&env);
    let plan = decide(&variables);
    let slots = plan.attempts.iter().map(|attempt| attempt.slot);
    // Only slots whose variables allow a boot.
    let slots = slots.filter(|slot| SlotContents::read(variables.of(*slot)).is_ok());
    let slots: Vec<_> = slots.collect();
    drop(second);
    Ok(slots)
}

fn is_whole(disk: &[u8], slot: Slot) -> bool {
    let number = match slot {
        Slot::A => 0,
        Slot::B => 1,
    };
    let holds = |block: usize, name: &str| {
        let file = std::fs::read(fixture(name)).unwrap();
        disk[block * BLOCK..][..file.len()] == file
    };
    holds(KERNELS[number], "Image") && holds(ROOTS[number], "rootfs.squashfs")
}

/// Checks that a disk boots in the middle of an upgrade from `running`.
fn check(disk: &[u8], running: Slot, is_redundant: bool) -> Result<(), String> {
    let slots = attempts(disk, is_redundant)?;
    if !is_whole(disk, running) {
        return Err(format!("the running slot {running} is damaged"));
    }
    if !slots.contains(&running) {
        return Err(format!("the running slot {running} is not tried"));
    }
    match slots.first() {
        Some(first) if is_whole(disk, *first) => Ok(()),
        Some(first) => Err(format!("slot {first} is tried first, but is incomplete")),
        None => Err("no slot is tried".to_owned()),
    }
}

/// Checks the states in which an interruption can leave the disk: any of the sectors written since
/// the last sync may have reached it. Tests all prefixes, all suffixes, each sector alone, and all
/// sectors except one. Returns the number of states.
fn explore(
    before: &[u8],
    events: &[DiskEvent],
    check: impl Fn(&[u8]) -> Result<(), String>,
) -> Result<usize, String> {
    let mut safe = before.to_vec();
    let mut states = 0;
    for epoch in events.split(|event| matches!(event, DiskEvent::Sync)) {
        let sectors: Vec<(usize, &[u8])> = epoch
            .iter()
            .flat_map(|event| match event {
                DiskEvent::Write(at, data) => data
                    .chunks(BLOCK)
                    .enumerate()
                    .map(|(number, sector)| (at + number * BLOCK, sector))
                    .collect(),
                DiskEvent::Sync => Vec::new(),
            })
            .collect();
        let count = sectors.len();
        let mut look = |is_there: &dyn Fn(usize) -> bool| {
            let mut disk = safe.clone();
            for (number, (at, sector)) in sectors.iter().enumerate() {
                let end = at + sector.len();
                if disk.len() < end {
                    disk.resize(end, 0);
                }
                if is_there(number) {
                    disk[*at..end].copy_from_slice(sector);
                }
            }
            states += 1;
            check(&disk)
        };
        for cut in 0..=count {
            look(&|number| number < cut)?;
            look(&|number| number >= cut)?;
            look(&|number| number == cut)?;
            look(&|number| number != cut)?;
        }
        for (at, sector) in sectors {
            let end = at + sector.len();
            if safe.len() < end {
                safe.resize(end, 0);
            }
            safe[at..end].copy_from_slice(sector);
        }
    }
    Ok(states)
}

/// Returns an image with an empty slot b and an empty log.
fn installed(is_redundant: bool) -> Disk {
    let disk = forget(after(&Disk::default(), "complete", is_redundant));
    forget(after(&disk, "validate", is_redundant))
}

fn wipe(disk: &mut Disk, slot: usize) {
    for block in [KERNELS[slot], ROOTS[slot]] {
        disk.bytes[block * BLOCK..][..64 * BLOCK].fill(0x55);
    }
}

#[test]
fn an_upgrade_can_be_interrupted_anywhere() {
    for is_redundant in [false, true] {
        let disk = installed(is_redundant);
        let upgraded = after(&disk, "upgrade.b", is_redundant);
        let states = explore(&disk.bytes, &upgraded.events, |disk| {
            check(disk, Slot::A, is_redundant)
        })
        .unwrap();
        assert!(states > 100, "{states}");
        let slots = attempts(&upgraded.bytes, is_redundant).unwrap();
        assert_eq!(slots[..2], [Slot::B, Slot::A]);

        let mut disk = forget(after(&forget(upgraded), "validate", is_redundant));
        wipe(&mut disk, 0);
        let upgraded = after(&disk, "upgrade.a", is_redundant);
        explore(&disk.bytes, &upgraded.events, |disk| {
            check(disk, Slot::B, is_redundant)
        })
        .unwrap();
        let slots = attempts(&upgraded.bytes, is_redundant).unwrap();
        assert_eq!(slots[..2], [Slot::A, Slot::B]);
    }
}

#[test]
fn a_validation_can_be_interrupted_anywhere() {
    for is_redundant in [false, true] {
        let disk = forget(after(&installed(is_redundant), "upgrade.b", is_redundant));
        let validated = after(&disk, "validate", is_redundant);
        explore(&disk.bytes, &validated.events, |disk| {
            check(disk, Slot::A, is_redundant)
        })
        .unwrap();
    }
}

/// Without the syncs, the environment could reach the disk before the slot.
#[test]
fn an_upgrade_without_syncs_does_not_survive_interruptions() {
    let disk = installed(false);
    let events: Vec<_> = after(&disk, "upgrade.b", false)
        .events
        .into_iter()
        .filter(|event| !matches!(event, DiskEvent::Sync))
        .collect();
    let error = explore(&disk.bytes, &events, |disk| check(disk, Slot::A, false)).unwrap_err();
    assert_eq!(error, "slot b is tried first, but is incomplete");
}

/// Returns the variables of the fixture's environment with its second copy.
fn variables(disk: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
    pair(disk, [ENV, SECOND_ENV], ENV_BLOCKS)
}

/// Returns the variables of a redundant pair as the loader reads them. Offsets and sizes are in
/// blocks.
fn pair(
    disk: &[u8],
    places: [usize; 2],
    size: usize,
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
    let copy = |block: usize| disk[block * BLOCK..][..size * BLOCK].to_vec();
    let (mut first, mut second) = (copy(places[0]), copy(places[1]));
    let (opened, _) = open::redundant::<()>(&first, &second, (Ok(()), Ok(())))
        .map_err(|_| "both copies of the environment are bad".to_owned())?;
    let writer = opened.writer(&mut first, &mut second);
    let env = writer.env();
    let owned = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
    Ok(env.iter().map(owned).collect())
}

/// Intermediate states end up in the inactive copy, which must never become active with one of
/// them.
#[test]
fn a_redundant_pair_never_shows_half_of_the_changes() {
    for task in ["upgrade.b", "validate"] {
        let disk = match task {
            "validate" => forget(after(&installed(true), "upgrade.b", true)),
            _ => installed(true),
        };
        let done = after(&disk, task, true);
        let states = [&disk.bytes, &done.bytes].map(|bytes| variables(bytes).unwrap());
        assert_ne!(states[0], states[1]);
        explore(&disk.bytes, &done.events, |disk| {
            let found = variables(disk)?;
            if states.contains(&found) {
                Ok(())
            } else {
                Err(format!("{task}: half of the changes"))
            }
        })
        .unwrap();
    }
}

/// Returns firmware with a task `do` that makes these calls for a small redundant pair.
fn change_pair(calls: &[&[&str]]) -> Firmware {
    let options = [
        ("block-offset", 0),
        ("block-count", 3),
        ("block-offset-redund", 3),
    ];
    let option = |(name, value): (&str, i64)| (name.to_owned(), Value::Integer(value));
    let call = |words: &&[&str]| Call {
        name: words[0].to_owned(),
        arguments: words[1..].iter().map(|word| (*word).to_owned()).collect(),
    };
    Firmware {
        environments: vec![Section {
            kind: "uboot-environment".to_owned(),
            title: "env".to_owned(),
            options: SectionOptions(options.map(option).to_vec()),
            sections: Vec::new(),
        }],
        tasks: vec![Task {
            name: "do".to_owned(),
            on_init: calls.iter().map(call).collect(),
            ..Task::default()
        }],
        ..Firmware::default()
    }
}

/// Applies these calls, and returns the disk with a log of only their writes and syncs.
fn changed(disk: &Disk, calls: &[&[&str]]) -> Disk {
    let mut device = Device::new(forget(disk.clone()));
    let mut archive = Archive::new(&b"PK\x01\x02"[..]);
    apply(
        &mut archive,
        &change_pair(calls),
        "do",
        &mut device,
        &mut Deaf,
    )
    .unwrap();
    device.into_storage()
}

/// With any flags bytes, any number of changes, and with and without clearing first, an
/// interruption leaves the state before all changes or the state after all of them.
#[test]
fn a_redundant_pair_can_be_cleared_and_filled_in_one_step() {
    let long = "x".repeat(700);
    let old = [
        &["uboot_clearenv", "env"][..],
        &["uboot_setenv", "env", "old", &long],
        &["uboot_setenv", "env", "older", "1"],
    ];
    let start = changed(&Disk::default(), &old);
    let mut states = 0;
    for (count, is_cleared, flags, counting) in (0..=4_usize)
        .chain([126, 127, 128, 129, 254, 255, 256, 257, 300])
        .flat_map(|count| [(count, false), (count, true)])
        .flat_map(|(count, is_cleared)| {
            [0_u8, 1, 2, 3, 127, 128, 129, 254, 255]
                .into_iter()
                .flat_map(move |flags| [0, 1].map(|copy| (count, is_cleared, flags, copy)))
        })
    {
        let mut disk = start.clone();
        // At the start, the first copy has all changes, the second one all except the last.
        if counting == 1 {
            disk.bytes[..6 * BLOCK].rotate_left(3 * BLOCK);
        }
        disk.bytes[counting * 3 * BLOCK + 4] = flags;
        disk.bytes[(1 - counting) * 3 * BLOCK + 4] = flags.wrapping_sub(1);
        let values: Vec<_> = (0..count).map(|number| number.to_string()).collect();
        let clear = is_cleared.then_some(&["uboot_clearenv", "env"][..]);
        let sets: Vec<_> = values
            .iter()
            .map(|value| ["uboot_setenv", "env", "new", value])
            .collect();
        let calls: Vec<_> = clear
            .into_iter()
            .chain(sets.iter().map(|words| &words[..]))
            .collect();
        let done = changed(&disk, &calls);
        let [before, after] = [&disk, &done].map(|disk| pair(&disk.bytes, [0, 3], 3).unwrap());
        let case = format!("{count} changes, cleared {is_cleared}, {flags} in copy {counting}");
        let new = after.get(&b"new"[..]).map(Vec::as_slice);
        assert!(before.contains_key(&b"older"[..]), "{case}");
        assert_eq!(new, values.last().map(String::as_bytes), "{case}");
        assert_eq!(after.contains_key(&b"old"[..]), !is_cleared, "{case}");
        states += explore(&disk.bytes, &done.events, |disk| {
            let found = pair(disk, [0, 3], 3)?;
            if found == before || found == after {
                Ok(())
            } else {
                Err(format!("{case}: {found:?}"))
            }
        })
        .unwrap();
        // The final state is the same as after separate tasks.
        let step_by_step = calls
            .iter()
            .fold(disk, |disk, call| changed(&disk, &[*call]));
        assert!(done.bytes == step_by_step.bytes, "{case}");
    }
    assert!(states > 5000, "{states}");
}
