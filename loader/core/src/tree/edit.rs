// SPDX-License-Identifier: MIT OR Apache-2.0

//! Edits the DTB for the kernel: writes properties of `/chosen` in place.
//!
//! Old properties become NOP tokens, the new ones are inserted before all others, and their names
//! after all other strings. So everything after the node's name moves once, and the size of the
//! result is known before anything is changed. All other properties stay unchanged, including
//! `kaslr-seed` and `rng-seed`.
//!
//! Source: Devicetree Specification 0.4, chapter 5 (the flattened format) and 3.6 (`/chosen`).

use core::ops::Range;

use thiserror::Error;

use crate::display::{Decimal, MAX_DIGITS};
use crate::kernel::command_line::CommandLine;
use crate::slots::slot::{Reason, Slot};
use crate::tree::format::{
    NOP, OFF_DT_STRINGS, PROP, PROPERTY_HEADER, SIZE_DT_STRINGS, SIZE_DT_STRUCT, TOTALSIZE, padded,
    put_word, word,
};
use crate::tree::header::MAX_SIZE;
use crate::units::{Bytes, Count, Region};

/// The names of the written properties, with the NUL that ends a name in the strings block.
const NAMES: [&[u8]; 6] = [
    b"bootargs\0",
    b"linux,initrd-start\0",
    b"linux,initrd-end\0",
    b"little-loader,slot\0",
    b"little-loader,reason\0",
    b"little-loader,bootcount\0",
];

/// The indices of the two addresses, which are present only with an initrd; the others are strings.
const INITRD: Range<usize> = 1..3;

/// The size of all names in bytes.
const NAMES_SIZE: usize = {
    let (mut size, mut index) = (0, 0);
    while index < NAMES.len() {
        size += NAMES[index].len();
        index += 1;
    }
    size
};

/// The maximum growth of a DTB in bytes, without the command line: the properties' headers, two
/// addresses, slot and reason (at most 12 bytes each with their padding), the boot count and the
/// names.
const MAX_GROWTH: usize = NAMES.len() * PROPERTY_HEADER
    + 2 * 8
    + 2 * 12
    + (MAX_DIGITS + 1).next_multiple_of(4)
    + NAMES_SIZE;

/// An edited DTB that is larger than Linux accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the device tree has {size} bytes with the command line; Linux takes at most 2 MiB")]
pub struct TreeTooLarge {
    /// The size in bytes.
    pub size: Count,
}

/// Returns the maximum size in bytes of a packed DTB of `size` bytes after [`write_chosen`] with
/// this command line.
///
/// # Errors
///
/// When Linux would not accept a DTB of that size.
pub fn size_after(size: usize, command_line: &CommandLine) -> Result<Bytes, TreeTooLarge> {
    let size = size + MAX_GROWTH + padded(command_line.with_nul().len());
    if size as u64 > MAX_SIZE {
        return Err(TreeTooLarge { size: size.into() });
    }
    Ok(Bytes(size as u64))
}

/// The properties of `/chosen` that the loader writes.
#[derive(Clone, Copy, Debug)]
pub struct ChosenProperties<'a> {
    /// `bootargs`
    pub command_line: &'a CommandLine,
    /// `linux,initrd-start` and `linux,initrd-end`
    pub initrd: Option<Region>,
    /// `little-loader,slot`: `a` or `b`.
    pub slot: Slot,
    /// `little-loader,reason`: [`Reason::name`].
    pub reason: Reason,
    /// `little-loader,bootcount`: the number of boots of the trial, in decimal:
    /// [`Attempt::bootcount`](crate::slots::policy::Attempt::bootcount).
    pub bootcount: u64,
}

