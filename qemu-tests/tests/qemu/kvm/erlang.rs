// SPDX-License-Identifier: MIT OR Apache-2.0

//! Guests with Erlang, two at a time.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};

use qemu_tests::guests::{Identity, Kind};
use qemu_tests::harness::kvm_host::Guest;
use qemu_tests::harness::machine::Disk;

use super::cases::{Cases, host, powered_off};
use crate::Scenario;
use crate::context::Context;

pub(crate) const LONG_TESTS: &[(&str, Scenario)] = &[("two_erlangs_at_once", two_at_once)];

/// The time limit of a guest that shares an emulated CPU, on a busy machine.
const LIMIT: Duration = Duration::from_secs(900);

/// Two guests with identities of their own; neither powers off before both are up.
fn two_at_once(context: &Context) -> Result<()> {
    let mut cases = Cases::default();
    for (number, other) in [(1, 2), (2, 1)] {
        let image = context.path(&format!("erlang-{number}.img"));
        fs::copy(context.artifacts.erlang(), &image)?;
        let identity = Identity::of(number)?;
        let up = |number: u32| format!("fleet: up serial=LL{number:08} host=guest-{number:05} ");
        let machine = context
            .machine()
            .memory_mib(Kind::Erlang.memory_mib())
            .arguments(identity.arguments())
            .entropy()
            .disk(Disk::new(image));
        let guest = Guest::new(identity.hostname, machine)
            .time_limit(LIMIT)
            .expect(&up(number))
            .type_line("os:cmd(\"dmesg | grep KVM >/dev/console; poweroff\").");
        let guest = if number == 1 {
            guest.beside_next()
        } else {
            guest
        };
        cases.guest(guest, move |ended| {
            powered_off(ended)?;
            for text in [up(number).as_str(), "KVM: hypervisor services detected"] {
                ensure!(ended.serial.contains(text), "no {text:?}");
            }
            let other = up(other);
            ensure!(!ended.serial.contains(&other), "{other:?} of the other");
            Ok(())
        });
    }
    cases.run(&host()?, context)
}
