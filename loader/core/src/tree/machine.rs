// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machine that the device tree describes, as far as the loader needs it, read in one walk.
//!
//! Source: Devicetree Specification 0.4, chapters 2.3 (standard properties) and 3.4 to 3.8 (memory,
//! reserved-memory, chosen, cpus).

use core::ops::Range;

use crate::tree::console::pl011;
use crate::tree::error::DtbError;
use crate::tree::fdt::Fdt;
use crate::tree::format::{number, until_nul};
use crate::tree::memory_map::Memory;
use crate::tree::node::{Node, is_okay};
use crate::tree::pci_host::PciHost;
use crate::tree::psci::Conduit;
use crate::tree::reg::{RegEntries, region};
use crate::tree::transports::Transports;
use crate::units::Region;

/// The parts of the machine that the loader uses.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// RAM, and the regions that `/memreserve/` and `/reserved-memory` reserve.
    pub memory: Memory,
    /// The initrd that QEMU loaded, if the loader is the flat binary and there is an `-initrd`.
    pub initrd: Option<Region>,
    /// The conduit of PSCI, if the machine has it.
    pub psci: Option<Conduit>,
    /// The registers of the PL011 that `/chosen/stdout-path` names.
    pub console: Option<Region>,
    /// The virtio-mmio transports.
    pub transports: Transports,
    /// The registers of QEMU's fw_cfg device.
    pub fw_cfg: Option<Region>,
    /// The PCI host bridge, if there is one that can be used.
    pub pci: Option<PciHost>,
    /// The byte range of `/chosen/bootargs` in the DTB, without its NUL: QEMU's `-append`. The text
    /// may contain any bytes.
    pub bootargs: Range<usize>,
    /// The offset in the DTB of the properties of `/chosen`, in bytes.
    pub chosen: usize,
    /// The number of CPUs.
    pub cpus: usize,
}

impl Machine {
    /// Reads a DTB that [`Fdt::new`] has checked.
    ///
    /// # Errors
    ///
    /// When a property that is needed has the wrong form, or RAM or `/chosen` is missing.
    pub fn read(fdt: Fdt<'_>) -> Result<Self, DtbError> {
        let mut machine = Self::default();
        for (address, size) in fdt.reservations() {
            machine.memory.reserved.add(region(address, size)?)?;
        }
        for node in fdt.root().children() {
            match node.name_without_address() {
                // If there are several, the first one is used: the kernel's path lookup ends there.
                name if name == b"chosen" && machine.chosen == 0 => {
                    machine.read_chosen(fdt, node)?;
                }
                name if name == b"reserved-memory" => machine.read_reserved(node)?,
                name if name == b"cpus" => machine.cpus = count_cpus(node),
                _ => machine.read_device(node)?,
            }
        }
        if machine.memory.ram.as_slice().is_empty() {
            return Err(DtbError::NoMemory);
        }
        if machine.chosen == 0 {
            return Err(DtbError::NoChosen);
        }
        Ok(machine)
    }

    fn read_reserved(&mut self, node: Node<'_>) -> Result<(), DtbError> {
        for child in node.children().filter(Node::is_enabled) {
            // A child without `reg` requests memory at any address, which the kernel chooses.
            let mut entries = RegEntries::of(child);
            while let Some(reserved) = entries.next()? {
                self.memory.reserved.add(reserved)?;
            }
        }
        Ok(())
    }

