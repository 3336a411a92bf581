// SPDX-License-Identifier: MIT OR Apache-2.0

//! The console: the PL011 that the DTB's stdout-path names.
//!
//! Each access is a VM exit under KVM, so the flag register is read once for as many bytes as the
//! FIFO holds, not once per byte, and a good boot prints three lines. Before the DTB is read, and
//! if there is none, the console is the PL011 that every virt machine has.
//!
//! Source: Arm PrimeCell UART (PL011) Technical Reference Manual (DDI 0183), chapter 3.

use core::fmt::{self, Write};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use safe_mmio::fields::{ReadPure, WriteOnly};
use safe_mmio::{UniqueMmioPointer, field, field_shared};

use crate::cpu::deadline::Deadline;
use crate::cpu::mmu::DeviceMemory;

/// The address of the PL011 on QEMU's virt machine, in all versions (QEMU, `hw/arm/virt.c`,
/// `VIRT_UART`).
const DEFAULT_PL011: usize = 0x0900_0000;

/// FR: the transmit FIFO is empty.
const FR_TXFE: u32 = 1 << 7;
/// IBRD, the baud rate divisor: from the virt machine's 24 MHz (QEMU, `hw/arm/virt.c`,
/// `/apb-pclk`), 115385 baud, which Linux rounds to 115200. The fractional divisor, FBRD, would
/// make up for the difference; it is 0 after a reset. QEMU transmits with any divisor, but Linux
/// divides by it if it finds the UART enabled.
const BAUD_DIVISOR: u32 = 24_000_000 / (16 * 115_200);
/// LCR_H: 8 data bits, FIFOs on.
const LCR_H_8_BITS_FIFO: u32 = 0b11 << 5 | 1 << 4;
/// CR: UART, transmitter and receiver enabled.
const CR_ON: u32 = 1 << 0 | 1 << 8 | 1 << 9;

/// The size of the transmit FIFO in bytes; the PL011 has 32 from r1p5 on.
const FIFO_DEPTH: u8 = 16;
/// With FIFOs off, which is the state after a reset, the PL011 holds one byte.
const NO_FIFO_DEPTH: u8 = 1;
/// The time in seconds after which the loader gives up a UART that does not transmit, and continues
/// without output. A full FIFO takes 1.4 ms at 115200 baud.
const TIMEOUT_SECONDS: u64 = 1;

/// The address of the registers; 0 if no PL011 can be used as the console.
static PL011: AtomicUsize = AtomicUsize::new(DEFAULT_PL011);
/// The number of bytes that fit once FR shows that there is nothing left to transmit.
static DEPTH: AtomicU8 = AtomicU8::new(NO_FIFO_DEPTH);
/// The number of bytes that are certain to fit now.
#[unsafe(link_section = ".data")]
static ROOM: AtomicU8 = AtomicU8::new(0);
/// Whether only warnings and errors are printed.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// The registers up to the control register.
#[repr(C)]
struct Pl011 {
    data: WriteOnly<u32>,
    unused_1: [u32; 5],
    flags: ReadPure<u32>,
    unused_2: [u32; 2],
    integer_divisor: WriteOnly<u32>,
    unused_3: u32,
    line_control: WriteOnly<u32>,
    control: WriteOnly<u32>,
}

/// Makes the PL011 with these registers the console and enables it, or silences the console if
/// there is none.
pub(crate) fn open(registers: Option<DeviceMemory>) {
    let registers = registers.and_then(DeviceMemory::registers::<Pl011>);
    let address = registers.map_or(0, |mut registers| registers.ptr_mut().addr());
    PL011.store(address, Ordering::Relaxed);
    if let Some(mut uart) = uart() {
        field!(uart, integer_divisor).write(BAUD_DIVISOR);
        // The write to LCR_H makes the divisor take effect (PL011 TRM, 3.3.6).
        field!(uart, line_control).write(LCR_H_8_BITS_FIFO);
        field!(uart, control).write(CR_ON);
        DEPTH.store(FIFO_DEPTH, Ordering::Relaxed);
    }
}

/// Falls back to the PL011 that every virt machine has, since the one in the DTB cannot be used.
pub(crate) fn use_default() {
    PL011.store(DEFAULT_PL011, Ordering::Relaxed);
    DEPTH.store(NO_FIFO_DEPTH, Ordering::Relaxed);
    ROOM.store(0, Ordering::Relaxed);
}

/// Sets whether only warnings and errors are printed.
pub(crate) fn set_quiet(is_quiet: bool) {
    IS_QUIET.store(is_quiet, Ordering::Relaxed);
}

fn uart() -> Option<UniqueMmioPointer<'static, Pl011>> {
    let address = NonNull::new(PL011.load(Ordering::Relaxed) as *mut Pl011)?;
    // SAFETY: `PL011` holds the address from a pointer to mapped registers, stored by `open`, or
    // the fixed one of every virt machine, which the reset code maps as device memory. Only one CPU
    // runs: if an exception interrupts a line to print its own, the two accesses do not overlap.
    Some(unsafe { UniqueMmioPointer::new(address) })
}

struct Console(UniqueMmioPointer<'static, Pl011>);

impl Console {
    /// Waits until the transmit FIFO, or the one byte in its place, is empty; `false` after a
    /// timeout.
    fn wait_for_empty_fifo(&self) -> bool {
        let is_empty = || field_shared!(self.0, flags).read() & FR_TXFE != 0;
        if is_empty() {
            return true;
        }
        let deadline = Deadline::after(TIMEOUT_SECONDS);
        while !deadline.has_passed() {
            if is_empty() {
                return true;
            }
        }
        false
    }
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut room = ROOM.load(Ordering::Relaxed);
        for byte in text.bytes() {
            if room == 0 {
                if !self.wait_for_empty_fifo() {
                    PL011.store(0, Ordering::Relaxed);
                    return Err(fmt::Error);
                }
                room = DEPTH.load(Ordering::Relaxed);
            }
            field!(self.0, data).write(byte.into());
            room -= 1;
        }
        ROOM.store(room, Ordering::Relaxed);
        Ok(())
    }
}

/// Prints a line, unless the loader is quiet.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    if !IS_QUIET.load(Ordering::Relaxed) {
        print("", text);
    }
}

/// Prints a line that says why the loader stops.
pub(crate) fn fatal(text: fmt::Arguments<'_>) {
    print("little-loader: fatal: ", text);
}

/// Prints a line about a problem that does not stop the boot.
pub(crate) fn warning(text: fmt::Arguments<'_>) {
    print("little-loader: warning: ", text);
}

fn print(prefix: &str, text: fmt::Arguments<'_>) {
    if let Some(uart) = uart() {
        let mut console = Console(uart);
        // A console that does not transmit cannot report that.
        let _ = console
            .write_str(prefix)
            .and_then(|()| console.write_fmt(text))
            .and_then(|()| console.write_str("\r\n"));
    }
}

/// Prints a line, unless the loader is quiet.
macro_rules! say {
    ($($arguments:tt)*) => { $crate::machine::console::line(format_args!($($arguments)*)) };
}

/// Prints a line if the build has `LITTLE_LOADER_TRACE=1`; otherwise the compiler removes it.
macro_rules! trace {
    ($($arguments:tt)*) => {
        if $crate::boot::build_settings::TRACE {
            $crate::machine::console::line(format_args!($($arguments)*));
        }
    };
}

pub(crate) use {say, trace};
