// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks the state on entry, point by point, against what a kernel can expect.

use core::fmt::Display;
use core::ptr::NonNull;

use aarch64_cpu::registers::{CNTFRQ_EL0, Readable, SCTLR_EL1};
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use little_loader_core::tree::format::HEADER_SIZE;
use little_loader_core::tree::header;
use little_loader_core::tree::machine::Machine;
use little_loader_core::tree::memory_map::Memory;
use little_loader_core::tree::psci::Conduit;
use little_loader_core::units::{Addr, Bytes, Region};
use safe_mmio::fields::ReadPure;
use safe_mmio::{UniqueMmioPointer, field_shared};
use smccc::{Call, Hvc, Smc};

use crate::console::say;
use crate::start::Entry;
use crate::watch::watch;
use crate::{accesses, alignment, pci};

/// The action after the report.
pub(crate) enum End {
    Off(Option<Conduit>),
    Reset(Option<Conduit>),
    Wait,
}

/// Reports one point.
fn check(name: &str, value: impl Display, is_right: bool, expected: &str) {
    if is_right {
        say!("payload: {name}={value} ok");
    } else {
        say!("payload: {name}={value} FAIL ({expected})");
    }
}

/// Reports all points, and returns the action that the command line asks for.
pub(crate) fn report(entry: &Entry) -> End {
    let [dtb_at, x1, x2, x3] = entry.arguments;
    check("counter", entry.counter, true, "");
    check(
        "frequency",
        CNTFRQ_EL0.get(),
        CNTFRQ_EL0.get() != 0,
        "CNTFRQ_EL0 set",
    );
    check(
        "el",
        entry.current_el,
        matches!(entry.current_el, 1 | 2),
        "1 or 2",
    );
    check("x1", x1, x1 == 0, "0");
    check("x2", x2, x2 == 0, "0");
    check("x3", x3, x3 == 0, "0");
    check(
        "daif",
        format_args!("{:#x}", entry.daif),
        entry.daif == 0x3c0,
        "all masked",
    );
    let caches = SCTLR_EL1::M::SET.mask() | SCTLR_EL1::C::SET.mask();
    check(
        "sctlr",
        format_args!("{:#x}", entry.sctlr),
        entry.sctlr & caches == 0,
        "MMU and data cache off",
    );
    check("base", Addr(entry.base), true, "");
    report_appended(entry);

    check(
        "dtb",
        Addr(dtb_at),
        dtb_at != 0 && dtb_at.is_multiple_of(8),
        "8-byte aligned",
    );
    let Some(bytes) = dtb_bytes(dtb_at) else {
        return End::Wait;
    };
    match Fdt::new(bytes) {
        Ok(fdt) => report_tree(entry, fdt),
        Err(error) => {
            check("tree", error, false, "a valid device tree");
            End::Wait
        }
    }
}

/// Reports the checksum of the bytes that the harness appended to the Image, which shows whether
/// all of them were loaded.
fn report_appended(entry: &Entry) {
    let crc = bytes(Addr(entry.base + entry.file_size), entry.appended).map(crc32fast::hash);
    check("appended", entry.appended, true, "");
    check(
        "appended_crc",
        format_args!("{:#010x}", crc.unwrap_or_default()),
        true,
        "",
    );
}

fn dtb_bytes(at: u64) -> Option<&'static [u8]> {
    let header = bytes(Addr(at), HEADER_SIZE as u64)?.first_chunk()?;
    match header::total_size(header, Addr(at)) {
        Ok(size) => bytes(Addr(at), size as u64),
        Err(error) => {
            check("tree", error, false, "a device tree of at most 2 MiB");
            None
        }
    }
}

