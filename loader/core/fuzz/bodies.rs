// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bodies of the fuzz targets, called by the fuzzer and by the test `fuzz`, which does not need
//! a nightly compiler.

use std::collections::BTreeMap;
use std::convert::Infallible;

use little_loader_core::env::block::{Env, Format, seal};
use little_loader_core::env::changes::Changes;
use little_loader_core::env::open;
use little_loader_core::env::place::EnvCopy;
use little_loader_core::env::size_hint::SizeHint;
use little_loader_core::env::writer::{SECTOR, Storage, Writer};
use little_loader_core::kernel::command_line::CommandLine;
use little_loader_core::kernel::image::{ImageHeader, PROBE_SIZE};
use little_loader_core::overrides::{self as values, Files, MAX_VALUE};
use little_loader_core::settings::{ENCODED_SIZE, Settings};
use little_loader_core::slots::policy::decide;
use little_loader_core::slots::slot::{Reason, Slot};
use little_loader_core::slots::variables::{SlotContents, Variables};
use little_loader_core::tree::edit::{ChosenProperties, size_after, write_chosen};
use little_loader_core::tree::fdt::Fdt;
use little_loader_core::tree::gic::Gic;
use little_loader_core::tree::header::{pack, total_size};
use little_loader_core::tree::machine::Machine;
use little_loader_core::tree::power_pin::GpioPowerOff;
use little_loader_core::units::{Addr, Bytes, Region};

/// The largest copy of an environment in bytes.
const MOST: usize = 8 << 10;

/// The variables of an environment; the last entry of a name is used.
type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn model(env: &Env<'_>) -> Model {
    let owned = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
    env.iter().map(owned).collect()
}

/// The copies of an environment on a disk.
struct Disk([Vec<u8>; 2]);

impl Storage for Disk {
    type Error = Infallible;

