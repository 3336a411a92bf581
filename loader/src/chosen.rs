// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the kernel is told: the edits of the DTB's `/chosen` node, in place.
//!
//! QEMU hands over a DTB of 1 MiB with about 8 KiB used. It is packed to what is used plus the edits, since the kernel
//! reserves all of it. Everything else stays as it is, `kaslr-seed` and `rng-seed` included.

use dtoolkit::ToPropertyValue;
use dtoolkit::error::FdtMutError;
use dtoolkit::fdt_mut::{FdtBuffer, FdtMut, FdtNodeMut};
use thiserror::Error;

use crate::dtb::HEADER_SIZE;
use crate::slot::{Reason, Slot};
use crate::units::Region;

/// The longest command line in bytes, without its NUL: `COMMAND_LINE_SIZE` of arm64 is 2048 with it
/// (Linux, `arch/arm64/include/uapi/asm/setup.h`).
pub const MAX_COMMAND_LINE: usize = 2047;

/// Why the DTB cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChosenError {
    /// The command line is too long for Linux.
    #[error(
        "the command line has {length} bytes; Linux takes at most 2047: shorten kernel_args or -append"
    )]
    CommandLine {
        /// Its length in bytes, without the NUL.
        length: usize,
    },
    /// There is no `/chosen`.
    #[error("the device tree has no /chosen node to put the command line into")]
    NoChosen,
    /// The DTB has too little slack.
    #[error(
        "the device tree has no room for the command line of {length} bytes: {error}; make the DTB larger (dtc -p)"
    )]
    Slack {
        /// The command line's length in bytes.
        length: usize,
        /// What the edit asked for.
        error: FdtMutError,
    },
}

/// The command line of the kernel.
#[derive(Debug)]
pub struct CommandLine {
    bytes: [u8; MAX_COMMAND_LINE + 1],
    length: usize,
}

impl CommandLine {
    /// Joins the slot's arguments, those of `-append` and those of an override, with a space between those that are not
    /// empty.
    ///
    /// # Errors
    ///
    /// When they are longer than [`MAX_COMMAND_LINE`] together.
    pub fn join(parts: [&[u8]; 3]) -> Result<Self, ChosenError> {
        let parts = parts.iter().filter(|part| !part.is_empty());
        let length = parts.clone().map(|part| part.len() + 1).sum::<usize>();
        let length = length.saturating_sub(1);
        if length > MAX_COMMAND_LINE {
            return Err(ChosenError::CommandLine { length });
        }
        let mut line = Self {
            bytes: [0; MAX_COMMAND_LINE + 1],
            length,
        };
        let mut at = 0;
        for part in parts {
            line.bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
            if at < length {
                line.bytes[at] = b' ';
                at += 1;
            }
        }
        Ok(line)
    }

    /// The text, without a NUL.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The text with the NUL that ends a string property.
    fn with_nul(&self) -> &[u8] {
        &self.bytes[..=self.length]
    }
}

/// Packs the DTB: its size becomes what its blocks use. What follows is slack for [`edit`].
///
/// `dtb` must have been checked by [`Fdt::new`](dtoolkit::fdt::Fdt::new), which makes sure that the strings lie last.
pub fn pack(dtb: &mut [u8]) {
    let word = |offset: usize| u32::from_be_bytes(core::array::from_fn(|byte| dtb[offset + byte]));
    if dtb.len() < HEADER_SIZE {
        return;
    }
    // off_dt_strings + size_dt_strings
    let used = word(12).saturating_add(word(32));
    dtb[4..8].copy_from_slice(&used.to_be_bytes());
}

/// What the kernel is told.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// `bootargs`
    pub command_line: &'a CommandLine,
    /// `linux,initrd-start` and `linux,initrd-end`
    pub initrd: Option<Region>,
    /// `little-loader,slot`: `a` or `b`.
    pub slot: Slot,
    /// `little-loader,reason`: [`Reason::name`].
    pub reason: Reason,
    /// `little-loader,bootcount`: how many boots of a trial there were with this one, in decimal; `0` outside of a trial.
    pub bootcount: u64,
}

/// Writes what the kernel is told into `/chosen` and returns the DTB's new size in bytes. All but the initrd's addresses
/// are strings, so that userspace reads them as text under `/proc/device-tree/chosen`.
///
/// `dtb` is a checked DTB with all the slack behind it; it becomes packed.
///
/// # Errors
///
/// When there is no `/chosen`, or the slack is too small. The DTB is still valid then.
pub fn edit(dtb: &mut [u8], told: &Told<'_>) -> Result<usize, ChosenError> {
    pack(dtb);
    let mut fdt = FdtMut::from_slice_unchecked(dtb);
    let slack = |error| ChosenError::Slack {
        length: told.command_line.as_bytes().len(),
        error,
    };
    let mut chosen = fdt.find_node_mut("/chosen").ok_or(ChosenError::NoChosen)?;
    set(&mut chosen, "bootargs", told.command_line.with_nul()).map_err(slack)?;
    if let Some(initrd) = told.initrd {
        set(&mut chosen, "linux,initrd-start", initrd.start.0).map_err(slack)?;
        set(&mut chosen, "linux,initrd-end", initrd.end.0).map_err(slack)?;
    }
    set(&mut chosen, "little-loader,slot", told.slot.name()).map_err(slack)?;
    set(&mut chosen, "little-loader,reason", told.reason.name()).map_err(slack)?;
    let bootcount = [b'0' + (told.bootcount.min(9) as u8), 0];
    set(&mut chosen, "little-loader,bootcount", bootcount).map_err(slack)?;
    Ok(fdt.as_read_only().data().len())
}