    /// Reads a child of the root in one walk over its properties, since there are many such nodes.
    #[inline(never)]
    fn read_device(&mut self, node: Node<'_>) -> Result<(), DtbError> {
        let [device_type, compatible, status, reg, ranges, method] = node.values([
            b"device_type",
            b"compatible",
            b"status",
            b"reg",
            b"ranges",
            b"method",
        ]);
        let device = if device_type == Some(b"memory\0") {
            Some(Device::Memory)
        } else {
            compatible.and_then(Device::of_compatible)
        };
        let Some(device) = device.filter(|_| status.is_none_or(is_okay)) else {
            return Ok(());
        };
        if let Device::Psci = device {
            self.psci = method.and_then(Conduit::of_method);
        }
        let mut entries = RegEntries::new(reg, node.cells);
        while let Some(region) = entries.next()? {
            match (device, ranges) {
                (Device::Memory, _) => self.memory.ram.add(region)?,
                (Device::VirtioMmio, _) => self.transports.add(region),
                (Device::FwCfg, _) => self.fw_cfg = Some(region),
                (Device::PciHost, Some(ranges)) => self.pci = PciHost::read(region, ranges)?,
                (Device::PciHost, None) | (Device::Psci, _) => {}
            }
        }
        Ok(())
    }

    fn read_chosen(&mut self, fdt: Fdt<'_>, chosen: Node<'_>) -> Result<(), DtbError> {
        self.chosen = chosen.offset();
        let [bootargs, stdout_path, initrd_start, initrd_end] = chosen.values([
            b"bootargs",
            b"stdout-path",
            b"linux,initrd-start",
            b"linux,initrd-end",
        ]);
        if let Some(text) = bootargs {
            let start = fdt.offset(text);
            self.bootargs = start..start + until_nul(text).len();
        }
        if let Some(path) = stdout_path {
            self.console = pl011(fdt, path)?;
        }
        if let (Some(start), Some(end)) =
            (initrd_start.and_then(address), initrd_end.and_then(address))
            && start < end
        {
            self.initrd = Some(region(start, end - start)?);
        }
        Ok(())
    }
}

/// The devices below the root that the loader uses.
#[derive(Clone, Copy)]
enum Device {
    Memory,
    VirtioMmio,
    PciHost,
    FwCfg,
    Psci,
}

impl Device {
    /// Returns the device with this value of `compatible`.
    fn of_compatible(compatible: &[u8]) -> Option<Self> {
        const NAMES: [(&[u8], Device); 6] = [
            (b"virtio,mmio", Device::VirtioMmio),
            (b"pci-host-ecam-generic", Device::PciHost),
            (b"qemu,fw-cfg-mmio", Device::FwCfg),
            (b"arm,psci", Device::Psci),
            (b"arm,psci-0.2", Device::Psci),
            (b"arm,psci-1.0", Device::Psci),
        ];
        compatible.split(|byte| *byte == 0).find_map(|name| {
            let known = NAMES.iter().find(|(known, _)| *known == name);
            known.map(|(_, device)| *device)
        })
    }
}

/// Counts the CPUs below `/cpus`, which has children of other kinds too.
fn count_cpus(cpus: Node<'_>) -> usize {
    cpus.children()
        .filter(|node| node.name_without_address() == b"cpu")
        .count()
}

