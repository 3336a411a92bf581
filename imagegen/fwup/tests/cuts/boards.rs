// SPDX-License-Identifier: MIT OR Apache-2.0

//! Interrupted upgrades of the boards of the fixtures: what the board starts from (a partition
//! table, an environment) always leads to a complete boot volume and a complete root file system.

use fat_volume::{Session, Start, Timestamp};

use super::gpt::{is_protective, table_of};
use super::*;

/// The Raspberry Pi's FAT volumes and roots, a and b, in blocks.
const BOOTS: [usize; 2] = [63, 1087];
const PI_ROOTS: [usize; 2] = [3135, 3167];
/// The files of a boot volume, and the fixture's files if they have them.
const BOOT_FILES: [(&str, &str); 5] = [
    ("kernel8.img", "kernel1.bin"),
    ("config.txt", "config.txt"),
    ("cmdline.txt", ""),
    ("bcm2711-rpi-4-b.dtb", ""),
    ("overlays/dwc2.dtbo", ""),
];
/// The STM32's roots, and the copies of its environment, in blocks.
const STM_ROOTS: [usize; 2] = [354, 482];
const STM_ENV: [usize; 2] = [290, 322];
const STM_DISK: usize = 2048;

/// A change of the archive's `meta.conf` after it was read.
type Edit = fn(&mut Firmware);

fn file(case: &str, name: &str) -> Vec<u8> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::read(fixtures.join(case).join(name)).unwrap()
}

/// Applies a task of a fixture's archive, and returns the disk with a log of only its writes.
fn upgraded(case: &str, disk: &Disk, task: &str, edit: Edit) -> Disk {
    let archive = file(case, "out.fw");
    let mut opened = FirmwareArchive::read(&archive[..], &mut Definitions::empty()).unwrap();
    edit(&mut opened.firmware);
    let mut device = Device::new(forget(disk.clone()));
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

/// Makes the environment redundant, with the second copy right after the first one.
fn add_copy(firmware: &mut Firmware) {
    let second = ("block-offset-redund".to_owned(), Value::Integer(32));
    firmware.environments[0].options.0.push(second);
}

/// Removes the partition tables from the ends of the tasks, so that the environment alone chooses.
fn by_environment(firmware: &mut Firmware) {
    add_copy(firmware);
    for task in &mut firmware.tasks {
        task.on_finish.retain(|call| call.name != "mbr_write");
    }
}

/// Returns the slot that the environment names: 0 or 1.
fn active(variables: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<usize, String> {
    match variables.get(&b"nerves_fw_active"[..]).map(Vec::as_slice) {
        Some(b"a") => Ok(0),
        Some(b"b") => Ok(1),
        other => Err(format!("the active slot is {other:?}")),
    }
}

/// Returns the variables of a single environment.
fn single(disk: &[u8], block: usize, size: usize) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
    let mut bytes = disk[block * BLOCK..][..size * BLOCK].to_vec();
    let opened = open::single(&mut bytes).map_err(|error| error.to_string())?;
    let writer = opened.writer(&mut bytes, &mut []);
    let env = writer.env();
    let owned = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
    Ok(env.iter().map(owned).collect())
}

/// A disk that is only read.
struct Frozen<'a>(&'a [u8]);

impl fat_volume::Storage for Frozen<'_> {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let bytes = self.0.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        panic!("a file is only read")
    }
}

/// Whether the boot volume at this block has all files, with their contents.
fn check_boot(disk: &[u8], block: usize, expected: &[(&str, Vec<u8>)]) -> Result<(), String> {
    let mut session = Session::new(Timestamp::FWUP);
    let start = Start::from_blocks(block as u64).unwrap();
    for (path, contents) in expected {
        let failed = |error: fat_volume::Error| format!("boot volume {block}: {path}: {error}");
        let map = session
            .open(&mut Frozen(disk), start, path)
            .map_err(failed)?;
        let mut found = vec![0; contents.len()];
        let length = map
            .read_at(&mut Frozen(disk), 0, &mut found)
            .map_err(failed)?;
        let is_whole = map.length() as usize == contents.len() && length == contents.len();
        if !is_whole || found != *contents {
            return Err(format!("boot volume {block}: {path} is not complete"));
        }
    }
    Ok(())
}

