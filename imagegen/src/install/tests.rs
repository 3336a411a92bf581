// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use fwup::destination::Storage;
use little_loader_core::env::open;
use little_loader_core::env::place::EnvPlace;
use little_loader_core::slots::policy::decide;
use little_loader_core::slots::slot::Slot;
use little_loader_core::slots::variables::{SlotContents, Variables as LoaderVariables};
use little_loader_core::units::Lba;

use super::*;
use crate::disk::DiskBuilder;
use crate::env_file::{DEFAULT_PLACE, EnvFile};
use crate::image::Image;
use crate::layout::{Layout, Sizes};
use crate::overlay::OverlayBuilder;
use crate::size::Size;

/// A write, or a sync.
#[derive(Clone)]
enum Event {
    Write(usize, Vec<u8>),
    Sync,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    events: Vec<Event>,
}

/// A disk in memory with a log of its writes and syncs.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<State>>);

impl Memory {
    fn new(bytes: &[u8]) -> Self {
        let bytes = bytes.to_vec();
        let events = Vec::new();
        Self(Arc::new(Mutex::new(State { bytes, events })))
    }

    fn env(&self, place: EnvPlace) -> EnvFile {
        EnvFile::of(Image::from_storage(self.clone(), Path::new("disk")), place).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().bytes.clone()
    }
}

impl Storage for Memory {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let state = self.0.lock().unwrap();
        let start = (offset as usize).min(state.bytes.len());
        let length = out.len().min(state.bytes.len() - start);
        out[..length].copy_from_slice(&state.bytes[start..][..length]);
        Ok(length)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.bytes[offset as usize..][..data.len()].copy_from_slice(data);
        state
            .events
            .push(Event::Write(offset as usize, data.to_vec()));
        Ok(())
    }

    fn length(&self) -> u64 {
        self.0.lock().unwrap().bytes.len() as u64
    }

    fn grows(&self) -> bool {
        false
    }

    fn grow(&mut self, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().events.push(Event::Sync);
        Ok(())
    }
}

/// A raw Image of 60,000 bytes.
fn kernel(fill: u8) -> Vec<u8> {
    let mut kernel = vec![fill; 60_000];
    kernel[..64].fill(0);
    kernel[16..24].copy_from_slice(&60_000_u64.to_le_bytes());
    kernel[24] = 0b1010;
    kernel[56..60].copy_from_slice(b"ARM\x64");
    kernel
}

/// A squashfs of 30,000 bytes, as far as its superblock tells.
fn rootfs(fill: u8) -> Vec<u8> {
    let mut bytes = vec![fill; 30_000];
    bytes[..4].copy_from_slice(crate::rootfs::MAGIC);
    bytes[40..48].copy_from_slice(&30_000_u64.to_le_bytes());
    bytes
}

fn place(is_redundant: bool) -> EnvPlace {
    EnvPlace {
        redundant_lba: is_redundant.then_some(Lba(272)),
        ..DEFAULT_PLACE
    }
}

fn layout(is_redundant: bool) -> Layout {
    Layout::new(&Sizes {
        env_redundant_lba: is_redundant.then_some(272),
        kernel: Size(128 << 10),
        rootfs: Size(64 << 10),
        data: Size(64 << 10),
        ..Sizes::default()
    })
    .unwrap()
}

/// Returns an image with these slots, whose parts are filled with a byte. The first is active.
fn disk(
    is_redundant: bool,
    slots: &[(Slot, u8)],
    change: impl FnOnce(DiskBuilder<'_>) -> DiskBuilder<'_>,
) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.img");
    let parts: Vec<_> = slots
        .iter()
        .map(|(slot, fill)| (*slot, kernel(*fill), rootfs(*fill)))
        .collect();
    let mut builder = DiskBuilder::new(layout(is_redundant))
        .active(slots[0].0)
        .variable("serial", "LL00000007");
    for (slot, kernel, rootfs) in &parts {
        builder = builder.kernel(*slot, kernel).rootfs(*slot, rootfs);
    }
    change(builder).write_to(&path, |_, _| {}).unwrap();
    fs::read(path).unwrap()
}

/// Returns the image of a guest that runs slot a and has an older slot b.
fn guest(is_redundant: bool) -> Vec<u8> {
    guest_with(is_redundant, |builder| builder)
}

