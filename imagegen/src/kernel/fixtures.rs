// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::Write;

/// Returns a raw Image of `length` bytes that contains a version banner.
pub(super) fn image(length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..length).map(|at| (at * 7 % 251) as u8).collect();
    bytes[..64].fill(0);
    bytes[16..24].copy_from_slice(&(length as u64).to_le_bytes());
    bytes[24] = 0b1010;
    bytes[56..60].copy_from_slice(b"ARM\x64");
    bytes[200..232].copy_from_slice(b"Linux version %s (%s)\0\0\0\0\0\0\0\0\0\0\0");
    bytes[300..330].copy_from_slice(b"Linux version 6.1.0-demo (x)\n\0");
    bytes
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Returns an EFI zboot kernel with a payload, followed by other bytes.
pub(super) fn zboot(method: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[4..8].copy_from_slice(b"zimg");
    bytes[8..12].copy_from_slice(&512_u32.to_le_bytes());
    bytes[12..16].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    bytes[24..24 + method.len()].copy_from_slice(method.as_bytes());
    bytes.extend(payload);
    bytes.extend([0; 100]);
    bytes
}