/// Writes the properties into `/chosen` and returns the DTB's new size in bytes. All except the
/// initrd's addresses are strings, so that userspace can read them as text under
/// `/proc/device-tree/chosen`.
///
/// `dtb` is a packed DTB from which a [`Machine`](crate::tree::machine::Machine) was read, followed
/// by enough bytes for [`size_after`]; `chosen` is the machine's field.
///
/// # Panics
///
/// When `dtb` is anything else.
pub fn write_chosen(dtb: &mut [u8], chosen: usize, properties: &ChosenProperties<'_>) -> usize {
    let initrd = properties
        .initrd
        .map(|initrd| [initrd.start().0.to_be_bytes(), initrd.end().0.to_be_bytes()]);
    let mut digits = [0; MAX_DIGITS];
    let bootcount = Decimal(properties.bootcount).write(&mut digits);
    let values = [
        Some(properties.command_line.as_bytes()),
        initrd.as_ref().map(|[start, _]| start.as_slice()),
        initrd.as_ref().map(|[_, end]| end.as_slice()),
        Some(properties.slot.name().as_bytes()),
        Some(properties.reason.name().as_bytes()),
        Some(bootcount),
    ];
    let length = |index: usize, value: &[u8]| value.len() + usize::from(!INITRD.contains(&index));

    remove(dtb, chosen, initrd.is_some());
    let growth: usize = values
        .iter()
        .enumerate()
        .filter_map(|(index, value)| Some(PROPERTY_HEADER + padded(length(index, (*value)?))))
        .sum();
    let strings = word(dtb, OFF_DT_STRINGS) as usize;
    let strings_size = word(dtb, SIZE_DT_STRINGS) as usize;
    dtb.copy_within(chosen..strings + strings_size, chosen + growth);

    let (mut at, strings) = (chosen, strings + growth);
    let mut name_at = strings_size;
    for (index, (name, value)) in NAMES.iter().zip(values).enumerate() {
        dtb[strings + name_at..][..name.len()].copy_from_slice(name);
        if let Some(value) = value {
            let length = length(index, value);
            put_word(dtb, at, PROP);
            put_word(dtb, at + 4, length as u32);
            put_word(dtb, at + 8, name_at as u32);
            at += PROPERTY_HEADER;
            let (text, padding) = dtb[at..at + padded(length)].split_at_mut(value.len());
            text.copy_from_slice(value);
            padding.fill(0);
            at += padded(length);
        }
        name_at += name.len();
    }
    let struct_size = word(dtb, SIZE_DT_STRUCT) as usize + growth;
    put_word(dtb, SIZE_DT_STRUCT, struct_size as u32);
    put_word(dtb, OFF_DT_STRINGS, strings as u32);
    put_word(dtb, SIZE_DT_STRINGS, name_at as u32);
    put_word(dtb, TOTALSIZE, (strings + name_at) as u32);
    strings + name_at
}

