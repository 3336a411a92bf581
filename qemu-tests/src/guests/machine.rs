// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machine of one guest, with the identity that the host gives it.

use std::io;
use std::path::Path;

use fleet::identity::{self, FW_CFG_PREFIX};

use super::guest::Kind;
use crate::harness::machine::Machine;

/// The TCP port that the agent listens on, inside the guest.
pub const PORT: u16 = identity::AGENT_PORT;

/// The identity of a guest. All guests' have the same lengths, because a clone of a running guest
/// keeps the lengths that its template had.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The serial number, such as `LL00000001`.
    pub serial: String,
    /// The host name, such as `guest-00001`.
    pub hostname: String,
    /// 64 hexadecimal digits of the host's randomness.
    pub seed: String,
}

impl Identity {
    /// Returns the identity of the guest with this number, with a new seed.
    ///
    /// # Errors
    /// When the host's random numbers cannot be read.
    pub fn of(number: u32) -> io::Result<Self> {
        Ok(Self {
            serial: identity::serial(number),
            hostname: identity::host(number),
            seed: identity::seed()?,
        })
    }

    /// Returns the arguments that give a machine this identity.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let entries = [
            ("serial", &self.serial),
            ("hostname", &self.hostname),
            ("seed", &self.seed),
        ];
        let entries = entries.into_iter().flat_map(|(name, value)| {
            [
                "-fw_cfg".to_owned(),
                format!("name={FW_CFG_PREFIX}/{name},string={value}"),
            ]
        });
        entries.collect()
    }
}

/// Returns the machine of a guest, without its disk: the loader, the memory that the guest needs, an
/// identity, a source of random numbers, and a network in which `host_port` of 127.0.0.1 leads to
/// the agent.
#[must_use]
pub fn machine(loader: &Path, kind: Kind, identity: &Identity, host_port: u16) -> Machine {
    let network = format!("user,id=net0,hostfwd=tcp:127.0.0.1:{host_port}-:{PORT}");
    Machine::new(loader)
        .memory_mib(kind.memory_mib())
        .arguments(identity.arguments())
        .arguments(["-netdev", &network])
        .arguments(["-device", "virtio-net-device,netdev=net0"])
        .arguments(["-device", "virtio-rng-device"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_identity_has_the_same_lengths_and_a_seed_of_its_own() {
        let (first, last) = (Identity::of(1).unwrap(), Identity::of(99_999).unwrap());
        assert_eq!(
            (first.serial.as_str(), first.hostname.as_str()),
            ("LL00000001", "guest-00001")
        );
        assert_ne!(first.seed, last.seed);
        assert_eq!(first.seed.len(), 64);
        let lengths = |identity: &Identity| {
            identity
                .arguments()
                .iter()
                .map(String::len)
                .collect::<Vec<_>>()
        };
        assert_eq!(lengths(&first), lengths(&last));
    }
}