fn report_tree(entry: &Entry, fdt: Fdt<'_>) -> End {
    // dtoolkit has validated the tree; the properties of the machine are read with the loader's
    // code.
    let own = little_loader_core::tree::fdt::Fdt::checked_before(fdt.data());
    let machine = match Machine::read(own) {
        Ok(machine) => machine,
        Err(error) => {
            check("tree", error, false, "a machine");
            return End::Wait;
        }
    };
    let ram = machine.memory.ram.as_slice();
    let in_ram = |region: Region| ram.iter().any(|piece| piece.contains(region));
    let tree =
        Region::new(Addr(entry.arguments[0]), Bytes(fdt.data().len() as u64)).unwrap_or_default();
    check(
        "dtb_size",
        fdt.data().len(),
        in_ram(tree),
        "all of it in RAM",
    );
    let word = |offset: usize| {
        fdt.data().get(offset..offset + 4).map_or(0, |word| {
            u32::from_be_bytes([word[0], word[1], word[2], word[3]])
        })
    };
    let used = u64::from(word(12)) + u64::from(word(32));
    check(
        "dtb_used",
        used,
        used == fdt.data().len() as u64,
        "packed: the size of the tree",
    );
    check("ram", machine.memory.ram.total().0, true, "");
    let nodes = fdt.find_node("/cpus").map_or(0, |cpus| {
        cpus.children()
            .filter(|node| node.name_without_address() == "cpu")
            .count()
    });
    check("cpus", nodes, nodes > 0, "at least one");

    let image = Region::new(Addr(entry.base), Bytes(entry.file_size + entry.appended));
    check(
        "image_in_ram",
        image.is_some_and(in_ram),
        image.is_some_and(in_ram),
        "true",
    );
    report_reserved(&machine, image, tree);
    report_chosen(fdt, in_ram, entry.base);
    report_transports(&machine);
    report_uart(&machine);
    if let Some(host) = &machine.pci {
        let (disks, running) = pci::disks(host);
        check("pci_disks", disks, true, "");
        check("pci_running_disks", running, running == 0, "all reset");
    }
    let option = |name: &[u8]| {
        let mut words = fdt.data()[machine.bootargs.clone()].split(u8::is_ascii_whitespace);
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix(b"="))
    };
    if option(b"payload.unaligned").is_some() {
        let faults = alignment::unaligned_load_faults();
        check("unaligned_load_faults", faults, true, "");
    }
    if option(b"payload.accesses").is_some() {
        for (kind, aborted) in accesses::tried() {
            let outcome = if aborted { "aborted" } else { "done" };
            check(kind, outcome, true, "");
        }
    }
    let end = match option(b"payload.end") {
        Some(b"wait") => End::Wait,
        Some(b"reset") => End::Reset(machine.psci),
        _ => End::Off(machine.psci),
    };
    if let (Some(watch), Some(image)) = (option(b"payload.watch"), image) {
        report_watch(&machine.memory, [image, tree], watch == b"tamper");
    }
    end
}

/// Overwrites all memory, including the loader's, except `ours` and the reserved regions, and
/// reports words that change afterwards.
fn report_watch(memory: &Memory, ours: [Region; 2], tamper: bool) {
    let mut taken = memory.reserved.clone();
    for region in ours {
        if let Err(error) = taken.add(region) {
            return check("watched", error, false, "fewer regions");
        }
    }
    let watched = watch(&memory.ram, &taken, tamper);
    check("watched", watched.bytes, true, "");
    check(
        "changed_words",
        format_args!("{} from {:#x}", watched.changed, watched.first),
        watched.changed == 0,
        "nothing writes to the kernel's memory",
    );
}

fn report_chosen(fdt: Fdt<'_>, in_ram: impl Fn(Region) -> bool, base: u64) {
    let Some(chosen) = fdt.find_node("/chosen") else {
        return check("chosen", "none", false, "a /chosen node");
    };
    let property = |name: &str| chosen.property(name);
    let bootargs = property("bootargs")
        .and_then(|bootargs| bootargs.value_as::<&[u8]>().ok()?.strip_suffix(b"\0"));
    check(
        "bootargs",
        bootargs.unwrap_or_default().escape_ascii(),
        bootargs.is_some(),
        "a command line",
    );
    for name in ["kaslr-seed", "rng-seed"] {
        let length = property(name).map_or(0, |seed| seed.value().len());
        check(name, length, true, "");
    }
    for child in ["slot", "reason", "bootcount"] {
        if let Some(value) = property_named(&chosen, child) {
            let text = value.strip_suffix(b"\0");
            check(
                child,
                text.unwrap_or(value).escape_ascii(),
                text.is_some(),
                "a string",
            );
        }
    }
    let number = |name: &str| {
        property(name).map(|cells| {
            cells
                .value()
                .iter()
                .fold(0, |number: u64, byte| number << 8 | u64::from(*byte))
        })
    };
    if let (Some(start), Some(end)) = (number("linux,initrd-start"), number("linux,initrd-end")) {
        let initrd = Region::between(Addr(start), Addr(end));
        check(
            "initrd",
            format_args!("{}..{}", Addr(start), Addr(end)),
            start < end && initrd.is_some_and(in_ram),
            "in RAM",
        );
        let crc = bytes(Addr(start), end.saturating_sub(start)).map(crc32fast::hash);
        check(
            "initrd_crc",
            format_args!("{:#010x}", crc.unwrap_or_default()),
            crc.is_some(),
            "bytes",
        );
        let window = base.min(start) & !((1 << 30) - 1);
        check(
            "window",
            Addr(window),
            end.max(base) - window <= 32 << 30,
            "kernel and initrd within 32 GiB",
        );
    }
}

