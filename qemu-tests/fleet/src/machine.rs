// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's command line of a guest.

use std::process::Command;

use qemu_harness::machine::{Accelerator, Console, Disk, Machine};

use crate::identity::{self, AGENT_PORT, FW_CFG_PREFIX};
use crate::settings::Settings;

/// What distinguishes one guest's command line from another's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The guest's number.
    pub id: u32,
    /// 64 hex digits of entropy.
    pub seed: String,
    /// The NUMA node of the host that the guest's RAM comes from.
    pub node: Option<u32>,
    /// The port of the loopback interface that leads to the guest's agent.
    pub port: Option<u16>,
}

/// Returns the machine of a guest. Its files have relative paths: QEMU runs in the guest's folder.
#[must_use]
pub fn machine(settings: &Settings, instance: &Instance) -> Machine {
    let accelerator = settings.accelerator();
    let mut machine = Machine::new(&settings.loader)
        .program(&settings.qemu)
        .bare()
        .cpu(&settings.cpu)
        .accelerator(accelerator)
        .memory_mib(settings.memory_mib)
        .console(Console::Socket)
        .disk(Disk::new("disk.qcow2").qcow2())
        .entropy()
        .qmp("qmp.sock");
    if accelerator == Accelerator::Tcg && settings.tb_size_mib > 0 {
        machine = machine.accelerator_option(&format!("tb-size={}", settings.tb_size_mib));
    }
    if let Some(node) = instance.node {
        let size = settings.memory_mib;
        let object =
            format!("memory-backend-ram,id=ram,size={size}M,host-nodes={node},policy=bind");
        machine = machine
            .machine_option("memory-backend=ram")
            .arguments(["-object", &object]);
    }
    if let Some(append) = &settings.append {
        machine = machine.append(append);
    }
    if let Some(port) = instance.port {
        machine = machine.forwarded_network(port, AGENT_PORT, &identity::mac(instance.id));
    }
    for (name, value) in [
        ("serial", identity::serial(instance.id)),
        ("hostname", identity::host(instance.id)),
        ("seed", instance.seed.clone()),
    ] {
        machine = machine.fw_cfg(&format!("{FW_CFG_PREFIX}/{name}"), &value);
    }
    machine.arguments(&settings.qemu_arguments)
}

/// Returns the command that starts QEMU for a guest.
#[must_use]
pub fn command(settings: &Settings, instance: &Instance) -> Command {
    machine(settings, instance).command()
}
