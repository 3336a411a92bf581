// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bodies of the fuzz targets. The fuzzer calls them, and so does the test `fuzz`, which needs
//! no nightly compiler.

use std::io::{Read, Write};

use vcdiff_stream::decode::{DecodeOptions, Decoder, Patched, inspect};
use vcdiff_stream::encode::{EncodeOptions, encode};

/// The largest window in bytes.
const WINDOW: u64 = 1 << 16;

const OPTIONS: DecodeOptions = DecodeOptions {
    largest_window: WINDOW,
    longest_application_header: 100,
    cache_length: 0,
};

/// A sink that counts.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Bytes as a delta of a small source: an error, or the same target however it is decoded, and no
/// more output than the headers declare.
pub(crate) fn delta(bytes: &[u8]) {
    let source = source();
    let mut decoder = Decoder::new(&source[..], OPTIONS);
    let mut out = Counted(0);
    let mut result = Ok(());
    for piece in bytes.chunks(5) {
        result = result.and_then(|()| decoder.push(piece, &mut out));
    }
    let result = result.and_then(|()| decoder.finish());
    assert!(out.0 <= bytes.len() as u64 * WINDOW);
    let mut read = Vec::new();
    let patched = Patched::new(bytes, &source[..], OPTIONS).read_to_end(&mut read);
    assert_eq!(result.is_ok(), patched.is_ok());
    assert_eq!(read.len() as u64, out.0);
    if let Ok(length) = result {
        assert_eq!(length, out.0);
        let summary = inspect(&mut &bytes[..], OPTIONS).expect("a delta that was applied");
        assert_eq!(summary.target_length, length);
        assert!(summary.largest_window <= WINDOW);
    }
}

/// Bytes as a source and a target: the delta makes the target.
pub(crate) fn target(bytes: &[u8]) {
    let split = bytes
        .first()
        .map_or(0, |first| usize::from(*first) * bytes.len() / 256);
    let (source, target) = bytes.split_at(split);
    let options = EncodeOptions {
        window_length: 1000,
        index_length: 256,
    };
    let mut delta = Vec::new();
    encode(source, &mut &target[..], &mut delta, options).expect("nothing can fail in memory");
    let mut read = Vec::new();
    let mut patched = Patched::new(&delta[..], source, OPTIONS);
    patched.read_to_end(&mut read).expect("our own delta");
    assert!(read == target);
}

/// The source of [`delta`].
pub(crate) fn source() -> Vec<u8> {
    (0..70_000_u32).map(|at| (at ^ at >> 7) as u8).collect()
}