/// Reports the regions that the device tree reserves: nothing must be placed there, and the
/// checksums show whether they were written to.
fn report_reserved(machine: &Machine, image: Option<Region>, tree: Region) {
    let ram = machine.memory.ram.as_slice();
    for reserved in machine.memory.reserved.as_slice() {
        let crc = ram
            .iter()
            .any(|piece| piece.contains(*reserved))
            .then(|| bytes(reserved.start(), reserved.length().0).map(crc32fast::hash));
        say!(
            "payload: reserved@{}={:#010x} ok",
            reserved.start(),
            crc.flatten().unwrap_or_default()
        );
        let overlaps =
            tree.overlaps(*reserved) || image.is_some_and(|image| image.overlaps(*reserved));
        check(
            "in_what_is_reserved",
            overlaps,
            !overlaps,
            "neither kernel nor device tree",
        );
    }
}

/// The PL011 registers that configure its line (DDI 0183, section 3.3).
#[repr(C)]
struct Uart {
    unused: [u32; 9],
    integer_divisor: ReadPure<u32>,
    fractional_divisor: ReadPure<u32>,
    line_control: ReadPure<u32>,
    control: ReadPure<u32>,
}

/// Reports how the loader left the console, if there is one.
fn report_uart(machine: &Machine) {
    let Some(address) = machine
        .console
        .and_then(|console| NonNull::new(console.start().0 as *mut Uart))
    else {
        return;
    };
    // SAFETY: the DTB says that these are the registers of a PL011; reading them changes nothing.
    let uart: UniqueMmioPointer<'_, Uart> = unsafe { UniqueMmioPointer::new(address) };
    let control = field_shared!(uart, control).read();
    check(
        "uart_control",
        format_args!("{control:#x}"),
        control == 0x301,
        "UART, transmitter and receiver on",
    );
    let line = field_shared!(uart, line_control).read();
    check(
        "uart_line",
        format_args!("{line:#x}"),
        line == 0x70,
        "8 data bits, FIFOs on",
    );
    let whole = field_shared!(uart, integer_divisor).read();
    let rest = field_shared!(uart, fractional_divisor).read();
    let baud = (24_000_000_u32 * 4)
        .checked_div(64 * whole + rest)
        .unwrap_or_default();
    check(
        "baud",
        baud,
        baud.abs_diff(115_200) < 1000,
        "115200, less than a percent off",
    );
}

/// Returns the value of `/chosen/little-loader,NAME`.
fn property_named<'a>(chosen: &FdtNode<'a>, name: &str) -> Option<&'a [u8]> {
    chosen.properties().find_map(|property| {
        let is_it = property.name().strip_prefix("little-loader,") == Some(name);
        is_it.then(|| property.value_as().ok())?
    })
}

/// The registers of a virtio-mmio transport up to the status (VIRTIO 1.2, section 4.2.2).
#[repr(C)]
struct Transport {
    unused: [u32; 28],
    status: ReadPure<u32>,
}

/// Reports whether every device was reset: one that was not may still write to memory.
fn report_transports(machine: &Machine) {
    let mut running = 0;
    for window in machine.transports.as_slice() {
        let Some(address) = NonNull::new(window.start().0 as *mut Transport) else {
            continue;
        };
        // SAFETY: the DTB says that these are the registers of a virtio transport; reading the
        // status changes nothing.
        let transport: UniqueMmioPointer<'_, Transport> =
            unsafe { UniqueMmioPointer::new(address) };
        if field_shared!(transport, status).read() != 0 {
            running += 1;
        }
    }
    check("transports", machine.transports.as_slice().len(), true, "");
    check("running_devices", running, running == 0, "all reset");
}

/// Returns memory as bytes; `None` for a null address.
fn bytes(at: Addr, length: u64) -> Option<&'static [u8]> {
    let start = NonNull::new(at.0 as *mut u8)?;
    // SAFETY: with the MMU off all RAM can be read, and nothing writes to the memory that the
    // loader handed over.
    Some(unsafe { NonNull::slice_from_raw_parts(start, length as usize).as_ref() })
}

/// Calls a PSCI function without arguments; does nothing without a conduit.
pub(crate) fn call(conduit: Option<Conduit>, function: u32) {
    match conduit {
        Some(Conduit::Hvc) => drop(Hvc::call32(function, [0; 7])),
        Some(Conduit::Smc) => drop(Smc::call32(function, [0; 7])),
        None => {}
    }
}
