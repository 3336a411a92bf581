// SPDX-License-Identifier: MIT OR Apache-2.0

//! The pieces of a resource's data. Unpacking takes longer than hashing and writing together, so
//! the data of large resources is unpacked in a thread of its own, a few pieces ahead.

use std::mem;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::error::{ApplyError, UnpackingError};
use super::resource_data::ResourceData;
use crate::destination::aligned::AlignedBytes;

/// The number of pieces that exist at the same time: one being unpacked, one waiting, one being
/// hashed and one being written.
const PIECES: usize = 4;

/// A piece of data, and the number of its bytes: fewer than its length if the data has ended.
pub(super) type Piece = (AlignedBytes, usize);

/// Yields the pieces of a resource.
pub(super) trait Pieces {
    /// Returns the next piece, of `length` bytes.
    fn next(&mut self, length: usize) -> Result<Piece, ApplyError>;

    /// Takes back memory for another piece.
    fn reuse(&mut self, piece: AlignedBytes);

    /// Reads on after the last piece, which makes an archive check its checksum and sizes. Returns
    /// the number of bytes that follow, at most 1.
    fn end(&mut self) -> Result<usize, ApplyError>;
}

/// Reads each piece when it is wanted.
pub(super) struct ReadNow<'a> {
    data: &'a mut dyn ResourceData,
    spare: AlignedBytes,
}

impl<'a> ReadNow<'a> {
    pub(super) fn new(data: &'a mut dyn ResourceData) -> Self {
        Self {
            data,
            spare: AlignedBytes::default(),
        }
    }
}

impl Pieces for ReadNow<'_> {
    fn next(&mut self, length: usize) -> Result<Piece, ApplyError> {
        let mut piece = mem::take(&mut self.spare);
        piece.resize(length);
        let found = self.data.read(&mut piece)?;
        Ok((piece, found))
    }

    fn reuse(&mut self, piece: AlignedBytes) {
        self.spare = piece;
    }

    fn end(&mut self) -> Result<usize, ApplyError> {
        self.data.read(&mut [0])
    }
}

/// Gets the pieces from the thread that reads ahead.
pub(super) struct ReadAhead {
    pieces: Receiver<Result<Piece, ApplyError>>,
    spare: Sender<AlignedBytes>,
}

/// Runs `use_pieces` with the pieces of `data`, whose lengths are those of `lengths`, while another
/// thread reads ahead. After an error of `use_pieces` this still waits for the piece that the thread
/// is reading: a read from a pipe cannot be interrupted.
pub(super) fn with_read_ahead<T>(
    data: &mut (dyn ResourceData + Send),
    lengths: impl Iterator<Item = usize> + Send,
    use_pieces: impl FnOnce(&mut dyn Pieces) -> Result<T, ApplyError>,
) -> Result<T, ApplyError> {
    let (spare, memory) = channel();
    let (output, pieces) = channel();
    for _piece in 0..PIECES {
        // The other end exists.
        let _ = spare.send(AlignedBytes::default());
    }
    thread::scope(|scope| {
        thread::Builder::new()
            .name("unpacking".to_owned())
            .spawn_scoped(scope, move || read(data, lengths, &memory, &output))
            .map_err(|_| UnpackingError)?;
        // Dropping `ReadAhead` closes the channels, which ends the thread; only then does the scope
        // wait for it.
        use_pieces(&mut ReadAhead { pieces, spare })
    })
}

/// The work of the thread. It ends after the last piece, after an error, or when nobody waits for
/// pieces any more.
fn read(
    data: &mut dyn ResourceData,
    lengths: impl Iterator<Item = usize>,
    memory: &Receiver<AlignedBytes>,
    output: &Sender<Result<Piece, ApplyError>>,
) {
    // One byte more than the resource has makes the archive check its end.
    for length in lengths.chain([1]) {
        let Ok(mut piece) = memory.recv() else { return };
        piece.resize(length);
        let found = data.read(&mut piece);
        let is_last = !found.as_ref().is_ok_and(|found| *found == length);
        if output.send(found.map(|found| (piece, found))).is_err() || is_last {
            return;
        }
    }
}

impl Pieces for ReadAhead {
    fn next(&mut self, _length: usize) -> Result<Piece, ApplyError> {
        self.pieces.recv().map_err(|_| UnpackingError)?
    }

    fn reuse(&mut self, piece: AlignedBytes) {
        // The thread may have read everything.
        let _ = self.spare.send(piece);
    }

    fn end(&mut self) -> Result<usize, ApplyError> {
        Ok(self.next(1)?.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::error::ResourceDataError;

    /// Data of `left` bytes, numbered, after which reading fails if `fails`.
    struct Numbered {
        next: u8,
        left: usize,
        fails: bool,
    }

    impl ResourceData for Numbered {
        fn read(&mut self, out: &mut [u8]) -> Result<usize, ApplyError> {
            let length = out.len().min(self.left);
            if length < out.len() && self.fails {
                return Err(ResourceDataError::Missing("x".to_owned()).into());
            }
            for byte in &mut out[..length] {
                *byte = self.next;
                self.next += 1;
            }
            self.left -= length;
            Ok(length)
        }
    }

    /// Reads pieces of 3 bytes, and returns their bytes and the number of those that follow.
    fn read_all(left: usize, fails: bool) -> [Result<(Vec<u8>, usize), ApplyError>; 2] {
        let lengths = [3; 5];
        let read = |pieces: &mut dyn Pieces| {
            let mut bytes = Vec::new();
            for length in lengths {
                let (piece, found) = pieces.next(length)?;
                bytes.extend(&piece[..found]);
                if found < length {
                    return Ok((bytes, 0));
                }
                pieces.reuse(piece);
            }
            Ok((bytes, pieces.end()?))
        };
        let data = || Numbered {
            next: 0,
            left,
            fails,
        };
        [
            read(&mut ReadNow::new(&mut data())),
            with_read_ahead(&mut data(), lengths.into_iter(), read),
        ]
    }

    #[test]
    fn both_ways_yield_the_same_pieces() {
        for left in [0, 2, 3, 14, 15, 16, 20] {
            let expected: Vec<u8> = (0..left.min(15) as u8).collect();
            for result in read_all(left, false) {
                let (bytes, more) = result.unwrap();
                assert_eq!(bytes, expected);
                assert_eq!(more, usize::from(left > 15), "{left}");
            }
            for result in read_all(left, true) {
                assert_eq!(result.is_err(), left < 16, "{left}");
            }
        }
    }

    #[test]
    fn the_thread_ends_when_the_pieces_are_not_wanted() {
        let data = &mut Numbered {
            next: 0,
            left: 100,
            fails: false,
        };
        let first = with_read_ahead(
            data,
            std::iter::repeat(1),
            |pieces| Ok(pieces.next(1)?.0[0]),
        );
        assert_eq!(first.unwrap(), 0);
        // It had no memory for more.
        assert!(data.next as usize <= PIECES);
    }
}