fn guest_with(
    is_redundant: bool,
    change: impl FnOnce(DiskBuilder<'_>) -> DiskBuilder<'_>,
) -> Vec<u8> {
    disk(is_redundant, &[(Slot::A, 0x11), (Slot::B, 0x44)], change)
}

/// Returns a new image with an initrd, in slot a.
fn update(is_redundant: bool) -> Vec<u8> {
    disk(is_redundant, &[(Slot::A, 0x22)], |builder| {
        builder
            .initrd(Slot::A, &[0x33; 9000])
            .variable("a.nerves_fw_version", "2.0")
            .variable("serial", "template")
    })
}

/// Returns the slots that the loader would try, each once.
fn attempts(disk: &[u8], place: EnvPlace) -> Result<Vec<Slot>, String> {
    let size = place.size.0 as usize;
    let copy = |lba: Lba| disk[lba.0 as usize * 512..][..size].to_vec();
    let (mut first, mut second) = (copy(place.lba), Vec::new());
    let opened = match place.redundant_lba {
        Some(lba) => {
            second = copy(lba);
            open::redundant::<()>(&first, &second, (Ok(()), Ok(())))
                .map_err(|_| "both copies of the environment are bad".to_owned())?
                .0
        }
        None => open::single(&mut first).map_err(|error| error.to_string())?,
    };
    let writer = opened.writer(&mut first, &mut second);
    let env = writer.env();
    let variables = LoaderVariables::gather(&env);
    let slots = decide(&variables).attempts;
    let mut slots: Vec<_> = slots
        .iter()
        .map(|attempt| attempt.slot)
        .filter(|slot| SlotContents::read(variables.of(*slot)).is_ok())
        .collect();
    slots.truncate(2);
    Ok(slots)
}

fn is_whole(disk: &[u8], slot: Slot, is_redundant: bool, fill: u8) -> bool {
    let layout = layout(is_redundant);
    let holds = |lba: u64, part: &[u8]| disk[lba as usize * 512..].starts_with(part);
    holds(layout.kernel(slot).start, &kernel(fill))
        && holds(layout.rootfs(slot).start, &rootfs(fill))
}

/// Checks that a guest with slot a boots in the middle of an update of slot b.
fn check(disk: &[u8], is_redundant: bool) -> Result<(), String> {
    let slots = attempts(disk, place(is_redundant))?;
    if !is_whole(disk, Slot::A, is_redundant, 0x11) {
        return Err("slot a is damaged".to_owned());
    }
    match slots.first() {
        Some(Slot::A) => {}
        Some(Slot::B) if is_whole(disk, Slot::B, is_redundant, 0x22) => {}
        first => return Err(format!("{first:?} is tried first")),
    }
    let is_b_whole = [0x22, 0x44].map(|fill| is_whole(disk, Slot::B, is_redundant, fill));
    if slots.contains(&Slot::B) && is_b_whole == [false; 2] {
        return Err("slot b is tried, but is incomplete".to_owned());
    }
    match slots.contains(&Slot::A) {
        true => Ok(()),
        false => Err("slot a is not tried".to_owned()),
    }
}

/// Checks the states in which an interruption can leave a disk. If `tears`, any of the sectors
/// written since the last sync may be there: all prefixes, all suffixes, one sector alone, all
/// except one. Otherwise, writes are there in order and completely. Returns the number of states.
fn explore(
    before: &[u8],
    events: &[Event],
    tears: bool,
    check: impl Fn(&[u8]) -> Result<(), String>,
) -> Result<usize, String> {
    let mut safe = before.to_vec();
    let mut states = 0;
    for epoch in events.split(|event| matches!(event, Event::Sync)) {
        let mut pieces: Vec<(usize, &[u8])> = Vec::new();
        for event in epoch {
            if let Event::Write(at, data) = event {
                let step = if tears { 512 } else { data.len() };
                pieces.extend((*at..).step_by(step).zip(data.chunks(step)));
            }
        }
        let mut look = |is_there: &dyn Fn(usize) -> bool| {
            let mut disk = safe.clone();
            for (number, (at, piece)) in pieces.iter().enumerate() {
                if is_there(number) {
                    disk[*at..][..piece.len()].copy_from_slice(piece);
                }
            }
            states += 1;
            check(&disk)
        };
        for cut in 0..=pieces.len() {
            look(&|number| number < cut)?;
            if tears {
                look(&|number| number >= cut)?;
                look(&|number| number == cut)?;
                look(&|number| number != cut)?;
            }
        }
        for (at, piece) in pieces {
            safe[at..][..piece.len()].copy_from_slice(piece);
        }
    }
    Ok(states)
}

/// Installs the update into a disk in memory.
fn installed(disk: &[u8], is_redundant: bool) -> (Memory, Installed) {
    let place = place(is_redundant);
    let (memory, new) = (Memory::new(disk), Memory::new(&update(is_redundant)));
    let installed = Update::new()
        .install(&mut new.env(place), &mut memory.env(place))
        .unwrap();
    assert!(new.0.lock().unwrap().events.is_empty());
    (memory, installed)
}

#[test]
fn the_new_slot_is_complete_and_on_trial_and_the_guest_keeps_its_variables() {
    for is_redundant in [false, true] {
        let before = guest(is_redundant);
        let (memory, installed) = installed(&before, is_redundant);
        let bytes = memory.bytes();
        assert_eq!((installed.from, installed.slot), (Slot::A, Slot::B));
        assert!(is_whole(&bytes, Slot::A, is_redundant, 0x11));
        assert!(is_whole(&bytes, Slot::B, is_redundant, 0x22));
        assert_eq!(
            attempts(&bytes, place(is_redundant)),
            Ok(vec![Slot::B, Slot::A])
        );
        let variables = memory.env(place(is_redundant)).variables();
        let value = |name: &str| {
            variables
                .get(name)
                .map(|value| String::from_utf8_lossy(value))
        };
        for (name, expected) in [
            ("serial", "LL00000007"),
            ("nerves_fw_active", "b"),
            ("upgrade_available", "1"),
            ("bootcount", "0"),
            ("b.nerves_fw_version", "2.0"),
            ("b.nerves_fw_platform", "qemu_aarch64"),
            ("b.initrd_size", "9000"),
        ] {
            assert_eq!(value(name).as_deref(), Some(expected), "{name}");
        }
        let args = value("b.kernel_args").unwrap();
        assert!(args.starts_with("root=/dev/vda2 console="), "{args}");
        let initrd: usize = value("b.initrd_lba").unwrap().parse().unwrap();
        assert!(bytes[initrd * 512..].starts_with(&[0x33; 9000]));
        // The other parts of the disk are unchanged.
        let data = layout(is_redundant).data.start as usize * 512;
        assert!(bytes[data..] == before[data..]);
    }
}

#[test]
fn an_update_can_be_interrupted_anywhere() {
    for (is_redundant, tears) in [(false, false), (true, false), (true, true)] {
        let before = guest(is_redundant);
        let (memory, _) = installed(&before, is_redundant);
        let events = memory.0.lock().unwrap().events.clone();
        let states = explore(&before, &events, tears, |disk| check(disk, is_redundant)).unwrap();
        assert!(states > if tears { 500 } else { 5 }, "{states}");
    }
}

/// Without the syncs, the variables could reach the disk before the slot.
#[test]
fn an_update_without_syncs_does_not_survive_interruptions() {
    let before = guest(true);
    let (memory, _) = installed(&before, true);
    let mut events = memory.0.lock().unwrap().events.clone();
    events.retain(|event| matches!(event, Event::Write(..)));
    let error = explore(&before, &events, true, |disk| check(disk, true)).unwrap_err();
    assert!(error.contains("is tried"), "{error}");
}

#[test]
fn what_is_there_already_is_not_written() {
    let (first, installed_first) = installed(&guest(false), false);
    assert!(installed_first.written > 90_000);
    let mut env = first.env(DEFAULT_PLACE);
    let mut variables = env.variables();
    crate::slots::revert(&mut variables).unwrap();
    env.store(&variables).unwrap();
    let (_, again) = installed(&first.bytes(), false);
    assert_eq!((again.written, again.bytes), (0, installed_first.bytes));
}

#[test]
fn what_cannot_be_installed_is_refused_and_nothing_is_written() {
    let refused = |guest: &[u8], new: &[u8], update: Update| {
        let memory = Memory::new(guest);
        let result = update.install(
            &mut Memory::new(new).env(DEFAULT_PLACE),
            &mut memory.env(DEFAULT_PLACE),
        );
        assert!(memory.0.lock().unwrap().events.is_empty());
        result.unwrap_err().to_string()
    };
    let (image, new) = (guest(false), update(false));
    assert_eq!(
        refused(&image, &new, Update::new().slot(Slot::A)),
        "slot a is active: an update is installed into the other slot"
    );
    let error = refused(&image, &new, Update::new().from_slot(Slot::B));
    assert!(
        error.contains("slot b of disk has an invalid kernel at block 528"),
        "{error}"
    );
    let trial = installed(&image, false).0.bytes();
    let error = refused(&trial, &new, Update::new());
    assert!(
        error.contains("slot b is on trial, and the other slot is its fallback"),
        "{error}"
    );

    let with = |name: &str, value: &str| guest_with(false, |builder| builder.variable(name, value));
    for (name, value, expected) in [
        (
            "b.kernel_lba",
            "300",
            "b.kernel_lba is 300, which is inside the kernel of slot a",
        ),
        (
            "b.kernel_lba",
            "17",
            "b.kernel_lba is 17, which is inside the environment",
        ),
        (
            "b.kernel_lba",
            "x",
            "slot b of disk: kernel_lba is \"x\", not a decimal number",
        ),
        (
            "b.kernel_lba",
            "780",
            "the kernel needs 60416 bytes, but slot b of disk has room for 2048",
        ),
        (
            "b.kernel_args",
            "root=/dev/vda1",
            "partition 1 is the root file system of both slots",
        ),
        (
            "b.kernel_args",
            "root=/dev/vda4",
            "disk has no partition 4 for the root file system of slot b",
        ),
        ("nerves_fw_active", "x", "disk has no active slot"),
    ] {
        let error = refused(&with(name, value), &new, Update::new());
        assert!(error.contains(expected), "{name}={value}: {error}");
    }
    let start = layout(false).kernel(Slot::A).start as usize * 512;
    let error = refused(&image, &new[..start + 8192], Update::new());
    let expected = "the kernel of slot a of disk has the blocks 272 to 390, but the image ends";
    assert!(error.contains(expected), "{error}");
}

/// Without a platform in the active slot, one in the other slot would bar the active one, so that a
/// trial could not be reverted.
#[test]
fn a_failed_trial_returns_to_a_slot_without_platform() {
    let before = guest_with(false, |builder| {
        builder.without_variable("a.nerves_fw_platform")
    });
    let (memory, _) = installed(&before, false);
    assert_eq!(
        attempts(&memory.bytes(), DEFAULT_PLACE),
        Ok(vec![Slot::B, Slot::A])
    );
}

#[test]
fn an_overlay_gets_the_update_and_stays_small() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let before = guest(false);
    fs::write(at("base.img"), &before).unwrap();
    fs::write(at("new.img"), update(false)).unwrap();
    OverlayBuilder::new(&at("base.img"))
        .unwrap()
        .create(&at("one.qcow2"))
        .unwrap();
    let mut new = EnvFile::open(&at("new.img"), DEFAULT_PLACE, false).unwrap();
    let mut guest = EnvFile::open(&at("one.qcow2"), DEFAULT_PLACE, true).unwrap();
    Update::new().install(&mut new, &mut guest).unwrap();
    drop(guest);
    let mut image = Image::open(&at("one.qcow2"), false).unwrap();
    let mut bytes = vec![0; image.length() as usize];
    image.read_exact_at(0, &mut bytes).unwrap();
    assert!(bytes == installed(&before, false).0.bytes());
    assert!(fs::read(at("base.img")).unwrap() == before);
    assert!(fs::metadata(at("one.qcow2")).unwrap().len() < 1 << 20);
}

