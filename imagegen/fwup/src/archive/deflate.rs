// SPDX-License-Identifier: MIT OR Apache-2.0

//! Deflates data of any length in chunks, on several threads.
//!
//! Each chunk is deflated on its own, which costs less than half a percent of the size and bounds
//! the memory. Chunks have a fixed size, so the result does not depend on the number of threads.

use std::io;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use libdeflater::{CompressionLvl, Compressor};

use super::deflate_end;

/// The number of bytes that are deflated at once.
const CHUNK: usize = 512 << 10;
/// The maximum number of threads: each needs about 2 MiB.
const MOST_THREADS: usize = 4;

/// The compression level: 1 is fast, 9 is small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(u8);

impl Level {
    /// Returns a level; `None` if `level` is not from 1 to 9.
    #[must_use]
    pub fn new(level: u8) -> Option<Self> {
        (1..=9).contains(&level).then_some(Self(level))
    }

    fn compressor(self) -> io::Result<Compressor> {
        // At level 1, libdeflate adds more to data that cannot be compressed than zlib does.
        let level = i32::from(self.0.max(2));
        let level = CompressionLvl::new(level).map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(Compressor::new(level))
    }
}

impl Default for Level {
    /// Smaller than zlib's level 9, which is fwup's default.
    fn default() -> Self {
        Self(7)
    }
}

/// A chunk, before and after it is deflated.
#[derive(Debug, Default)]
struct Chunk {
    data: Vec<u8>,
    is_last: bool,
    /// A buffer, whose first `length` bytes are the deflated data.
    buffer: Vec<u8>,
    length: usize,
}

impl Chunk {
    fn deflate(&mut self, compressor: &mut Compressor) -> io::Result<()> {
        let bound = compressor.deflate_compress_bound(self.data.len()) + deflate_end::MOST_ADDED;
        if self.buffer.len() < bound {
            self.buffer = vec![0; bound];
        }
        self.length = compressor
            .deflate_compress(&self.data, &mut self.buffer)
            .map_err(|error| io::Error::other(error.to_string()))?;
        if !self.is_last {
            self.length = deflate_end::open(&mut self.buffer, self.length)
                .ok_or_else(|| io::Error::other("libdeflate made an invalid stream"))?;
        }
        Ok(())
    }

    fn deflated(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

/// A thread that deflates one chunk at a time. It ends when its `Worker` is dropped.
struct Worker {
    chunks: SyncSender<Chunk>,
    deflated: Receiver<io::Result<Chunk>>,
}

impl Worker {
    fn start(level: Level) -> io::Result<Self> {
        let mut compressor = level.compressor()?;
        let (chunks, received) = sync_channel::<Chunk>(1);
        let (done, deflated) = sync_channel(1);
        let work = move || {
            for mut chunk in received {
                let result = chunk.deflate(&mut compressor).map(|()| chunk);
                if done.send(result).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("deflate".to_owned())
            .spawn(work)?;
        Ok(Self { chunks, deflated })
    }
}

/// Deflates one stream after another.
pub(super) struct Deflater {
    level: Level,
    /// For streams of one chunk, which are not worth a thread.
    compressor: Option<Compressor>,
    /// Started with the first stream of more than one chunk.
    workers: Vec<Worker>,
    threads: usize,
    /// The chunk that is being filled.
    chunk: Chunk,
    /// The number of chunks of this stream that were sent to the workers, one after another.
    sent: usize,
    /// The number of chunks of this stream that came back.
    received: usize,
}

impl Deflater {
    pub(super) fn new(level: Level) -> Self {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            level,
            compressor: None,
            workers: Vec::new(),
            threads: threads.min(MOST_THREADS),
            chunk: Chunk::default(),
            sent: 0,
            received: 0,
        }
    }

    /// Adds data to the stream. `out` receives the deflated data, in order.
    pub(super) fn write(
        &mut self,
        mut data: &[u8],
        out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        while !data.is_empty() {
            // A full chunk waits for more data: it may be the last one.
            if self.chunk.data.len() == CHUNK {
                self.send(false, out)?;
            }
            let length = data.len().min(CHUNK - self.chunk.data.len());
            let (now, later) = data.split_at(length);
            self.chunk.data.extend_from_slice(now);
            data = later;
        }
        Ok(())
    }

    /// Ends the stream.
    pub(super) fn finish(
        &mut self,
        out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.sent == 0 {
            let compressor = match &mut self.compressor {
                Some(compressor) => compressor,
                none => none.insert(self.level.compressor()?),
            };
            self.chunk.is_last = true;
            self.chunk.deflate(compressor)?;
            out(self.chunk.deflated())?;
            self.chunk.data.clear();
            return Ok(());
        }
        self.send(true, out)?;
        while self.received < self.sent {
            self.receive(out)?;
        }
        (self.sent, self.received) = (0, 0);
        Ok(())
    }

    /// Sends the chunk to the worker that has had none for the longest time.
    fn send(
        &mut self,
        is_last: bool,
        out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        while self.workers.len() < self.threads {
            self.workers.push(Worker::start(self.level)?);
        }
        let next = if self.sent - self.received == self.threads {
            self.receive(out)?
        } else {
            Chunk::default()
        };
        let mut chunk = std::mem::replace(&mut self.chunk, next);
        chunk.is_last = is_last;
        let worker = &self.workers[self.sent % self.threads];
        worker.chunks.send(chunk).map_err(|_| stopped())?;
        self.sent += 1;
        Ok(())
    }

    /// Passes on the oldest chunk, and returns it empty.
    fn receive(&mut self, out: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<Chunk> {
        let worker = &self.workers[self.received % self.threads];
        let mut chunk = worker.deflated.recv().map_err(|_| stopped())??;
        self.received += 1;
        out(chunk.deflated())?;
        chunk.data.clear();
        Ok(chunk)
    }
}

fn stopped() -> io::Error {
    io::Error::other("a thread that deflates has stopped")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::DeflateDecoder;

    use super::*;

    fn deflated(threads: usize, streams: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut deflater = Deflater::new(Level::default());
        deflater.threads = threads;
        let pack = |data: &&[u8]| {
            let mut packed = Vec::new();
            let mut out = |bytes: &[u8]| {
                packed.extend_from_slice(bytes);
                Ok(())
            };
            for piece in data.chunks(100_000) {
                deflater.write(piece, &mut out).unwrap();
            }
            deflater.finish(&mut out).unwrap();
            packed
        };
        streams.iter().map(pack).collect()
    }

    #[test]
    fn the_result_does_not_depend_on_the_number_of_threads() {
        let long: Vec<u8> = (0..3 * CHUNK as u32 + 5)
            .map(|at| (at ^ at.wrapping_mul(2_654_435_761) >> 27) as u8)
            .collect();
        let streams = [
            &b"short"[..],
            &long,
            &[],
            &long[..CHUNK],
            &long[..=CHUNK],
            &long[1..2 * CHUNK + 1],
        ];
        let expected = deflated(1, &streams);
        for (packed, data) in expected.iter().zip(streams) {
            let mut unpacked = Vec::new();
            let mut decoder = DeflateDecoder::new(&packed[..]);
            decoder.read_to_end(&mut unpacked).unwrap();
            assert!(unpacked == data && decoder.total_in() == packed.len() as u64);
        }
        for threads in [2, 3, 7] {
            assert!(deflated(threads, &streams) == expected, "{threads}");
        }
    }
}
