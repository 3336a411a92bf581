// SPDX-License-Identifier: MIT OR Apache-2.0

//! The devices that access memory: the disk, through its virtqueue, and fw_cfg. Both see the CPU's
//! caches, as QEMU's device tree declares (`dma-coherent`). Their requests are read from the
//! memory that the loader wrote.
//!
//! Sources: VIRTIO 1.2, section 2.7 (split virtqueues); QEMU, `docs/specs/fw_cfg.rst`.

use std::ops::Range;

use super::lines::{Lines, View};
use super::order::Unordered;
use super::rules::{Findings, Rule};
use crate::caches::event::{Barrier, Orders};

/// The number of descriptors in the loader's queue, and the offsets of the rings behind them.
const QUEUE_SIZE: u64 = 4;
const DESCRIPTOR: u64 = 16;
const AVAILABLE: u64 = QUEUE_SIZE * DESCRIPTOR;
const USED: u64 = 4096;
/// Both rings: flags, index, then the entries.
const INDEX: u64 = 2;
const ENTRIES: u64 = 4;
const USED_LENGTH: u64 = ENTRIES + QUEUE_SIZE * 8;

/// Descriptor flags: another one follows; the device writes.
const NEXT: u64 = 1;
const WRITE: u64 = 2;

/// The DMA register of fw_cfg on the `virt` machine, and the control bit for a read.
const FW_CFG_DMA: u64 = 0x0902_0010;
const FW_CFG_REQUEST: u64 = 16;
const FW_CFG_READ: u64 = 1 << 1;

/// What a request does to memory.
#[derive(Debug, Default)]
struct Request {
    reads: Vec<Range<u64>>,
    writes: Vec<Range<u64>>,
}

/// The requests in progress.
#[derive(Debug)]
pub(super) struct Devices {
    rings: u64,
    /// The available ring's index that the device has seen.
    seen: u64,
    /// What the disk has written, except the rings.
    pub(super) disk_reads: Vec<Range<u64>>,
    /// What a device may still write, or has written without the CPU knowing.
    in_progress: Vec<Range<u64>>,
    /// The disk's are complete when the used ring says so, fw_cfg's when the register is written.
    is_polled: bool,
    /// The stores that must be visible before the next store to a device.
    index_written: bool,
}

/// The state that a store or load is checked against.
pub(super) struct At<'a> {
    pub(super) at: u64,
    pub(super) now: u64,
    pub(super) lines: &'a mut Lines,
    pub(super) unordered: &'a Unordered,
    pub(super) findings: &'a mut Findings,
}

impl Devices {
    pub(super) fn new(rings: u64) -> Self {
        Self {
            rings,
            seen: 0,
            disk_reads: Vec::new(),
            in_progress: Vec::new(),
            is_polled: false,
            index_written: false,
        }
    }

    /// A store to memory, which the lines have but the order has not.
    pub(super) fn store(&mut self, stored: Range<u64>, is_release: bool, at: &mut At<'_>) {
        self.touch(&stored, at);
        let index = self.rings + AVAILABLE + INDEX;
        if !overlap(&stored, &(index..index + 2)) {
            return;
        }
        let Some(new) = at.lines.value(index, 2) else {
            return;
        };
        // The driver writes the index alone to make a request, and clears whole rings to set up.
        if stored != (index..index + 2) {
            self.seen = new;
            return;
        }
        self.index_written = true;
        while self.seen != new {
            match self.descriptors(self.seen, at.lines) {
                Some(request) => {
                    self.start(&request, is_release, at);
                    self.disk_reads.extend(request.writes.into_iter().skip(1));
                }
                None => at.findings.add(Rule::Unknown, at.at, index),
            }
            self.seen = (self.seen + 1) & 0xffff;
        }
    }

