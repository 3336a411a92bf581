// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writes a window whose copies are decided.

use super::candidate::{Copy, Origin};
use crate::format::address::AddressCache;
use crate::format::bytes::push_integer;
use crate::format::code_table::{Operation, double_code, single_code};
use crate::format::window_header::{Segment, WindowHeader};

/// The sections of a window, reused for the next one.
#[derive(Default)]
pub(super) struct Sections {
    data: Vec<u8>,
    codes: Vec<u8>,
    addresses: Vec<u8>,
    /// The instruction that may share a code with the next one.
    pending: Option<(Operation, u64)>,
}

impl Sections {
    /// Appends the window with these copies to `out`.
    pub(super) fn window(&mut self, window: &[u8], copies: &[Copy], out: &mut Vec<u8>) {
        self.data.clear();
        self.codes.clear();
        self.addresses.clear();
        let segment = segment(copies);
        let mut recent = AddressCache::new();
        let mut at = 0;
        for copy in copies {
            self.add(&window[at..copy.start]);
            let here = segment.length + copy.start as u64;
            let address = match copy.origin {
                Origin::Source(from) => from as u64 - segment.offset,
                Origin::Window(from) => segment.length + from as u64,
                Origin::Run(byte) => {
                    self.data.push(byte);
                    self.push(Operation::Run, copy.length);
                    at = copy.end();
                    continue;
                }
            };
            let mode = recent.encode(address, here, &mut self.addresses);
            self.push(Operation::Copy(mode), copy.length);
            at = copy.end();
        }
        self.add(&window[at..]);
        self.flush();
        let lengths = [&self.data, &self.codes, &self.addresses];
        let header = WindowHeader {
            segment,
            target_length: window.len() as u64,
            checksum: Some(simd_adler32::adler32(&window)),
            sections: lengths.map(|section| section.len() as u64),
        };
        header.push(out);
        lengths
            .iter()
            .for_each(|section| out.extend_from_slice(section));
    }

    fn add(&mut self, data: &[u8]) {
        if !data.is_empty() {
            self.data.extend_from_slice(data);
            self.push(Operation::Add, data.len());
        }
    }

    fn push(&mut self, operation: Operation, size: usize) {
        let next = (operation, size as u64);
        if let Some(code) = self.pending.and_then(|pending| double_code(pending, next)) {
            self.codes.push(code);
            self.pending = None;
        } else {
            self.flush();
            self.pending = Some(next);
        }
    }

    fn flush(&mut self) {
        if let Some((operation, size)) = self.pending.take() {
            let (code, size_follows) = single_code(operation, size);
            self.codes.push(code);
            if size_follows {
                push_integer(&mut self.codes, size);
            }
        }
    }
}

/// The part of the source that the copies need.
fn segment(copies: &[Copy]) -> Segment {
    let ranges = copies.iter().filter_map(|copy| match copy.origin {
        Origin::Source(from) => Some((from, from + copy.length)),
        Origin::Window(_) | Origin::Run(_) => None,
    });
    let hull = ranges.reduce(|(start, end), range| (start.min(range.0), end.max(range.1)));
    let (start, end) = hull.unwrap_or_default();
    Segment {
        offset: start as u64,
        length: (end - start) as u64,
    }
}