/// Decodes an address of one or two cells: QEMU before 8.0 wrote `linux,initrd-start` as one.
fn address(value: &[u8]) -> Option<u64> {
    matches!(value.len(), 4 | 8).then(|| number(value))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;

    use super::*;
    use crate::kernel::command_line::CommandLine;
    use crate::slots::slot::{Reason, Slot};
    use crate::tree::edit::{self, ChosenProperties};
    use crate::tree::format::{NOP, SIZE_DT_STRUCT, TOTALSIZE, put_word, word};
    use crate::tree::gic::Gic;
    use crate::tree::power_pin::GpioPowerOff;
    use crate::tree::sample_tree::SampleTree;
    use crate::tree::work;
    use crate::units::{Addr, Bytes};

    /// `qemu-system-aarch64 -M virt,dumpdtb=virt.dtb -m 128 -append "quiet loglevel=3"`, QEMU 7.2,
    /// then packed by `dtc -I dtb -O dtb`.
    const VIRT: &[u8] = include_bytes!("../../tests/fixtures/virt.dtb");

    /// `dtc -O dtb odd.dts`: two memory nodes and a disabled one, reservations, an alias, one-cell
    /// initrd addresses.
    const ODD: &[u8] = include_bytes!("../../tests/fixtures/odd.dtb");

    fn region(start: u64, length: u64) -> Region {
        Region::new(Addr(start), Bytes(length)).unwrap()
    }

    #[test]
    fn the_virt_machine_is_read() {
        let machine = Machine::read(Fdt::new(VIRT).unwrap()).unwrap();
        assert_eq!(
            machine.memory.ram.as_slice(),
            [region(0x4000_0000, 128 << 20)]
        );
        assert!(machine.memory.reserved.as_slice().is_empty());
        assert_eq!(machine.psci, Some(Conduit::Hvc));
        assert_eq!(machine.console, Some(region(0x900_0000, 0x1000)));
        assert_eq!(&VIRT[machine.bootargs], b"quiet loglevel=3");
        assert_eq!(machine.initrd, None);
        assert_eq!(machine.cpus, 1);
        assert_eq!(machine.fw_cfg, Some(region(0x902_0000, 0x18)));
        let pci = machine.pci.unwrap();
        assert_eq!(pci.configuration, region(0x40_1000_0000, 0x1000_0000));
        assert_eq!(pci.window, region(0x1000_0000, 0x2eff_0000));
        let transports = machine.transports.as_slice();
        assert_eq!(transports.len(), 32);
        assert_eq!(transports[0], region(0xa00_3e00, 0x200));
        assert_eq!(transports[31], region(0xa00_0000, 0x200));
    }

    #[test]
    fn odd_trees_are_read() {
        let machine = Machine::read(Fdt::new(ODD).unwrap()).unwrap();
        assert_eq!(
            machine.memory.ram.as_slice(),
            [
                region(0x4000_0000, 0x800_0000),
                region(0x1_0000_0000, 0x1000_0000)
            ]
        );
        assert_eq!(
            machine.memory.reserved.as_slice(),
            [region(0x4100_0000, 0x1000), region(0x4200_0000, 0x10_0000)]
        );
        assert_eq!(machine.initrd, Some(region(0x4400_0000, 0x2345)));
        assert_eq!(machine.psci, Some(Conduit::Smc));
        assert_eq!(machine.console, Some(region(0x900_0000, 0x1000)));
        // The disabled transport is ignored.
        assert_eq!(machine.transports.as_slice(), [region(0xa00_0200, 0x200)]);
        assert_eq!(machine.bootargs, 0..0);
    }

    #[test]
    fn a_command_line_may_be_any_bytes() {
        let mut raw = std::vec::Vec::from(VIRT);
        let text = Machine::read(Fdt::new(VIRT).unwrap()).unwrap().bootargs;
        raw[text.start] = 0xff;
        raw[text.end - 1] = 0;
        let machine = Machine::read(Fdt::new(&raw).unwrap()).unwrap();
        assert_eq!(&raw[machine.bootargs], b"\xffuiet loglevel=");
    }

    #[test]
    fn a_tree_that_cannot_be_edited_is_refused() {
        let mut raw = std::vec::Vec::from(VIRT);
        let size = word(&raw, SIZE_DT_STRUCT);
        for wrong in [0, 16, size - 4] {
            put_word(&mut raw, SIZE_DT_STRUCT, wrong);
            Fdt::new(&raw).unwrap_err();
        }
        let mut raw = std::vec::Vec::from(VIRT);
        let name = Machine::read(Fdt::new(VIRT).unwrap()).unwrap().chosen - 8;
        raw[name..name + 6].copy_from_slice(b"nobody");
        let error = Machine::read(Fdt::new(&raw).unwrap()).unwrap_err();
        assert_eq!(error, DtbError::NoChosen);
    }

    /// Checks that a tree that can be read can be edited without a panic, into a valid tree.
    fn edit(dtb: &[u8], machine: &Machine) {
        let line = CommandLine::join([b"quiet", b"", b""]).unwrap();
        let properties = ChosenProperties {
            command_line: &line,
            initrd: Some(region(0x4500_0000, 0x1000)),
            slot: Slot::A,
            reason: Reason::Active,
            bootcount: 0,
        };
        let mut edited = std::vec::Vec::from(dtb);
        edited.resize(edit::size_after(dtb.len(), &line).unwrap().0 as usize, 0);
        let size = edit::write_chosen(&mut edited, machine.chosen, &properties);
        let fdt = Fdt::new(&edited[..size]).unwrap();
        let chosen = fdt.find(b"/chosen").unwrap();
        assert_eq!(chosen.property(b"bootargs"), Some(&b"quiet\0"[..]));
    }

    #[test]
    fn of_two_nodes_or_properties_of_one_name_the_first_counts() {
        let mut raw = std::vec::Vec::from(ODD);
        let last = Machine::read(Fdt::new(ODD).unwrap()).unwrap().chosen;
        let first = Fdt::new(ODD).unwrap().find(b"/aliases").unwrap().offset();
        assert!(first < last);
        raw[first - 8..first].copy_from_slice(b"chosen\0\0");
        let machine = Machine::read(Fdt::new(&raw).unwrap()).unwrap();
        assert_eq!((machine.chosen, machine.initrd), (first, None));
        edit(&raw, &machine);

        let mut raw = std::vec::Vec::from(ODD);
        let names: [&[u8]; 2] = [b"linux,initrd-start", b"linux,initrd-end"];
        let fdt = Fdt::new(ODD).unwrap();
        let [start, end] = fdt.find(b"/chosen").unwrap().values(names);
        let (start, end) = (start.unwrap(), end.unwrap());
        // The second property gets the name of the first.
        let name = word(ODD, fdt.offset(start) - 4);
        put_word(&mut raw, fdt.offset(end) - 4, name);
        let chosen = Fdt::new(&raw).unwrap().find(b"/chosen").unwrap();
        assert_eq!(chosen.values(names), [Some(start), None]);
    }

    #[test]
    fn every_cut_is_an_error_and_every_flipped_byte_an_error_or_an_editable_machine() {
        for length in 0..ODD.len() {
            assert!(Fdt::new(&ODD[..length]).is_err());
        }
        let mut damaged = std::vec::Vec::from(ODD);
        for at in 0..damaged.len() {
            for flip in [0x01, 0x80, 0xff] {
                damaged[at] ^= flip;
                if let Ok(fdt) = Fdt::new(&damaged)
                    && let Ok(machine) = Machine::read(fdt)
                {
                    edit(&damaged, &machine);
                }
                damaged[at] ^= flip;
            }
        }
    }

    /// Reads everything that a boot reads from a tree, and ignores errors.
    fn read_all(dtb: &[u8]) {
        let fdt = Fdt::new(dtb).unwrap();
        let _ = GpioPowerOff::find(fdt);
        let _ = Gic::find(fdt);
        if let Ok(machine) = Machine::read(fdt) {
            edit(dtb, &machine);
        }
    }

    #[test]
    fn a_tree_is_read_in_steps_in_proportion_to_its_size() {
        /// Calls `add` `count` times.
        fn repeat(
            tree: SampleTree,
            count: usize,
            add: impl Fn(SampleTree, usize) -> SampleTree,
        ) -> SampleTree {
            (0..count).fold(tree, add)
        }
        let with_memory = || {
            SampleTree::default()
                .begin(b"")
                .property(b"compatible", b"x\0")
                .begin(b"memory")
                .property(b"device_type", b"memory\0")
                .property(b"reg", &[0, 0, 0, 0, 0x40, 0, 0, 0, 0x40, 0, 0, 0])
                .end()
        };
        let start = |stdout_path: &[u8]| {
            let tree = with_memory().begin(b"chosen");
            tree.property(b"stdout-path", stdout_path).end()
        };
        // An offset in the long string, which is after the names of the properties above.
        let one_long_name = |tree: SampleTree, _| tree.property_at(200, b"");
        let long_name = |tree: SampleTree| tree.strings(&[b'x'; 30_000]).strings(b"\0").end();
        let many = 4000;
        let path = "/a".repeat(many);
        let names = "b\0".repeat(many);
        let nested = repeat(start(path.as_bytes()), many, |tree, _| tree.begin(b"a"));
        let trees = [
            // Properties that share one long string: in a node that is searched for an alias, in
            // one that is edited, and in another.
            long_name(repeat(
                start("x".repeat(30_000).as_bytes()).begin(b"aliases"),
                many,
                one_long_name,
            )),
            long_name(repeat(with_memory().begin(b"chosen"), many, one_long_name)),
            long_name(repeat(
                start(b"/none").begin(b"device"),
                many,
                one_long_name,
            )),
            // Nodes within nodes, with a path through all of them.
            repeat(nested, many, |tree, _| tree.end()),
            // Sibling nodes, each with many names in `compatible`.
            repeat(start(b"/none"), 40, |tree, _| {
                tree.begin(b"a@1")
                    .property(b"compatible", names.as_bytes())
                    .end()
            }),
            // One long name.
            start(b"/none").begin(path.as_bytes()).end(),
            // Reservations: all in one piece, then in more pieces than the loader keeps.
            repeat(
                start(b"/none").begin(b"reserved-memory"),
                many,
                |tree, _| tree.begin(b"a").property(b"reg", &[0; 12]).end(),
            )
            .end(),
            repeat(
                start(b"/none").begin(b"reserved-memory"),
                many,
                |tree, index| {
                    let start = (index as u32 * 16).to_be_bytes();
                    let reg = [&[0; 4], &start[..], &[0, 0, 0, 1]].concat();
                    tree.begin(b"a").property(b"reg", &reg).end()
                },
            )
            .end(),
            // NOP tokens.
            repeat(start(b"/none"), many, |tree, _| tree.word(NOP)),
        ];
        for (index, tree) in trees.into_iter().enumerate() {
            let dtb = tree.end().finish();
            let steps = work::of(|| read_all(&dtb));
            assert!(
                steps < 16 * dtb.len(),
                "tree {index}: {steps} steps for {} bytes",
                dtb.len()
            );
        }
    }

    /// Generates damage to a word: it becomes any number, a token or another small number, or
    /// another word of the tree.
    fn damage() -> impl Strategy<Value = (prop::sample::Index, prop::sample::Index, u32, u8)> {
        (
            any::<prop::sample::Index>(),
            any::<prop::sample::Index>(),
            any::<u32>(),
            0..4_u8,
        )
    }

    proptest! {
        #[test]
        fn damaged_words_are_an_error_or_an_editable_machine(
            is_odd: bool,
            damages in proptest::collection::vec(damage(), 1..4),
        ) {
            let tree = if is_odd { ODD } else { VIRT };
            let mut raw = std::vec::Vec::from(tree);
            for (at, other, value, kind) in damages {
                // The magic number stays.
                let at = 4 + 4 * at.index(tree.len() / 4 - 1);
                let value = match kind {
                    0 => value,
                    1 => value % 16,
                    2 => word(tree, at).wrapping_add(value % 64).wrapping_sub(32),
                    _ => word(tree, 4 * other.index(tree.len() / 4)),
                };
                put_word(&mut raw, at, value);
            }
            let length = raw.len() as u32;
            put_word(&mut raw, TOTALSIZE, length);
            if let Ok(fdt) = Fdt::new(&raw) && let Ok(machine) = Machine::read(fdt) {
                edit(&raw, &machine);
            }
        }
    }
}