    fn write(&mut self, copy: EnvCopy, first: usize, bytes: &[u8]) -> Result<(), Infallible> {
        self.0[copy as usize][first * SECTOR..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Opens bytes as an environment, with the first byte as options, and records each planned change
/// that fits. Then the disk must match memory, the changed variables must have their new values,
/// and all others must be unchanged.
pub(crate) fn environment(bytes: &[u8]) {
    let Some((options, bytes)) = bytes.split_first() else {
        return;
    };
    let bytes = &bytes[..bytes.len().min(2 * MOST)];
    let _ = SizeHint::find(bytes);
    let (is_pair, is_sealed) = (options & 1 != 0, options & 2 != 0);
    let (format, end_of_first) = if is_pair {
        (Format::Redundant, bytes.len() / 2)
    } else {
        (Format::Single, bytes.len())
    };
    let (first, second) = bytes.split_at(end_of_first);
    let copies = [first, second].map(|copy| {
        let mut block = copy.to_vec();
        block.resize(bytes.len().next_multiple_of(SECTOR).max(SECTOR), 0xff);
        if is_sealed {
            seal(&mut block, format);
        }
        block
    });
    let [mut first, mut second] = copies.clone();
    let opened = if is_pair {
        let read = (Ok::<_, Infallible>(()), Ok(()));
        let opened = open::redundant(&first, &second, read);
        opened.map(|(opened, _)| opened).ok()
    } else {
        open::single(&mut first).ok()
    };
    let Some(opened) = opened else {
        return;
    };
    let (plan, before) = {
        let writer = opened.writer(&mut first, &mut second);
        let variables = Variables::gather(&writer.env());
        for slot in [&variables.a, &variables.b] {
            let _ = SlotContents::read(slot);
        }
        (decide(&variables), model(&writer.env()))
    };
    for changes in plan.attempts.iter().filter_map(|attempt| attempt.changes) {
        let (mut first, mut second) = (first.clone(), second.clone());
        let mut writer = opened.writer(&mut first, &mut second);
        record(&mut writer, &changes, Disk(copies.clone()), format, &before);
    }
}

fn record(
    writer: &mut Writer<'_>,
    changes: &Changes,
    mut disk: Disk,
    format: Format,
    before: &Model,
) {
    if writer.record(changes, &mut disk).is_err() {
        return;
    }
    let written = &disk.0[writer.current() as usize];
    let env = Env::parse(written, format).expect("what was written is valid");
    let after = model(&env);
    assert_eq!(after, model(&writer.env()));
    let mut expected = before.clone();
    for (known, value) in changes.iter() {
        let name = known.name().as_bytes().to_vec();
        // A missing variable means 0.
        if value != b'0' || before.contains_key(&name) {
            expected.insert(name, vec![value]);
        }
    }
    assert_eq!(after, expected);
}

/// Reads bytes as a DTB. If that succeeds, writes `/chosen`; the new tree must be valid and have
/// the command line and the initrd.
pub(crate) fn device_tree(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    let Some(header) = bytes.first_chunk() else {
        return;
    };
    let Ok(size) = total_size(header, Addr(0)) else {
        return;
    };
    bytes.resize(size, 0);
    let mut dtb = pack(&mut bytes).to_vec();
    let Ok(fdt) = Fdt::new(&dtb) else {
        return;
    };
    let _ = GpioPowerOff::find(fdt);
    let _ = Gic::find(fdt);
    let Ok(machine) = Machine::read(fdt) else {
        return;
    };
    let append = &dtb[machine.bootargs.clone()];
    let Ok(command_line) = CommandLine::join([b"console=ttyAMA0", append, b""]) else {
        return;
    };
    let Ok(size) = size_after(dtb.len(), &command_line) else {
        return;
    };
    let properties = ChosenProperties {
        command_line: &command_line,
        initrd: Region::new(Addr(0x4500_0000), Bytes(1)),
        slot: Slot::B,
        reason: Reason::Trial,
        bootcount: u64::MAX,
    };
    dtb.resize(size.0 as usize, 0xee);
    let size = write_chosen(&mut dtb, machine.chosen, &properties);
    let fdt = Fdt::new(&dtb[..size]).expect("what was written is valid");
    let machine = Machine::read(fdt).expect("what was written can be read");
    assert_eq!(&dtb[machine.bootargs], command_line.as_bytes());
    assert_eq!(machine.initrd, properties.initrd);
}

/// Parses bytes as the start of a kernel. If that succeeds, checks the header's invariants.
pub(crate) fn image(bytes: &[u8]) {
    let Ok(header) = ImageHeader::parse(bytes) else {
        return;
    };
    let length = header.bytes_to_read();
    assert!(length.0 > 0 && length <= header.image_size);
    assert!(header.text_offset.0.is_multiple_of(4096));
    assert!(header.file_size.is_none_or(|size| size == length));
    let start = &bytes[..bytes.len().min(PROBE_SIZE)];
    ImageHeader::parse(start).expect("the first page has the whole header");
}

/// Parses bytes as fw_cfg's file directory, and as the value of each override.
pub(crate) fn overrides(bytes: &[u8]) {
    if let Ok(files) = Files::find(bytes) {
        for file in [files.slot, files.append, files.env_lba, files.quiet]
            .into_iter()
            .flatten()
        {
            assert!(file.size as usize <= MAX_VALUE);
        }
    }
    if let Ok(slot) = values::slot(bytes) {
        assert!(bytes.starts_with(slot.name().as_bytes()));
    }
    if let Ok(quiet) = values::quiet(bytes) {
        assert!(bytes.starts_with(if quiet { b"1" } else { b"0" }));
    }
    if let Ok(append) = values::append(bytes) {
        assert!(bytes.starts_with(append) && !append.contains(&0));
    }
    if let Ok(lba) = values::env_lba(bytes) {
        let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0, |lba, digit| 10 * lba + u64::from(digit - b'0'));
        assert_eq!(number, lba.0);
    }
}

/// Decodes bytes as the settings in the loader's ELF. If that succeeds, the settings must encode to
/// the same bytes.
pub(crate) fn settings(bytes: &[u8]) {
    let Some(encoded) = bytes.first_chunk::<ENCODED_SIZE>() else {
        return;
    };
    if let Ok(settings) = Settings::decode(encoded) {
        settings
            .check()
            .expect("settings that were read are checked");
        assert_eq!(&settings.encode(), encoded);
    }
}