fn boot_files() -> Vec<(&'static str, Vec<u8>)> {
    let archive = file("08-rpi", "out.fw");
    let mut opened = FirmwareArchive::read(&archive[..], &mut Definitions::empty()).unwrap();
    let mut contents = BTreeMap::new();
    while let Some(header) = opened.entries.next_entry().unwrap() {
        let data = opened.entries.read_all(1 << 20).unwrap();
        contents.insert(header.name.trim_start_matches("data/").to_owned(), data);
    }
    BOOT_FILES
        .map(|(path, name)| {
            let data = contents[path].clone();
            assert!(name.is_empty() || data == file("08-rpi", name));
            (path, data)
        })
        .to_vec()
}

fn entry(disk: &[u8], partition: usize) -> usize {
    let at = 446 + partition * 16 + 8;
    u32::from_le_bytes(disk[at..at + 4].try_into().unwrap()) as usize
}

/// How a Raspberry Pi of these tests chooses its system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// By the partition table; there is one environment.
    Table,
    /// By the partition table; there are two environments.
    TableAndPair,
    /// By a pair of environments.
    Pair,
}

impl Choice {
    fn edit(self) -> Edit {
        match self {
            Self::Table => |_| (),
            Self::TableAndPair => add_copy,
            Self::Pair => by_environment,
        }
    }

    /// Returns the slot that starts.
    fn slot(self, disk: &[u8]) -> Result<usize, String> {
        let variables = match self {
            Self::Table => single(disk, 16, 16)?,
            Self::TableAndPair | Self::Pair => pair(disk, [16, 32], 16)?,
        };
        let active = active(&variables)?;
        if disk[510..512] != [0x55, 0xaa] {
            return Err("no partition table".to_owned());
        }
        let table = match [entry(disk, 0), entry(disk, 1)] {
            starts if starts == [BOOTS[0], PI_ROOTS[0]] => 0,
            starts if starts == [BOOTS[1], PI_ROOTS[1]] => 1,
            starts => return Err(format!("a mixture of the tables: {starts:?}")),
        };
        if self == Self::Pair {
            return Ok(active);
        }
        // The task changes the environment first.
        match (table, active) {
            (1, 0) => Err("the table is new, but the environment is old".to_owned()),
            _ => Ok(table),
        }
    }
}

/// A Pi that runs a, whose slot b has other bytes.
fn pi(choice: Choice) -> Disk {
    let mut disk = forget(upgraded(
        "08-rpi",
        &Disk::default(),
        "complete",
        choice.edit(),
    ));
    // A larger device than the last write needs: nothing grows during the upgrade.
    disk.bytes.resize(disk.bytes.len() + (128 << 10), 0);
    for (block, count) in [(BOOTS[1], 1024), (PI_ROOTS[1], 32)] {
        disk.bytes[block * BLOCK..][..count * BLOCK].fill(0x55);
    }
    disk
}

/// Checks that a Pi starts: from a, which is always complete, or from b if that is complete too.
fn check_pi(disk: &[u8], choice: Choice, files: &[(&str, Vec<u8>)]) -> Result<(), String> {
    let slot = choice.slot(disk)?;
    let root = file("08-rpi", "rootfs.bin");
    let mut slots = vec![0];
    slots.extend((slot == 1).then_some(1));
    for slot in slots {
        check_boot(disk, BOOTS[slot], files)?;
        if !disk[PI_ROOTS[slot] * BLOCK..].starts_with(&root) {
            return Err(format!("root {slot} is not complete"));
        }
    }
    Ok(())
}