/// A process that ends after a write leaves an overlay that a new one opens: its file is looked at
/// after each write and each sync.
#[test]
fn an_update_of_an_overlay_can_be_interrupted_anywhere() {
    /// An overlay whose file is copied after each operation.
    struct Copied {
        image: Image,
        copies: Arc<Mutex<Vec<Vec<u8>>>>,
    }

    impl Copied {
        fn copied(&mut self) -> io::Result<()> {
            let bytes = fs::read(self.image.path())?;
            self.copies.lock().unwrap().push(bytes);
            Ok(())
        }
    }

    impl Storage for Copied {
        fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
            self.image.read_at(offset, out)
        }

        fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.image.write_at(offset, data)?;
            self.copied()
        }

        fn length(&self) -> u64 {
            self.image.length()
        }

        fn grows(&self) -> bool {
            false
        }

        fn grow(&mut self, length: u64) -> io::Result<()> {
            self.image.grow(length)
        }

        fn sync(&mut self) -> io::Result<()> {
            self.image.sync()?;
            self.copied()
        }
    }

    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("base.img"), guest(false)).unwrap();
    OverlayBuilder::new(&at("base.img"))
        .unwrap()
        .create(&at("one.qcow2"))
        .unwrap();
    let copies = Arc::default();
    let image = Image::open(&at("one.qcow2"), true).unwrap();
    let copied = Copied {
        image,
        copies: Arc::clone(&copies),
    };
    let image = Image::from_storage(copied, &at("one.qcow2"));
    let mut guest = EnvFile::of(image, DEFAULT_PLACE).unwrap();
    let new = Memory::new(&update(false));
    Update::new()
        .install(&mut new.env(DEFAULT_PLACE), &mut guest)
        .unwrap();
    drop(guest);
    let copies = copies.lock().unwrap();
    assert!(copies.len() > 6, "{}", copies.len());
    for (number, copy) in copies.iter().enumerate() {
        fs::write(at("copy.qcow2"), copy).unwrap();
        let mut image = Image::open(&at("copy.qcow2"), true).unwrap();
        let mut bytes = vec![0; image.length() as usize];
        image.read_exact_at(0, &mut bytes).unwrap();
        check(&bytes, false).unwrap_or_else(|error| panic!("copy {number}: {error}"));
    }
}
