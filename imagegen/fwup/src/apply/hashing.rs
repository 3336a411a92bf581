// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hashes a resource in a separate thread: hashing takes nearly as long as unpacking, and the two
//! can run in parallel.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use blake2::{Blake2b256, Digest};

pub(super) struct Hashing {
    pieces: Sender<Vec<u8>>,
    hashed: Receiver<Vec<u8>>,
    thread: JoinHandle<[u8; 32]>,
}

impl Hashing {
    pub(super) fn start() -> Self {
        let (pieces, input) = channel::<Vec<u8>>();
        let (output, hashed) = channel();
        let thread = thread::spawn(move || {
            let mut hasher = Blake2b256::new();
            for piece in input {
                hasher.update(&piece);
                // After an error the receiver is gone.
                if output.send(piece).is_err() {
                    break;
                }
            }
            hasher.finalize().into()
        });
        Self {
            pieces,
            hashed,
            thread,
        }
    }

    /// Queues a piece for hashing. [`hashed`](Self::hashed) returns the pieces in order.
    pub(super) fn add(&self, piece: Vec<u8>) {
        // The thread runs until this end is dropped.
        let _ = self.pieces.send(piece);
    }

    /// Waits for the oldest piece that was added but not yet returned. There must be one.
    pub(super) fn hashed(&self) -> Vec<u8> {
        self.hashed.recv().unwrap_or_default()
    }

    /// Returns the BLAKE2b-256 hash of all pieces.
    pub(super) fn finish(self) -> [u8; 32] {
        drop(self.pieces);
        self.thread.join().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_in_order_and_are_all_in_the_hash() {
        let hashing = Hashing::start();
        hashing.add(b"hel".to_vec());
        hashing.add(b"lo\n".to_vec());
        assert_eq!(hashing.hashed(), b"hel");
        assert_eq!(hashing.hashed(), b"lo\n");
        let expected: [u8; 32] = Blake2b256::digest(b"hello\n").into();
        assert_eq!(hashing.finish(), expected);
    }
}
