// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tests share.

use vcdiff_stream::decode::{DecodeOptions, Decoder, DeltaError};
use vcdiff_stream::encode::{EncodeOptions, encode};

/// Bytes that look random and repeat nowhere (xorshift).
pub(crate) fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Two versions of a file of 40,000 bytes: the second has changed, moved, missing and new parts.
pub(crate) fn versions() -> [Vec<u8>; 2] {
    let old = [noise(30_000, 1), vec![0; 4_000], noise(6_000, 2)].concat();
    let mut new = [
        &old[..9_000],
        b"inserted",
        &old[12_000..30_000],
        &[0xff; 700],
        &old[3_000..8_000],
        &noise(500, 3),
        &b"pattern ".repeat(40),
        &old[34_000..],
    ]
    .concat();
    new.iter_mut()
        .skip(13_000)
        .step_by(97)
        .take(40)
        .for_each(|byte| *byte ^= 0x55);
    [old, new]
}

/// Decodes a delta that arrives in pieces of `piece` bytes.
pub(crate) fn decoded(delta: &[u8], source: &[u8], piece: usize) -> Result<Vec<u8>, DeltaError> {
    let mut decoder = Decoder::new(source, DecodeOptions::default());
    let mut out = Vec::new();
    for piece in delta.chunks(piece) {
        decoder.push(piece, &mut out)?;
    }
    assert_eq!(decoder.finish()?, out.len() as u64);
    Ok(out)
}

/// Encodes with windows of a length.
pub(crate) fn encoded(source: &[u8], mut target: &[u8], window_length: usize) -> Vec<u8> {
    let options = EncodeOptions {
        window_length,
        index_length: 1 << 20,
    };
    let mut delta = Vec::new();
    encode(source, &mut target, &mut delta, options).expect("nothing can fail in memory");
    delta
}
