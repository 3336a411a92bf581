// SPDX-License-Identifier: MIT OR Apache-2.0

//! Framing: each message is a 32-bit big-endian length, followed by that number of bytes.

use std::io::{self, Read, Write};

/// Reads the contents of framed input. A frame of length zero ends it.
pub(super) struct FrameReader<R> {
    input: R,
    left: u64,
    has_ended: bool,
}

impl<R: Read> FrameReader<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            left: 0,
            has_ended: false,
        }
    }
}

impl<R: Read> Read for FrameReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.has_ended || out.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            let mut length = [0; 4];
            self.input
                .read_exact(&mut length)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => io::Error::new(
                        error.kind(),
                        "the input ends without a frame of length zero",
                    ),
                    _ => error,
                })?;
            self.left = u64::from(u32::from_be_bytes(length));
            if self.left == 0 {
                self.has_ended = true;
                return Ok(0);
            }
        }
        let length = self.input.by_ref().take(self.left).read(out)?;
        if length == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "the input ends {} bytes before the end of its frame",
                    self.left
                ),
            ));
        }
        self.left -= length as u64;
        Ok(length)
    }
}

/// Ends a run with `--exit-handshake`: prints 0x1a and the status, and waits until the other side
/// closes the input, so that the other side never loses the last output.
///
/// # Errors
///
/// When the output cannot be written.
pub(super) fn handshake(status: u8, mut out: impl Write, mut input: impl Read) -> io::Result<()> {
    out.write_all(&[0x1a, status])?;
    out.flush()?;
    let mut rest = [0; 4096];
    loop {
        match input.read(&mut rest) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Ok(()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framed_input_is_read_until_the_frame_of_length_zero() {
        let mut bytes = Vec::new();
        let input = b"\0\0\0\x02ab\0\0\0\x01c\0\0\0\0rest";
        FrameReader::new(&input[..])
            .read_to_end(&mut bytes)
            .unwrap();
        assert_eq!(bytes, b"abc");
        let error = FrameReader::new(&input[..13])
            .read_to_end(&mut Vec::new())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the input ends without a frame of length zero"
        );
        for cut in 0..input.len() - "rest".len() {
            assert!(
                FrameReader::new(&input[..cut])
                    .read_to_end(&mut Vec::new())
                    .is_err(),
                "{cut}"
            );
        }
    }

    #[test]
    fn a_handshake_waits_for_the_end_of_the_input() {
        let mut out = Vec::new();
        let mut input = &[0; 10_000][..];
        handshake(1, &mut out, &mut input).unwrap();
        assert_eq!((out, input.len()), (vec![0x1a, 1], 0));
    }
}
