// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the loader needs to know of the machine, read from the flattened device tree (DTB) in one walk.
//!
//! Source: Devicetree Specification 0.4, chapters 2.3 (standard properties), 3.4 to 3.6 (memory, reserved-memory,
//! chosen) and 5 (the flattened format).

use core::ops::Range;

use arrayvec::ArrayVec;
use thiserror::Error;

use crate::display::{Decimal, Hex, Word};
use crate::tree::fdt::{
    Cells, Fdt, FdtError, HEADER_SIZE, MAGIC, Node, OFF_DT_STRINGS, SIZE_DT_STRINGS, TOTALSIZE,
    number, put_word, until_nul, word,
};
use crate::tree::memory_map::{Memory, TooManyRegions};
use crate::units::{Addr, Bytes, Region};

/// The largest DTB that is taken, in bytes: the kernel maps no more (booting.rst, section 2).
pub const MAX_SIZE: u64 = 2 << 20;

/// The most virtio transports that are looked at. QEMU's virt machine has 32.
pub const MAX_TRANSPORTS: usize = 64;

/// Why there is no usable DTB.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DtbError {
    /// Something else stands there.
    #[error("no device tree at {at}: found {}, expected 0xd00dfeed", Hex(u64::from(*found), 8))]
    Missing {
        /// Where it was looked for.
        at: Addr,
        /// The first four bytes, read as a big-endian number.
        found: u32,
    },
    /// The address is not one of RAM.
    #[error("no device tree: the address for it is not in RAM, or is the loader's own")]
    NotRam,
    /// The header's size cannot be right.
    #[error("the device tree at {at} says it has {} bytes; between 40 and 2 MiB are possible", Decimal(u64::from(*size)))]
    Size {
        /// Where it lies.
        at: Addr,
        /// The size in its header.
        size: u32,
    },
    /// It does not parse.
    #[error("corrupt device tree: {0}")]
    Corrupt(#[from] FdtError),
    /// A property has a value of the wrong form.
    #[error(
        "device tree: {} of {} bytes is no list of whole entries, each of {} cells",
        Word(property), Decimal(*length as u64), Decimal(u64::from(*cells))
    )]
    Property {
        /// Its name.
        property: &'static str,
        /// The length of its value in bytes.
        length: usize,
        /// The cells of 4 bytes of an entry.
        cells: u32,
    },
    /// Addresses or sizes have no form that the loader reads.
    #[error("device tree: addresses of {} and sizes of {} cells; 1 and 2 are possible", Decimal(u64::from(*address)), Decimal(u64::from(*size)))]
    Cells {
        /// The cells of an address.
        address: u32,
        /// The cells of a size.
        size: u32,
    },
    /// There is no RAM in it.
    #[error("the device tree has no memory node with device_type \"memory\"")]
    NoMemory,
    /// A region reaches past the end of the address space.
    #[error("device tree: {} bytes at {start} do not fit the address space", Hex(*length, 1))]
    BadRegion {
        /// The region's start.
        start: Addr,
        /// The region's length in bytes.
        length: u64,
    },
    /// The memory has more pieces than the loader keeps.
    #[error(transparent)]
    Regions(#[from] TooManyRegions),
    /// There is no `/chosen`.
    #[error("the device tree has no /chosen node to put the command line into")]
    NoChosen,
}

/// Reads the size of the DTB from its first bytes.
///
/// # Errors
///
/// When these are not the first bytes of a DTB, or its size is out of range.
pub fn total_size(header: &[u8; HEADER_SIZE], at: Addr) -> Result<usize, DtbError> {
    let found = word(header, 0);
    if found != MAGIC {
        return Err(DtbError::Missing { at, found });
    }
    let size = word(header, TOTALSIZE);
    match usize::try_from(size) {
        Ok(bytes) if (HEADER_SIZE..=MAX_SIZE as usize).contains(&bytes) => Ok(bytes),
        _ => Err(DtbError::Size { at, size }),
    }
}

/// Cuts off the slack behind what a DTB uses, and returns what is left. QEMU leaves about 1 MiB of it, and the kernel
/// reserves as much as the header says.
///
/// The strings lie last in what is left; [`Fdt::new`] refuses a tree with a block behind them.
pub fn pack(dtb: &mut [u8]) -> &mut [u8] {
    let used = word(dtb, OFF_DT_STRINGS).saturating_add(word(dtb, SIZE_DT_STRINGS));
    let length = used as usize;
    if !(HEADER_SIZE..=dtb.len()).contains(&length) {
        return dtb;
    }
    put_word(dtb, TOTALSIZE, used);
    &mut dtb[..length]
}

