// SPDX-License-Identifier: MIT OR Apache-2.0

//! The interrupt controller in the device tree. Only a loader entered at EL3 needs it.

use crate::tree::error::DtbError;
use crate::tree::fdt::Fdt;
use crate::tree::reg::RegEntries;
use crate::units::Region;

/// The registers of a GIC (Linux,
/// `Documentation/devicetree/bindings/interrupt-controller/arm,gic.yaml` and `arm,gic-v3.yaml`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gic {
    /// The distributor.
    pub distributor: Region,
    /// The CPU interface of a GICv2; `None` for a GICv3, which has system registers instead.
    pub cpu_interface: Option<Region>,
}

impl Gic {
    /// Finds the controller among the children of the root. Returns `None` if there is none of a
    /// known kind.
    ///
    /// # Errors
    ///
    /// When its `reg` cannot be read.
    pub fn find(fdt: Fdt<'_>) -> Result<Option<Self>, DtbError> {
        for node in fdt.root().children() {
            let is = |name| node.is_compatible(name);
            let is_v3 = is(b"arm,gic-v3");
            if !is_v3 && !is(b"arm,cortex-a15-gic") && !is(b"arm,gic-400") {
                continue;
            }
            let mut entries = RegEntries::of(node);
            let Some(distributor) = entries.next()? else {
                continue;
            };
            let second = entries.next()?;
            if !is_v3 && second.is_none() {
                continue;
            }
            return Ok(Some(Self {
                distributor,
                cpu_interface: second.filter(|_| !is_v3),
            }));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Addr, Bytes};

    fn region(start: u64, length: u64) -> Region {
        Region::new(Addr(start), Bytes(length)).unwrap()
    }

    #[test]
    fn both_kinds_are_found_and_none_where_there_is_none() {
        let find = |dtb: &[u8]| Gic::find(Fdt::new(dtb).unwrap()).unwrap();
        // QEMU's default, see tests/fixtures.
        let v2 = find(include_bytes!("../../tests/fixtures/virt.dtb")).unwrap();
        assert_eq!(v2.distributor, region(0x800_0000, 0x1_0000));
        assert_eq!(v2.cpu_interface, Some(region(0x801_0000, 0x1_0000)));
        // `qemu-system-aarch64 -M virt,gic-version=3,dumpdtb=gicv3.dtb`, QEMU 7.2, then packed by
        // `dtc -I dtb -O dtb`.
        let v3 = find(include_bytes!("../../tests/fixtures/gicv3.dtb")).unwrap();
        assert_eq!(v3.distributor, region(0x800_0000, 0x1_0000));
        assert_eq!(v3.cpu_interface, None);
        assert_eq!(find(include_bytes!("../../tests/fixtures/odd.dtb")), None);
    }
}
