// SPDX-License-Identifier: MIT OR Apache-2.0

//! Encodes an operating system image profile (OSIP).

use crate::firmware::osip::{OsImage, Osip};

/// The size of the header in bytes.
const OSIP_HEADER: usize = 32;
/// The size of an image's description in bytes.
const OS_IMAGE: usize = 24;
/// The offset of the checksum in the header: with it, the XOR of all bytes is 0.
const CHECKSUM: usize = 7;

/// Returns the table, at most 392 bytes.
pub(super) fn osip_table(osip: &Osip) -> Vec<u8> {
    let mut table = vec![0; OSIP_HEADER + OS_IMAGE * osip.images.len()];
    // Both are small: there are at most 15 images.
    let (count, length) = (osip.images.len() as u8, table.len() as u16);
    table[..4].copy_from_slice(b"$OS$");
    table[5] = osip.minor;
    table[6] = osip.major;
    table[8] = osip.pointers;
    table[9] = count;
    table[10..12].copy_from_slice(&length.to_le_bytes());
    let places = table[OSIP_HEADER..].chunks_exact_mut(OS_IMAGE);
    for (image, place) in osip.images.iter().zip(places) {
        encode_image(image, place);
    }
    table[CHECKSUM] = table.iter().fold(0, |sum, byte| sum ^ byte);
    table
}

fn encode_image(image: &OsImage, place: &mut [u8]) {
    place[0..2].copy_from_slice(&image.minor.to_le_bytes());
    place[2..4].copy_from_slice(&image.major.to_le_bytes());
    for (number, place) in [
        image.start,
        image.load_address,
        image.entry_point,
        image.blocks,
    ]
    .iter()
    .zip(place[4..20].chunks_exact_mut(4))
    {
        place.copy_from_slice(&number.to_le_bytes());
    }
    place[20] = image.attribute;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_the_largest_table_add_up_to_zero() {
        let image = OsImage {
            minor: 0x0102,
            entry_point: 0x0304_0506,
            attribute: 0xf,
            ..OsImage::default()
        };
        let table = osip_table(&Osip {
            minor: 2,
            major: 1,
            pointers: 1,
            images: vec![image; 15],
        });
        assert_eq!(table.len(), 392);
        assert_eq!(table.iter().fold(0, |sum, byte| sum ^ byte), 0);
        assert_eq!(table[10..12], 392_u16.to_le_bytes());
        assert_eq!(table[32 + 14 * 24 + 20], 0xf);
    }
}