/// How the firmware is called (Linux, `Documentation/devicetree/bindings/arm/psci.yaml`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// By the HVC instruction.
    Hvc,
    /// By the SMC instruction.
    Smc,
}

/// A pin of a PL061 that powers the machine off when it is driven high.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpioPowerOff {
    /// The register window of the PL061.
    pub registers: Region,
    /// The pin's number, 0 to 7.
    pub pin: u8,
}

impl GpioPowerOff {
    /// Finds the pin: QEMU's virt machine has it with `secure=on`, where it has no PSCI.
    #[must_use]
    pub fn find(fdt: Fdt<'_>) -> Option<Self> {
        let gpios = fdt.find(b"/gpio-poweroff")?.property(b"gpios")?;
        let (phandle, rest) = gpios.split_first_chunk::<4>()?;
        let pin = u8::try_from(word(rest, 0)).ok()?;
        let mut nodes = fdt.root().children();
        let controller = nodes.find(|node| node.property(b"phandle") == Some(phandle))?;
        let registers = Windows::of(controller).next().ok()??;
        (pin < 8).then_some(Self { registers, pin })
    }
}

/// A PCI host bridge with a flat configuration space (Linux, `Documentation/devicetree/bindings/pci/host-generic-pci.yaml`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciHost {
    /// The configuration space (ECAM).
    pub configuration: Region,
    /// Where devices' registers can be put: a window of 32-bit addresses that are the same on the bus and for the CPU.
    pub window: Region,
}

impl PciHost {
    /// Reads `reg` and `ranges` of the bridge's node.
    fn read(configuration: Region, ranges: &[u8]) -> Result<Option<Self>, DtbError> {
        // Bits 25 and 24 of an address' first cell: 32-bit memory.
        const MEMORY_32: u32 = 0b10 << 24;
        // A PCI address of three cells, one of the CPU and a size of two each.
        const ENTRY: usize = 7 * 4;
        let (entries, []) = ranges.as_chunks::<ENTRY>() else {
            return Err(DtbError::Property {
                property: "ranges",
                length: ranges.len(),
                cells: 7,
            });
        };
        for entry in entries {
            let (on_bus, for_cpu) = (number(&entry[4..12]), number(&entry[12..20]));
            if word(entry, 0) & (0b11 << 24) == MEMORY_32 && on_bus == for_cpu {
                let window = region(for_cpu, number(&entry[20..]))?;
                return Ok(Some(Self {
                    configuration,
                    window,
                }));
            }
        }
        Ok(None)
    }
}

/// The virtio-mmio transports of the machine, highest address first: on QEMU's virt machine that is the order in which
/// devices stand on its command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transports {
    list: ArrayVec<Region, MAX_TRANSPORTS>,
    /// How many transports there are beyond those kept.
    pub left_out: usize,
}

impl Transports {
    /// The register windows, highest address first.
    #[must_use]
    pub fn as_slice(&self) -> &[Region] {
        &self.list
    }

    fn add(&mut self, region: Region) {
        let at = self
            .list
            .partition_point(|old| old.start() > region.start());
        if self.list.try_insert(at, region).is_err() {
            self.left_out += 1;
        }
    }
}

/// What the device tree says of the machine.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// RAM, and what the device tree reserves of it: `/memreserve/` and `/reserved-memory`.
    pub memory: Memory,
    /// The initrd that QEMU loaded: with the flat binary, and `-initrd`.
    pub initrd: Option<Region>,
    /// How to call PSCI, if the machine has it.
    pub psci: Option<Conduit>,
    /// The register window of the PL011 that `/chosen/stdout-path` names.
    pub console: Option<Region>,
    /// The virtio-mmio transports.
    pub transports: Transports,
    /// The registers of QEMU's fw_cfg device.
    pub fw_cfg: Option<Region>,
    /// The PCI host bridge, where there is one that can be used.
    pub pci: Option<PciHost>,
    /// Where in the DTB the text of `/chosen/bootargs` lies, without its NUL: what QEMU's `-append` gave, any bytes.
    pub bootargs: Range<usize>,
    /// Where in the DTB the properties of `/chosen` begin, in bytes.
    pub chosen: usize,
    /// How many CPUs there are.
    pub cpus: usize,
}