fn set<B: FdtBuffer>(
    node: &mut FdtNodeMut<'_, B>,
    name: &str,
    value: impl ToPropertyValue,
) -> Result<(), FdtMutError> {
    if let Some(mut property) = node.property_mut(name) {
        property.set_value(value)
    } else {
        node.add_property(name, value).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::{String, ToString};
    use std::vec;
    use std::vec::Vec;

    use dtoolkit::fdt::Fdt;
    use dtoolkit::{Node, Property};
    use proptest::prelude::*;

    use super::*;
    use crate::units::{Addr, Bytes};

    const VIRT: &[u8] = include_bytes!("../tests/fixtures/virt.dtb");

    fn told(command_line: &CommandLine, initrd: Option<Region>) -> Told<'_> {
        Told {
            command_line,
            initrd,
            slot: Slot::B,
            reason: Reason::Trial,
            bootcount: 2,
        }
    }

    /// The DTB as QEMU leaves it: `size` bytes, the rest of it slack.
    fn with_slack(size: usize) -> Vec<u8> {
        let mut dtb = vec![0; size];
        dtb[..VIRT.len()].copy_from_slice(VIRT);
        dtb[4..8].copy_from_slice(&u32::try_from(size).unwrap().to_be_bytes());
        dtb
    }

    /// Everything in the tree but `/chosen`, as text.
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
        let mut dtb = with_slack(1 << 20);
        Fdt::new(&dtb).unwrap();
        let line = CommandLine::join([b"console=ttyAMA0 root=/dev/vda1", b"quiet", b""]).unwrap();
        let initrd = Region::new(Addr(0x4500_0000), Bytes(0x1234)).unwrap();
        let size = edit(&mut dtb, &told(&line, Some(initrd))).unwrap();
        assert!(size < VIRT.len() + 256);
        let fdt = Fdt::new(&dtb[..size]).unwrap();
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
        assert_eq!(without_chosen(&dtb[..size]), without_chosen(VIRT));
    }

    #[test]
    fn too_little_slack_is_refused() {
        let mut dtb = with_slack(VIRT.len() + 40);
        let line = CommandLine::join([&[b'x'; 1000], b"", b""]).unwrap();
        let error = edit(&mut dtb, &told(&line, None)).unwrap_err();
        assert!(
            matches!(error, ChosenError::Slack { length: 1000, .. }),
            "{error}"
        );
        let size = crate::dtb::total_size(dtb.first_chunk().unwrap(), Addr(0)).unwrap();
        Fdt::new(&dtb[..size]).unwrap();
    }

    #[test]
    fn the_command_line_is_joined_with_one_space_and_limited() {
        let joined = |parts| CommandLine::join(parts).unwrap().as_bytes().to_vec();
        assert_eq!(joined([b"a", b"b", b"c"]), b"a b c");
        assert_eq!(joined([b"a", b"", b"c"]), b"a c");
        assert_eq!(joined([b"a", b"", b""]), b"a");
        assert_eq!(joined([b"", b"b", b""]), b"b");
        assert_eq!(joined([b"", b"", b""]), b"");
        assert_eq!(joined([&[b'x'; 2047], b"", b""]).len(), 2047);
        let error = CommandLine::join([&[b'x'; 2000], &[b'y'; 40], &[b'z'; 6]]).unwrap_err();
        assert_eq!(error, ChosenError::CommandLine { length: 2048 });
    }

    proptest! {
        #[test]
        fn any_command_line_and_slack_give_a_valid_dtb(
            args in proptest::collection::vec(1_u8.., 0..2100),
            slack in 0_usize..3000,
            initrd: bool,
        ) {
            let mut dtb = with_slack(VIRT.len() + slack);
            let Ok(line) = CommandLine::join([&args, b"", b""]) else {
                prop_assert!(args.len() > MAX_COMMAND_LINE);
                return Ok(());
            };
            let initrd = initrd.then(|| Region::new(Addr(0x4500_0000), Bytes(1)).unwrap());
            let edited = edit(&mut dtb, &told(&line, initrd)).is_ok();
            let size = crate::dtb::total_size(dtb.first_chunk().unwrap(), Addr(0)).unwrap();
            let fdt = Fdt::new(&dtb[..size]).unwrap();
            if edited {
                let chosen = fdt.find_node("/chosen").unwrap();
                let bootargs = chosen.property("bootargs").unwrap();
                prop_assert_eq!(&bootargs.value()[..args.len()], &args[..]);
            }
            prop_assert_eq!(without_chosen(&dtb[..size]), without_chosen(VIRT));
        }
    }
}
