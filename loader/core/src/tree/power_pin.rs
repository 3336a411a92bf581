// SPDX-License-Identifier: MIT OR Apache-2.0

//! The pin that powers the machine off. Only a machine without PSCI needs it: QEMU's virt machine
//! with `secure=on`.

use crate::tree::fdt::Fdt;
use crate::tree::format::word;
use crate::tree::reg::RegEntries;
use crate::units::Region;

/// A pin of a PL061 that powers the machine off when it is driven high (Linux,
/// `Documentation/devicetree/bindings/power/reset/gpio-poweroff.yaml`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpioPowerOff {
    /// The registers of the PL061.
    pub registers: Region,
    /// The pin's number, 0 to 7.
    pub pin: u8,
}

impl GpioPowerOff {
    /// Finds the pin that `/gpio-poweroff` names by the phandle of its controller.
    #[must_use]
    pub fn find(fdt: Fdt<'_>) -> Option<Self> {
        let gpios = fdt.find(b"/gpio-poweroff")?.property(b"gpios")?;
        let (phandle, rest) = gpios.split_first_chunk::<4>()?;
        let pin = u8::try_from(word(rest, 0)).ok()?;
        let mut nodes = fdt.root().children();
        let controller = nodes.find(|node| node.property(b"phandle") == Some(phandle))?;
        let registers = RegEntries::of(controller).next().ok()??;
        (pin < 8).then_some(Self { registers, pin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Addr, Bytes};

    #[test]
    fn a_power_off_pin_is_found_by_its_phandle() {
        let find = |dtb: &[u8]| GpioPowerOff::find(Fdt::new(dtb).unwrap());
        assert_eq!(find(include_bytes!("../../tests/fixtures/virt.dtb")), None);
        let pin = GpioPowerOff {
            registers: Region::new(Addr(0x90b_0000), Bytes(0x1000)).unwrap(),
            pin: 3,
        };
        let odd = include_bytes!("../../tests/fixtures/odd.dtb");
        assert_eq!(find(odd), Some(pin));
    }
}