impl Machine {
    /// Reads a DTB that [`Fdt::new`] has checked.
    ///
    /// # Errors
    ///
    /// When a property that is needed has the wrong form, or there is no RAM or no `/chosen`.
    pub fn read(fdt: Fdt<'_>) -> Result<Self, DtbError> {
        let mut machine = Self::default();
        for (address, size) in fdt.reservations() {
            machine.memory.reserved.add(region(address, size)?)?;
        }
        for node in fdt.root().children() {
            match node.name_without_address() {
                // Of several the first counts, as for the kernel: its path lookup ends there.
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
        for child in node.children().filter(is_enabled) {
            // A child without `reg` asks for memory anywhere; that is the kernel's to find.
            let mut windows = Windows::of(child);
            while let Some(reserved) = windows.next()? {
                self.memory.reserved.add(reserved)?;
            }
        }
        Ok(())
    }

    /// Reads a node below the root in one walk over its properties: each walk costs, and there are many nodes.
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
        let kind = if device_type == Some(b"memory\0") {
            Some(Kind::Memory)
        } else {
            compatible.and_then(Kind::of_compatible)
        };
        let Some(kind) = kind.filter(|_| status.is_none_or(is_okay)) else {
            return Ok(());
        };
        if let Kind::Psci = kind {
            self.psci = match method {
                Some(name) if name == b"hvc\0" => Some(Conduit::Hvc),
                Some(name) if name == b"smc\0" => Some(Conduit::Smc),
                _ => None,
            };
        }
        let mut windows = Windows {
            rest: reg.unwrap_or_default(),
            cells: node.cells,
        };
        while let Some(region) = windows.next()? {
            match (&kind, ranges) {
                (Kind::Memory, _) => self.memory.ram.add(region)?,
                (Kind::VirtioMmio, _) => self.transports.add(region),
                (Kind::FwCfg, _) => self.fw_cfg = Some(region),
                (Kind::PciHost, Some(ranges)) => self.pci = PciHost::read(region, ranges)?,
                (Kind::PciHost, None) | (Kind::Psci, _) => {}
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
        if let (Some(start), Some(end)) = (initrd_start.and_then(cells), initrd_end.and_then(cells))
            && start < end
        {
            self.initrd = Some(region(start, end - start)?);
        }
        Ok(())
    }
}

/// The nodes below the root that matter.
#[derive(Clone, Copy)]
enum Kind {
    Memory,
    VirtioMmio,
    PciHost,
    FwCfg,
    Psci,
}

impl Kind {
    fn of_compatible(value: &[u8]) -> Option<Self> {
        const NAMES: [(&[u8], Kind); 6] = [
            (b"virtio,mmio", Kind::VirtioMmio),
            (b"pci-host-ecam-generic", Kind::PciHost),
            (b"qemu,fw-cfg-mmio", Kind::FwCfg),
            (b"arm,psci", Kind::Psci),
            (b"arm,psci-0.2", Kind::Psci),
            (b"arm,psci-1.0", Kind::Psci),
        ];
        value.split(|byte| *byte == 0).find_map(|name| {
            let known = NAMES.iter().find(|(known, _)| *known == name);
            known.map(|(_, kind)| *kind)
        })
    }
}

/// Whether the node's `compatible` has this name.
pub(crate) fn is_compatible(node: Node<'_>, name: &[u8]) -> bool {
    let names = node.property(b"compatible").unwrap_or_default();
    names.split(|byte| *byte == 0).any(|own| own == name)
}

/// The CPUs below `/cpus`, which also holds nodes of other kinds.
fn count_cpus(cpus: Node<'_>) -> usize {
    cpus.children()
        .filter(|node| node.name_without_address() == b"cpu")
        .count()
}

/// Whether the node's device can be used: no `status`, or "okay".
fn is_enabled(node: &Node<'_>) -> bool {
    node.property(b"status").is_none_or(is_okay)
}

fn is_okay(status: &[u8]) -> bool {
    status == b"okay\0" || status == b"ok\0"
}

/// The regions of a `reg`.
pub(crate) struct Windows<'a> {
    rest: &'a [u8],
    cells: Cells,
}

impl<'a> Windows<'a> {
    /// Those of a node, none where it has no `reg`.
    pub(crate) fn of(node: Node<'a>) -> Self {
        Self {
            rest: node.property(b"reg").unwrap_or_default(),
            cells: node.cells,
        }
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> Result<Option<Region>, DtbError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let Cells { address, size } = self.cells;
        if !(1..=2).contains(&address) || !(1..=2).contains(&size) {
            return Err(DtbError::Cells { address, size });
        }
        let cells = address + size;
        let Some((entry, rest)) = self.rest.split_at_checked(cells as usize * 4) else {
            return Err(DtbError::Property {
                property: "reg",
                length: self.rest.len(),
                cells,
            });
        };
        self.rest = rest;
        let (address, size) = entry.split_at(address as usize * 4);
        region(number(address), number(size)).map(Some)
    }
}

fn region(start: u64, length: u64) -> Result<Region, DtbError> {
    let start = Addr(start);
    Region::new(start, Bytes(length)).ok_or(DtbError::BadRegion { start, length })
}

/// A number of one or two cells: QEMU wrote `linux,initrd-start` as one before 8.0.
fn cells(value: &[u8]) -> Option<u64> {
    matches!(value.len(), 4 | 8).then(|| number(value))
}

/// The registers of the PL011 that a stdout-path names, directly or by an alias; `None` when it is another device.
fn pl011(fdt: Fdt<'_>, stdout_path: &[u8]) -> Result<Option<Region>, DtbError> {
    let path = until_nul(stdout_path);
    let path = path.split(|byte| *byte == b':').next().unwrap_or_default();
    let node = if path.starts_with(b"/") {
        fdt.find(path)
    } else {
        fdt.find(b"/aliases")
            .and_then(|aliases| aliases.property(path))
            .and_then(|path| fdt.find(until_nul(path)))
    };
    match node.filter(is_enabled) {
        Some(node) if is_compatible(node, b"arm,pl011") => Windows::of(node).next(),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;

    use super::*;
    use crate::kernel::command_line::CommandLine;
    use crate::slots::slot::{Reason, Slot};
    use crate::tree::edit::{self, Told};
    use crate::tree::fdt::SIZE_DT_STRUCT;

    /// `qemu-system-aarch64 -M virt,dumpdtb=virt.dtb -m 128 -append "quiet loglevel=3"`, QEMU 7.2, then packed by
    /// `dtc -I dtb -O dtb`.
    const VIRT: &[u8] = include_bytes!("../../tests/fixtures/virt.dtb");

    /// `dtc -O dtb odd.dts`: two memory nodes and a disabled one, reservations, an alias, one-cell initrd addresses.
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
    fn a_power_off_pin_is_found_by_its_phandle() {
        assert_eq!(GpioPowerOff::find(Fdt::new(VIRT).unwrap()), None);
        let pin = GpioPowerOff::find(Fdt::new(ODD).unwrap()).unwrap();
        assert_eq!(
            pin,
            GpioPowerOff {
                registers: region(0x90b_0000, 0x1000),
                pin: 3
            }
        );
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
        // The disabled transport is left out.
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

    #[test]
    fn slack_is_cut_off() {
        let mut raw = std::vec::Vec::from(VIRT);
        raw.resize(1 << 20, 0xee);
        put_word(&mut raw, TOTALSIZE, 1 << 20);
        let packed = pack(&mut raw);
        assert_eq!(packed.len(), VIRT.len());
        Fdt::new(packed).unwrap();
        // Strings that end beyond the tree: for Fdt::new to refuse.
        put_word(&mut raw, SIZE_DT_STRINGS, 2 << 20);
        assert!(Fdt::new(pack(&mut raw)).is_err());
    }

    /// What can be read can be edited: without a panic, to a tree that is still one.
    fn edit(dtb: &[u8], machine: &Machine) {
        let line = CommandLine::join([b"quiet", b"", b""]).unwrap();
        let told = Told {
            command_line: &line,
            initrd: Some(region(0x4500_0000, 0x1000)),
            slot: Slot::A,
            reason: Reason::Active,
            bootcount: 0,
        };
        let mut edited = std::vec::Vec::from(dtb);
        edited.resize(edit::room(dtb.len(), &line).unwrap().0 as usize, 0);
        let size = edit::edit(&mut edited, machine.chosen, &told);
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
        // Its name becomes that of the first.
        let name = word(ODD, fdt.offset(start) - 4);
        put_word(&mut raw, fdt.offset(end) - 4, name);
        let chosen = Fdt::new(&raw).unwrap().find(b"/chosen").unwrap();
        assert_eq!(chosen.values(names), [Some(start), None]);
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_an_error_or_a_machine() {
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

    #[test]
    fn the_size_is_read_from_the_header_and_checked() {
        let mut header: [u8; HEADER_SIZE] = VIRT[..HEADER_SIZE].try_into().unwrap();
        assert_eq!(total_size(&header, Addr(0)), Ok(VIRT.len()));
        header[4] = 0x10;
        assert!(matches!(
            total_size(&header, Addr(0)),
            Err(DtbError::Size { .. })
        ));
        assert_eq!(
            total_size(&[0; HEADER_SIZE], Addr(0x4000_0000)),
            Err(DtbError::Missing {
                at: Addr(0x4000_0000),
                found: 0
            })
        );
    }

    /// What damage puts in place of a word: anything, a token or another small number, or another word of the tree.
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
        fn damaged_words_are_an_error_or_a_machine(
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
