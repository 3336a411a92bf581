// SPDX-License-Identifier: MIT OR Apache-2.0

//! The output of a running program, collected by a thread.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// The output so far, and a condition to wait for more.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    ended: bool,
}

/// The reason that a wait found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InVain {
    Ended,
    TimeUp,
}

impl Pipe {
    /// Creates a pipe, and a thread that fills it until `from` ends.
    pub(super) fn filled_from(
        from: Option<impl Read + Send + 'static>,
    ) -> (Arc<Self>, JoinHandle<()>) {
        let pipe = Arc::new(Self::default());
        let filled = Arc::clone(&pipe);
        let thread = thread::spawn(move || {
            let mut buffer = [0; 4096];
            if let Some(mut from) = from {
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    filled.lock().bytes.extend_from_slice(&buffer[..count]);
                    filled.changed.notify_all();
                }
            }
            filled.lock().ended = true;
            filled.changed.notify_all();
        });
        (pipe, thread)
    }

    /// Returns all output so far as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }

    /// Waits until `text` appears after the first `from` bytes; returns the offset of its end.
    pub(super) fn wait_for(
        &self,
        text: &str,
        from: usize,
        deadline: Instant,
    ) -> Result<usize, InVain> {
        let mut state = self.lock();
        loop {
            if let Some(end) = end_of(&state.bytes[from..], text.as_bytes()) {
                return Ok(from + end);
            }
            if state.ended {
                return Err(InVain::Ended);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(InVain::TimeUp);
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// A panic of the reader can at worst have lost bytes, so poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the offset of the end of the first `needle`.
fn end_of(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    let start = haystack
        .windows(needle.len())
        .position(|window| window == needle)?;
    Some(start + needle.len())
}
