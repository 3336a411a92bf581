// SPDX-License-Identifier: MIT OR Apache-2.0

//! The size in the header of a DTB: read before the rest of the DTB, and reduced to the part in
//! use.

use crate::tree::error::DtbError;
use crate::tree::format::{
    HEADER_SIZE, MAGIC, OFF_DT_STRINGS, SIZE_DT_STRINGS, TOTALSIZE, put_word, word,
};
use crate::units::Addr;

/// The largest DTB that is accepted, in bytes: the kernel maps no more (booting.rst, section 2).
pub const MAX_SIZE: u64 = 2 << 20;

/// Reads the size in bytes of the DTB at the address `at` from its header.
///
/// # Errors
///
/// When this is not the header of a DTB, or the size is out of range.
pub fn total_size(header: &[u8; HEADER_SIZE], at: Addr) -> Result<usize, DtbError> {
    let found = word(header, 0);
    if found != MAGIC {
        return Err(DtbError::Missing { at, found });
    }
    let size = word(header, TOTALSIZE);
    match usize::try_from(size) {
        Ok(bytes) if (HEADER_SIZE..=MAX_SIZE as usize).contains(&bytes) => Ok(bytes),
        _ => Err(DtbError::Size {
            at,
            size: size.into(),
        }),
    }
}

/// Cuts off the unused space after the last block of a DTB, and returns the rest. QEMU leaves about
/// 1 MiB unused, and the kernel reserves the size in the header.
///
/// The strings block comes last; [`Fdt::new`](crate::tree::fdt::Fdt::new) rejects a tree with a
/// block after it.
pub fn pack(dtb: &mut [u8]) -> &mut [u8] {
    let used = word(dtb, OFF_DT_STRINGS).saturating_add(word(dtb, SIZE_DT_STRINGS));
    let length = used as usize;
    if !(HEADER_SIZE..=dtb.len()).contains(&length) {
        return dtb;
    }
    put_word(dtb, TOTALSIZE, used);
    &mut dtb[..length]
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::tree::fdt::Fdt;

    const VIRT: &[u8] = include_bytes!("../../tests/fixtures/virt.dtb");

    #[test]
    fn slack_is_cut_off() {
        let mut raw = std::vec::Vec::from(VIRT);
        raw.resize(1 << 20, 0xee);
        put_word(&mut raw, TOTALSIZE, 1 << 20);
        let packed = pack(&mut raw);
        assert_eq!(packed.len(), VIRT.len());
        Fdt::new(packed).unwrap();
        // Strings that end beyond the tree are left for Fdt::new to reject.
        put_word(&mut raw, SIZE_DT_STRINGS, 2 << 20);
        assert!(Fdt::new(pack(&mut raw)).is_err());
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
}