    /// A store to a device's register.
    pub(super) fn store_to_device(&mut self, address: u64, bytes: &[u8], at: &mut At<'_>) {
        let index = self.rings + AVAILABLE + INDEX;
        if self.index_written && at.unordered.has(index, 2, false) {
            at.findings.add(Rule::NotificationUnordered, at.at, index);
        }
        self.index_written = false;
        let (FW_CFG_DMA, Ok(bytes)) = (address, bytes.try_into()) else {
            return;
        };
        match fw_cfg(u64::from_be_bytes(bytes), at.lines) {
            Some(request) => {
                self.start(&request, false, at);
                self.is_polled = true;
            }
            None => at.findings.add(Rule::Unknown, at.at, address),
        }
    }

    /// A load from memory.
    pub(super) fn load(&mut self, loaded: &Range<u64>, is_acquire: bool, at: &mut At<'_>) {
        let used = self.rings + USED;
        if overlap(loaded, &(used..used + ENTRIES)) {
            self.is_polled = true;
            if is_acquire && overlap(loaded, &(used + INDEX..used + ENTRIES)) {
                self.in_progress.clear();
            }
            return;
        }
        self.touch(loaded, at);
    }

    pub(super) fn barrier(&mut self, barrier: Barrier) {
        if self.is_polled && barrier.orders != Orders::Stores {
            self.in_progress.clear();
        }
    }

    /// Checks that no device is writing to these bytes.
    fn touch(&self, bytes: &Range<u64>, at: &mut At<'_>) {
        if self
            .in_progress
            .iter()
            .any(|writing| overlap(writing, bytes))
        {
            at.findings.add(Rule::ReplyUnordered, at.at, bytes.start);
        }
    }

    /// Starts a request, from when on the device may read and write.
    fn start(&mut self, request: &Request, is_release: bool, at: &mut At<'_>) {
        self.is_polled = false;
        for range in &request.reads {
            let length = range.end - range.start;
            if at.unordered.has(range.start, length, is_release) {
                at.findings.add(Rule::RequestUnordered, at.at, range.start);
            }
            if at.lines.stale(range.start, length, View::Cache).is_some() {
                at.findings.add(Rule::StaleDeviceRead, at.at, range.start);
            }
        }
        for range in &request.writes {
            at.lines
                .store_by_device(range.start, range.end - range.start, at.now);
        }
        self.in_progress.extend(request.writes.iter().cloned());
    }

    /// Reads the chain of descriptors of an entry of the available ring. `None` if parts of it are
    /// not known.
    fn descriptors(&self, entry: u64, lines: &Lines) -> Option<Request> {
        let used = self.rings + USED;
        let mut request = Request::default();
        // The first, for `disk_reads`.
        request.writes.push(used..used + USED_LENGTH);
        let entry = self.rings + AVAILABLE + ENTRIES + entry % QUEUE_SIZE * 2;
        request.reads.push(entry..entry + 2);
        let mut number = lines.value(entry, 2)?;
        for _ in 0..QUEUE_SIZE {
            let descriptor = self.rings + number * DESCRIPTOR;
            request.reads.push(descriptor..descriptor + DESCRIPTOR);
            let start = lines.value(descriptor, 8)?;
            let range = start..start.checked_add(lines.value(descriptor + 8, 4)?)?;
            let flags = lines.value(descriptor + 12, 2)?;
            let is_written = flags & WRITE != 0;
            if is_written {
                request.writes.push(range);
            } else {
                request.reads.push(range);
            }
            if flags & NEXT == 0 {
                return Some(request);
            }
            number = lines.value(descriptor + 14, 2)?;
        }
        None
    }
}

fn fw_cfg(request: u64, lines: &Lines) -> Option<Request> {
    let big_endian = |address, length| -> Option<u64> {
        let value = lines.value(address, length)?;
        Some(value.swap_bytes() >> (64 - 8 * length))
    };
    let control = big_endian(request, 4)?;
    let length = big_endian(request + 4, 4)?;
    let start = big_endian(request + 8, 8)?;
    let answer = request..request + 4;
    let data = start..start.checked_add(length)?;
    let read = request..request + FW_CFG_REQUEST;
    let is_read = control & FW_CFG_READ != 0;
    Some(Request {
        reads: vec![read],
        writes: if is_read {
            vec![answer, data]
        } else {
            vec![answer]
        },
    })
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}
