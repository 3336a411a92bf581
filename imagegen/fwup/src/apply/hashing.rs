// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hashes the data of resources. Large ones are hashed in a separate thread, while others unpack and
//! write; for small ones passing the data on takes longer than hashing.

use std::collections::VecDeque;
use std::mem;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::blake2b::Hasher;
use crate::destination::aligned::AlignedBytes;

/// The thread that hashes has ended, or could not be started: its hash must not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the thread that hashes the data has failed; try again, with more free memory")]
pub struct HashingError;

/// A part of the work of the thread.
enum Work {
    Piece(AlignedBytes),
    /// The end of a resource.
    End,
}

/// A result of the thread, in the order of the work.
enum Done {
    Piece(AlignedBytes),
    Hash([u8; 32]),
}

/// Hashes resources one after the other, all large ones in the same thread.
#[derive(Default)]
pub(super) struct Hashing {
    worker: Option<Worker>,
}

/// The ends of the channels to the thread.
pub(super) struct Worker {
    work: Sender<Work>,
    done: Receiver<Done>,
}

/// The hash of a resource whose data is being added.
pub(super) enum ResourceHash<'a> {
    /// In this thread. The pieces that were added are queued here.
    Here(Box<Hasher>, VecDeque<AlignedBytes>),
    /// In the other thread.
    There(&'a Worker),
}

impl Hashing {
    /// Starts a resource; `is_large` chooses the thread.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub(super) fn start(&mut self, is_large: bool) -> Result<ResourceHash<'_>, HashingError> {
        if !is_large {
            return Ok(ResourceHash::Here(Box::default(), VecDeque::new()));
        }
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => Worker::start()?,
        };
        Ok(ResourceHash::There(self.worker.insert(worker)))
    }

    /// Ends the thread. Needed before another resource only if one was not finished.
    pub(super) fn stop(&mut self) {
        self.worker = None;
    }
}

impl Worker {
    fn start() -> Result<Self, HashingError> {
        let (work, input) = channel();
        let (output, done) = channel();
        let builder = thread::Builder::new().name("hashing".to_owned());
        // The thread runs until the other ends of the channels are dropped.
        builder
            .spawn(move || hash(&input, &output))
            .map_err(|_| HashingError)?;
        Ok(Self { work, done })
    }
}

/// The work of the thread.
fn hash(input: &Receiver<Work>, output: &Sender<Done>) {
    let mut hasher = Hasher::new();
    for work in input {
        let done = match work {
            Work::Piece(piece) => {
                hasher.update(&piece);
                Done::Piece(piece)
            }
            Work::End => Done::Hash(mem::take(&mut hasher).finalize()),
        };
        // After an error the receiver is gone.
        if output.send(done).is_err() {
            break;
        }
    }
}

impl ResourceHash<'_> {
    /// Adds a piece. [`hashed`](Self::hashed) returns the pieces in order.
    ///
    /// # Errors
    ///
    /// When the thread has ended.
    pub(super) fn add(&mut self, piece: AlignedBytes) -> Result<(), HashingError> {
        match self {
            Self::Here(hasher, pieces) => {
                hasher.update(&piece);
                pieces.push_back(piece);
                Ok(())
            }
            Self::There(worker) => {
                let sent = worker.work.send(Work::Piece(piece));
                sent.map_err(|_| HashingError)
            }
        }
    }

    /// Waits for the oldest piece that was added but not yet returned. There must be one.
    ///
    /// # Errors
    ///
    /// When the thread has ended.
    pub(super) fn hashed(&mut self) -> Result<AlignedBytes, HashingError> {
        match self {
            Self::Here(_, pieces) => pieces.pop_front().ok_or(HashingError),
            Self::There(worker) => match worker.done.recv() {
                Ok(Done::Piece(piece)) => Ok(piece),
                Ok(Done::Hash(_)) | Err(_) => Err(HashingError),
            },
        }
    }

    /// Returns the BLAKE2b-256 hash of all pieces. All must have been returned.
    ///
    /// # Errors
    ///
    /// When the thread has ended.
    pub(super) fn finish(self) -> Result<[u8; 32], HashingError> {
        match self {
            Self::Here(hasher, _) => Ok(hasher.finalize()),
            Self::There(worker) => {
                worker.work.send(Work::End).map_err(|_| HashingError)?;
                match worker.done.recv() {
                    Ok(Done::Hash(hash)) => Ok(hash),
                    Ok(Done::Piece(_)) | Err(_) => Err(HashingError),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blake2b;

    fn piece(data: &[u8]) -> AlignedBytes {
        let mut piece = AlignedBytes::zeroed(data.len());
        piece.copy_from_slice(data);
        piece
    }

    #[test]
    fn pieces_come_back_in_order_and_are_all_in_the_hash() {
        let mut hashing = Hashing::default();
        for (is_large, end) in [(true, "lo\n"), (false, "lo\n"), (true, "p"), (true, "")] {
            let mut hash = hashing.start(is_large).unwrap();
            hash.add(piece(b"hel")).unwrap();
            hash.add(piece(end.as_bytes())).unwrap();
            assert_eq!(*hash.hashed().unwrap(), *b"hel");
            assert_eq!(*hash.hashed().unwrap(), *end.as_bytes());
            let expected = blake2b::hash(format!("hel{end}").as_bytes());
            assert_eq!(hash.finish(), Ok(expected));
        }
    }

    #[test]
    fn a_thread_that_has_ended_is_an_error() {
        let ended = || {
            let (work, input) = channel();
            let (output, done) = channel();
            // Takes one piece and ends.
            let thread = thread::spawn(move || drop((input.recv(), output)));
            (Worker { work, done }, thread)
        };
        let (worker, thread) = ended();
        let mut hash = ResourceHash::There(&worker);
        hash.add(piece(b"x")).unwrap();
        thread.join().unwrap();
        assert_eq!(hash.hashed().map(|_| ()), Err(HashingError));
        assert_eq!(hash.add(piece(b"x")), Err(HashingError));
        assert_eq!(hash.finish(), Err(HashingError));
    }
}
