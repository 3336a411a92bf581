// SPDX-License-Identifier: MIT OR Apache-2.0

//! Output of a running program, collected by a thread.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// The output so far, for whoever waits for more.
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

/// Why a wait was in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InVain {
    Ended,
    TimeUp,
}

impl Pipe {
    /// A pipe that a thread fills until `from` ends.
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

    /// Everything, as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }

    /// Waits until `text` is among the bytes after the first `from`; returns where it ends.
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

    /// A reader that panicked has at worst left out bytes.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the first `needle` ends.
fn end_of(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    let start = haystack
        .windows(needle.len())
        .position(|window| window == needle)?;
    Some(start + needle.len())
}
