// SPDX-License-Identifier: MIT OR Apache-2.0

//! The PL011 of QEMU's virt machine, as the loader left it.

use core::fmt::{self, Write};
use core::ptr::NonNull;

use safe_mmio::fields::WriteOnly;
use safe_mmio::{UniqueMmioPointer, field};

/// The address of the PL011 (QEMU, `hw/arm/virt.c`, `VIRT_UART`).
const PL011: usize = 0x0900_0000;

#[repr(C)]
struct Registers {
    data: WriteOnly<u32>,
}

struct Console(UniqueMmioPointer<'static, Registers>);

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // QEMU accepts bytes as fast as they are written.
        for byte in text.bytes() {
            field!(self.0, data).write(byte.into());
        }
        Ok(())
    }
}

/// Prints a line.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    let address = NonNull::new(PL011 as *mut Registers);
    // SAFETY: the virt machine has its PL011 here, and nothing else uses it.
    let console = address.map(|address| Console(unsafe { UniqueMmioPointer::new(address) }));
    if let Some(mut console) = console {
        // Writing to the console never fails.
        let _ = console.write_fmt(text);
        let _ = console.write_str("\r\n");
    }
}

/// Prints a line.
macro_rules! say {
    ($($arguments:tt)*) => { $crate::console::line(format_args!($($arguments)*)) };
}

pub(crate) use say;
