// SPDX-License-Identifier: MIT OR Apache-2.0

//! Debian's kernel, booted to a shell.

use anyhow::{Result, ensure};

use qemu_tests::demo::{Demo, Parts};
use qemu_tests::harness::kvm_host::Guest;
use qemu_tests::harness::machine::Disk;

use super::cases::{Cases, host, powered_off};
use crate::Scenario;
use crate::context::Context;

pub(crate) const TESTS: &[(&str, Scenario)] = &[("debian_to_a_shell", shell)];

fn shell(context: &Context) -> Result<()> {
    let image = Demo::make_at(&Parts::default(), &context.path("demo"))?.image;
    let machine = context
        .machine()
        .memory_mib(256)
        .append("quiet")
        .disk(Disk::new(image));
    let guest = Guest::new("Debian", machine)
        .expect("booted from slot a (active) by Little Loader.")
        .expect("/ # ")
        .type_line("grep ' / ' /proc/mounts; dmesg | grep 'KVM'; poweroff");
    let mut cases = Cases::default();
    cases.guest(guest, |ended| {
        powered_off(ended)?;
        for text in [" / squashfs ro", "KVM: hypervisor services detected"] {
            ensure!(ended.serial.contains(text), "no {text:?}");
        }
        Ok(())
    });
    cases.run(&host()?, context)
}
