// SPDX-License-Identifier: MIT OR Apache-2.0

//! Finds free ports of the loopback interface.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};

/// The first port. Those from 32768 on are left to outgoing connections, which take any of them.
const FIRST: u16 = 10_000;
/// The port after the last one.
const END: u16 = 32_768;

/// The ports that are given out.
#[derive(Debug)]
pub(super) struct Ports {
    taken: HashSet<u16>,
    /// The distance of the first guest's port from [`FIRST`]. It differs from fleet to fleet, so that
    /// those that start at the same time rarely want the same port.
    offset: u32,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            taken: HashSet::new(),
            offset: std::process::id().wrapping_mul(1009),
        }
    }
}

impl Ports {
    /// Takes a free port, the same for the same guest where possible.
    pub(super) fn take(&mut self, id: u32) -> Option<u16> {
        let count = END - FIRST;
        let start = id.wrapping_add(self.offset) % u32::from(count);
        let start = u16::try_from(start).unwrap_or_default();
        let port = (0..count)
            .map(|step| FIRST + (start + step) % count)
            .find(|port| !self.taken.contains(port) && is_free(*port))?;
        self.taken.insert(port);
        Some(port)
    }

    /// Gives a port back.
    pub(super) fn release(&mut self, port: u16) {
        self.taken.remove(&port);
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_given_out_once() {
        let mut ports = Ports::default();
        let one = ports.take(7).unwrap();
        let other = ports.take(7).unwrap();
        assert_ne!(one, other);
        ports.release(one);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, one)).unwrap();
        assert_ne!(ports.take(7), Some(one), "somebody else listens there");
        drop(listener);
    }
}
