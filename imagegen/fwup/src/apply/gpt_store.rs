// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writes a GUID partition table, so that an interruption at any point leaves a complete copy of
//! the old table or of the new one.
//!
//! A reader takes the primary copy, or the backup if the primary is invalid. The backup is therefore
//! replaced first, while the primary is still the old one, and then the primary, while the backup
//! is already the new one. If the primary is invalid at the start, the backup may be the only
//! valid copy, so the order is reversed. The master boot record is last: on a disk with another kind
//! of table, it makes readers use the new table.

use little_loader_core::units::BLOCK_SIZE;

use super::gpt_tables::GptTables;
use crate::destination::device::Device;
use crate::destination::error::DeviceError;
use crate::destination::storage::Storage;

/// The largest array of entries that is read to check a table, in bytes.
const MOST_ARRAY: u64 = 1 << 20;

impl GptTables {
    /// Returns the offsets in bytes and the contents: master boot record, primary copy, backup.
    pub(super) fn parts(&self) -> [(u64, &[u8]); 3] {
        [
            (0, &self.protective[..]),
            (BLOCK_SIZE, &self.primary),
            (self.backup_block * BLOCK_SIZE, &self.backup),
        ]
    }

    /// Writes the table.
    ///
    /// # Errors
    ///
    /// When the destination is too small or cannot be written.
    pub(super) fn store<S: Storage>(&self, device: &mut Device<S>) -> Result<(), DeviceError> {
        let [protective, primary, backup] = self.parts();
        let order = if has_primary(device)? {
            [backup, primary, protective]
        } else {
            [primary, backup, protective]
        };
        for (offset, bytes) in order {
            device.write_ordered(offset, bytes)?;
        }
        Ok(())
    }
}

/// Whether the disk has a valid primary copy.
fn has_primary<S: Storage>(device: &mut Device<S>) -> Result<bool, DeviceError> {
    let mut header = [0; BLOCK_SIZE as usize];
    device.read(BLOCK_SIZE, &mut header)?;
    let Some(array) = PrimaryArray::of(&header) else {
        return Ok(false);
    };
    if array.offset >= device.length() {
        return Ok(false);
    }
    let mut bytes = vec![0; array.length];
    device.read(array.offset, &mut bytes)?;
    Ok(crc32fast::hash(&bytes) == array.crc)
}

/// The array of entries that a valid primary header refers to. The offset and length are in bytes.
struct PrimaryArray {
    offset: u64,
    length: usize,
    crc: u32,
}

impl PrimaryArray {
    fn of(header: &[u8; BLOCK_SIZE as usize]) -> Option<Self> {
        let number = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let wide = |at| u64::from(number(at)) | u64::from(number(at + 4)) << 32;
        let mut covered = header.get(..number(12) as usize)?.to_vec();
        // The checksum is computed with zeroes in its own place.
        covered.get_mut(16..20)?.fill(0);
        let is_valid = header.starts_with(b"EFI PART")
            && wide(24) == 1
            && crc32fast::hash(&covered) == number(16);
        let length = u64::from(number(80)) * u64::from(number(84));
        if !is_valid || length > MOST_ARRAY {
            return None;
        }
        Some(Self {
            offset: wide(72).checked_mul(BLOCK_SIZE)?,
            length: length as usize,
            crc: number(88),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::apply::gpt_tables::gpt_tables;
    use crate::firmware::gpt::Gpt;

    fn header() -> [u8; BLOCK_SIZE as usize] {
        let gpt = Gpt {
            title: "x",
            guid: None,
            partitions: Vec::new(),
        };
        let tables = gpt_tables(&gpt, 1000);
        tables.primary[..BLOCK_SIZE as usize].try_into().unwrap()
    }

    #[test]
    fn a_header_with_a_wrong_bit_is_not_valid() {
        let header = header();
        let array = PrimaryArray::of(&header).unwrap();
        assert_eq!((array.offset, array.length), (1024, 16384));
        for bit in 0..92 * 8 {
            let mut wrong = header;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(PrimaryArray::of(&wrong).is_none(), "{bit}");
        }
    }

    proptest! {
        #[test]
        fn no_header_causes_a_panic(bytes in prop::collection::vec(any::<u8>(), 512)) {
            let mut header: [u8; 512] = bytes.try_into().unwrap();
            let _ = PrimaryArray::of(&header);
            header[..8].copy_from_slice(b"EFI PART");
            header[24..32].copy_from_slice(&1_u64.to_le_bytes());
            header[12..16].copy_from_slice(&92_u32.to_le_bytes());
            header[16..20].fill(0);
            let crc = crc32fast::hash(&header[..92]);
            header[16..20].copy_from_slice(&crc.to_le_bytes());
            let _ = PrimaryArray::of(&header);
        }
    }
}
