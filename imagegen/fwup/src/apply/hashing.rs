// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hashes a resource in a separate thread: hashing takes nearly as long as unpacking, and the two
//! can run in parallel.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use blake2::{Blake2b256, Digest};

/// Why there is no hash. The data must then not be used.
#[derive(Debug, thiserror::Error)]
pub enum HashingError {
    /// The thread cannot be started.
    #[error("cannot start the thread that checks the data: {0}; free memory or processes")]
    Start(io::Error),
    /// The thread ended early.
    #[error("the thread that checks the data ended before it had checked all of it")]
    Ended,
}

pub(super) struct Hashing {
    pieces: Sender<Vec<u8>>,
    hashed: Receiver<Vec<u8>>,
    thread: JoinHandle<[u8; 32]>,
}

impl Hashing {
    pub(super) fn start() -> Result<Self, HashingError> {
        Self::with(|input, output| {
            let mut hasher = Blake2b256::new();
            for piece in input {
                hasher.update(&piece);
                // After an error the receiver is gone.
                if output.send(piece).is_err() {
                    break;
                }
            }
            hasher.finalize().into()
        })
    }

    /// Starts a thread that hashes the pieces it receives and sends them back.
    fn with(
        body: impl FnOnce(Receiver<Vec<u8>>, Sender<Vec<u8>>) -> [u8; 32] + Send + 'static,
    ) -> Result<Self, HashingError> {
        let (pieces, input) = channel();
        let (output, hashed) = channel();
        let thread = Builder::new()
            .spawn(move || body(input, output))
            .map_err(HashingError::Start)?;
        Ok(Self {
            pieces,
            hashed,
            thread,
        })
    }

    /// Queues a piece for hashing. [`hashed`](Self::hashed) returns the pieces in order.
    pub(super) fn add(&self, piece: Vec<u8>) -> Result<(), HashingError> {
        self.pieces.send(piece).map_err(|_| HashingError::Ended)
    }

    /// Waits for the oldest piece that was added but not yet returned. There must be one.
    pub(super) fn hashed(&self) -> Result<Vec<u8>, HashingError> {
        self.hashed.recv().map_err(|_| HashingError::Ended)
    }

    /// Returns the BLAKE2b-256 hash of all pieces.
    pub(super) fn finish(self) -> Result<[u8; 32], HashingError> {
        drop(self.pieces);
        self.thread.join().map_err(|_| HashingError::Ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_in_order_and_are_all_in_the_hash() {
        let hashing = Hashing::start().unwrap();
        hashing.add(b"hel".to_vec()).unwrap();
        hashing.add(b"lo\n".to_vec()).unwrap();
        assert_eq!(hashing.hashed().unwrap(), b"hel");
        assert_eq!(hashing.hashed().unwrap(), b"lo\n");
        let expected: [u8; 32] = Blake2b256::digest(b"hello\n").into();
        assert_eq!(hashing.finish().unwrap(), expected);
    }

    #[test]
    fn a_thread_that_ends_early_gives_neither_data_nor_a_hash() {
        // Dropping both ends is what a panic does.
        let hashing = Hashing::with(|input, output| {
            drop((input, output));
            panic!("a test of the error")
        })
        .unwrap();
        assert!(matches!(hashing.hashed(), Err(HashingError::Ended)));
        assert!(matches!(hashing.add(vec![1]), Err(HashingError::Ended)));
        assert!(matches!(hashing.finish(), Err(HashingError::Ended)));
    }
}