#[test]
fn an_upgrade_of_a_boot_volume_can_be_interrupted_anywhere() {
    let files = boot_files();
    for choice in [Choice::Table, Choice::TableAndPair, Choice::Pair] {
        let disk = pi(choice);
        check_pi(&disk.bytes, choice, &files).unwrap();
        assert_eq!(choice.slot(&disk.bytes), Ok(0));
        let after = upgraded("08-rpi", &disk, "upgrade.b", choice.edit());
        assert_eq!(choice.slot(&after.bytes), Ok(1), "{choice:?}");
        let states = explore(&disk.bytes, &after.events, |disk| {
            check_pi(disk, choice, &files)
        })
        .unwrap();
        assert!(states > 200, "{states}");
    }
}

/// Without the syncs, the choice could reach the disk before the boot volume.
#[test]
fn an_upgrade_of_a_boot_volume_needs_the_syncs() {
    let files = boot_files();
    for choice in [Choice::Table, Choice::Pair] {
        let disk = pi(choice);
        let mut events = upgraded("08-rpi", &disk, "upgrade.b", choice.edit()).events;
        events.retain(|event| !matches!(event, DiskEvent::Sync));
        let error = explore(&disk.bytes, &events, |disk| check_pi(disk, choice, &files));
        assert!(error.is_err(), "{choice:?}");
    }
}

/// A GPT's root partition, which is the one with number 4: its first block.
fn root_of(table: &(Vec<u8>, Vec<u8>)) -> usize {
    let start = &table.1[4 * 128 + 32..][..8];
    usize::try_from(u64::from_le_bytes(start.try_into().unwrap())).unwrap()
}

fn check_stm(disk: &[u8], tables: &[(Vec<u8>, Vec<u8>); 2]) -> Result<usize, String> {
    let table = table_of(disk).ok_or("no valid table")?;
    if !is_protective(disk) {
        return Err("no protective master boot record".to_owned());
    }
    if !tables.contains(&table) {
        return Err("a mixture of the tables".to_owned());
    }
    let root = [
        file("10-stm32", "tf-a.bin"),
        file("10-stm32", "rootfs1.bin"),
    ]
    .concat();
    for block in [STM_ROOTS[0], root_of(&table)] {
        if !disk[block * BLOCK..].starts_with(&root) {
            return Err(format!("the root at {block} is not complete"));
        }
    }
    for (block, name) in [(34, "tf-a.bin"), (98, "tf-a.bin"), (162, "fip.bin")] {
        if !disk[block * BLOCK..].starts_with(&file("10-stm32", name)) {
            return Err(format!("{name} at {block} is damaged"));
        }
    }
    let active = active(&pair(disk, STM_ENV, 32)?)?;
    let slot = usize::from(table == tables[1]);
    if active > slot {
        return Err("the environment is new, but the table is old".to_owned());
    }
    Ok(slot)
}

#[test]
fn an_upgrade_that_switches_partitions_can_be_interrupted_anywhere() {
    let empty = Disk {
        bytes: vec![0; STM_DISK * BLOCK],
        events: Vec::new(),
    };
    let mut disk = upgraded("10-stm32", &empty, "complete", |_| ());
    disk.bytes[STM_ROOTS[1] * BLOCK..][..128 * BLOCK].fill(0x55);
    let after = upgraded("10-stm32", &disk, "upgrade.b", |_| ());
    let tables = [&disk, &after].map(|disk| table_of(&disk.bytes).unwrap());
    assert_eq!(tables.each_ref().map(root_of), STM_ROOTS);
    assert_eq!(check_stm(&disk.bytes, &tables), Ok(0));
    assert_eq!(check_stm(&after.bytes, &tables), Ok(1));
    let check = |disk: &[u8]| check_stm(disk, &tables).map(|_| ());
    let states = explore(&disk.bytes, &after.events, check).unwrap();
    assert!(states > 200, "{states}");

    let mut events = after.events;
    events.retain(|event| !matches!(event, DiskEvent::Sync));
    assert!(explore(&disk.bytes, &events, check).is_err());
}