/// Replaces the properties that will be written with NOP tokens. The addresses of QEMU's initrd
/// stay unless there is another initrd.
fn remove(dtb: &mut [u8], chosen: usize, has_initrd: bool) {
    let strings = word(dtb, OFF_DT_STRINGS) as usize;
    let mut at = chosen;
    loop {
        match word(dtb, at) {
            NOP => at += 4,
            PROP => {
                let end = at + PROPERTY_HEADER + padded(word(dtb, at + 4) as usize);
                let name = dtb.get(strings + word(dtb, at + 8) as usize..);
                let index = NAMES
                    .iter()
                    .position(|known| name.is_some_and(|name| name.starts_with(known)));
                if index.is_some_and(|index| has_initrd || !INITRD.contains(&index)) {
                    for token in dtb[at..end].chunks_exact_mut(4) {
                        token.copy_from_slice(&NOP.to_be_bytes());
                    }
                }
                at = end;
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::{String, ToString};
    use std::sync::LazyLock;
    use std::vec;
    use std::vec::Vec;

    use dtoolkit::fdt::Fdt;
    use dtoolkit::{Node, Property};
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::command_line::MAX_COMMAND_LINE;
    use crate::tree::fdt;
    use crate::tree::header::pack;
    use crate::tree::machine::Machine;
    use crate::units::{Addr, Bytes};

    const VIRT: &[u8] = include_bytes!("../../tests/fixtures/virt.dtb");

    /// The size in bytes that a DTB claims before it is packed. QEMU's claims 1 MiB; less makes the
    /// tests faster.
    const UNPACKED: u32 = 64 << 10;

    static VIRT_WITHOUT_CHOSEN: LazyLock<String> = LazyLock::new(|| without_chosen(VIRT));

    fn properties(command_line: &CommandLine, initrd: Option<Region>) -> ChosenProperties<'_> {
        ChosenProperties {
            command_line,
            initrd,
            slot: Slot::B,
            reason: Reason::Trial,
            bootcount: 2,
        }
    }

    /// Edits a DTB that claims more bytes than it uses, as QEMU's does. Returns the DTB that the
    /// kernel gets.
    fn edited(source: &[u8], properties: &ChosenProperties<'_>) -> Vec<u8> {
        let mut dtb = vec![0xee; UNPACKED as usize];
        dtb[..source.len()].copy_from_slice(source);
        dtb[4..8].copy_from_slice(&UNPACKED.to_be_bytes());
        let packed = pack(&mut dtb);
        let packed_size = packed.len();
        let machine = Machine::read(fdt::Fdt::new(packed).unwrap()).unwrap();
        let room = size_after(packed_size, properties.command_line).unwrap().0 as usize;
        let size = write_chosen(&mut dtb[..room], machine.chosen, properties);
        assert!(size <= room);
        dtb.truncate(size);
        dtb
    }

    /// Returns everything in the tree except `/chosen`, as text.
    fn without_chosen(dtb: &[u8]) -> String {
        let fdt = Fdt::new(dtb).unwrap();
        fdt.root()
            .children()
            .filter(|node| node.name() != "chosen")
            .map(|node| node.to_string())
            .collect()
    }

    #[test]
    fn the_edited_dtb_is_packed_valid_and_otherwise_unchanged() {
        let line = CommandLine::join([b"console=ttyAMA0 root=/dev/vda1", b"quiet", b""]).unwrap();
        let initrd = Region::new(Addr(0x4500_0000), Bytes(0x1234)).unwrap();
        let dtb = edited(VIRT, &properties(&line, Some(initrd)));
        assert!(dtb.len() < VIRT.len() + 300);
        let fdt = Fdt::new(&dtb).unwrap();
        let chosen = fdt.find_node("/chosen").unwrap();
        let value = |name| chosen.property(name).unwrap().value().to_vec();
        assert_eq!(value("bootargs"), b"console=ttyAMA0 root=/dev/vda1 quiet\0");
        assert_eq!(value("linux,initrd-start"), 0x4500_0000_u64.to_be_bytes());
        assert_eq!(value("linux,initrd-end"), 0x4500_1234_u64.to_be_bytes());
        assert_eq!(value("little-loader,slot"), b"b\0");
        assert_eq!(value("little-loader,reason"), b"trial\0");
        assert_eq!(value("little-loader,bootcount"), b"2\0");
        let before = Fdt::new(VIRT).unwrap().find_node("/chosen").unwrap();
        for name in ["kaslr-seed", "rng-seed", "stdout-path"] {
            assert_eq!(value(name), before.property(name).unwrap().value());
        }
        assert_eq!(without_chosen(&dtb), without_chosen(VIRT));
    }

    #[test]
    fn the_boot_count_is_written_in_full() {
        let line = CommandLine::join([b"", b"", b""]).unwrap();
        for bootcount in [0, 9, 10, 12, u64::MAX] {
            let chosen = ChosenProperties {
                bootcount,
                ..properties(&line, None)
            };
            let dtb = edited(VIRT, &chosen);
            let chosen = Fdt::new(&dtb).unwrap().find_node("/chosen").unwrap();
            let property = chosen.property("little-loader,bootcount").unwrap();
            assert_eq!(property.value(), std::format!("{bootcount}\0").as_bytes());
        }
    }

    #[test]
    fn a_property_occurs_once_however_often_it_is_written() {
        let line = CommandLine::join([b"first", b"", b""]).unwrap();
        let initrd = Region::new(Addr(0x4500_0000), Bytes(0x1234)).unwrap();
        let once = edited(VIRT, &properties(&line, Some(initrd)));
        let line = CommandLine::join([b"second", b"", b""]).unwrap();
        let initrd = Region::new(Addr(0x4600_0000), Bytes(1)).unwrap();
        let twice = edited(&once, &properties(&line, Some(initrd)));
        let chosen = Fdt::new(&twice).unwrap().find_node("/chosen").unwrap();
        for name in NAMES {
            let name = str::from_utf8(&name[..name.len() - 1]).unwrap();
            let count = chosen
                .properties()
                .filter(|property| property.name() == name)
                .count();
            assert_eq!(count, 1, "{name}");
        }
        let start = chosen.property("linux,initrd-start").unwrap();
        assert_eq!(start.value(), 0x4600_0000_u64.to_be_bytes());
        // The addresses of an initrd that is not replaced stay.
        let third = edited(&twice, &properties(&line, None));
        let chosen = Fdt::new(&third).unwrap().find_node("/chosen").unwrap();
        let start = chosen.property("linux,initrd-start").unwrap();
        assert_eq!(start.value(), 0x4600_0000_u64.to_be_bytes());
    }

    #[test]
    fn the_size_after_is_enough_for_every_reason() {
        let line = CommandLine::join([&[b'x'; MAX_COMMAND_LINE], b"", b""]).unwrap();
        let initrd = Region::new(Addr(0x4500_0000), Bytes(1));
        for reason in [
            Reason::Active,
            Reason::Trial,
            Reason::Reverted,
            Reason::Fallback,
            Reason::Override,
        ] {
            edited(
                VIRT,
                &ChosenProperties {
                    reason,
                    bootcount: u64::MAX,
                    ..properties(&line, initrd)
                },
            );
        }
        let two_mib = MAX_SIZE as usize;
        assert_eq!(
            size_after(two_mib - 2000, &line),
            Err(TreeTooLarge {
                size: (two_mib - 2000 + MAX_GROWTH + 2048).into()
            })
        );
    }

    proptest! {
        #[test]
        fn any_command_line_gives_a_valid_dtb(
            args in proptest::collection::vec(1_u8.., 0..MAX_COMMAND_LINE),
            initrd: bool,
        ) {
            let line = CommandLine::join([&args, b"", b""]).unwrap();
            let initrd = initrd.then(|| Region::new(Addr(0x4500_0000), Bytes(1)).unwrap());
            let dtb = edited(VIRT, &properties(&line, initrd));
            let fdt = Fdt::new(&dtb).unwrap();
            let chosen = fdt.find_node("/chosen").unwrap();
            let bootargs = chosen.property("bootargs").unwrap();
            prop_assert_eq!(bootargs.value().split_last(), Some((&0, &args[..])));
            prop_assert_eq!(chosen.property("linux,initrd-end").is_some(), initrd.is_some());
            prop_assert_eq!(&without_chosen(&dtb), &*VIRT_WITHOUT_CHOSEN);
        }
    }
}
