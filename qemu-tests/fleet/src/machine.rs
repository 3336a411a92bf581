// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's command line of a guest.

use std::path::PathBuf;
use std::process::Command;

use qemu_harness::machine::{Accelerator, Console, Disk, Machine};

use crate::clones::TEMPLATE;
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
    /// Its part in the making of clones.
    pub part: Part,
}

/// The part of a guest in the making of clones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// None: it boots.
    #[default]
    Ordinary,
    /// It boots, and its RAM becomes the file.
    Template(PathBuf),
    /// It continues from the template's state, with a private mapping of the file as its RAM.
    Clone(PathBuf),
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
        .qmp("qmp.sock")
        // The loader hands over a device tree; the tables of ACPI only take memory.
        .machine_option("acpi=off");
    let tb_size = match (&instance.part, &settings.clones) {
        (Part::Clone(_), Some(clones)) => clones.tb_size_mib,
        _ => settings.tb_size_mib,
    };
    if accelerator == Accelerator::Tcg && tb_size > 0 {
        machine = machine.accelerator_option(&format!("tb-size={tb_size}"));
    }
    if let Some(object) = memory(settings, instance) {
        machine = machine
            .machine_option("memory-backend=ram")
            .arguments(["-object", &object]);
    }
    // The saved state has the template's address, and QEMU's network would not find a guest that
    // silently changed it at a reset. Each guest has a network of its own, so all may have the same.
    let mac = match instance.part {
        Part::Ordinary => instance.id,
        Part::Template(_) | Part::Clone(_) => TEMPLATE,
    };
    if let Part::Clone(_) = instance.part {
        machine = machine.arguments(["-incoming", "defer"]);
    }
    if settings.free_page_reporting {
        machine = machine.free_page_reporting();
    }
    if let Some(append) = &settings.append {
        machine = machine.append(append);
    }
    if let Some(port) = instance.port {
        machine = machine.forwarded_network(port, AGENT_PORT, &identity::mac(mac));
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

/// Returns the description of the RAM, unless QEMU's own will do.
fn memory(settings: &Settings, instance: &Instance) -> Option<String> {
    let size = settings.memory_mib;
    let node = instance.node.map_or_else(String::new, |node| {
        format!(",host-nodes={node},policy=bind")
    });
    let (file, share) = match &instance.part {
        Part::Ordinary if node.is_empty() => return None,
        Part::Ordinary => return Some(format!("memory-backend-ram,id=ram,size={size}M{node}")),
        Part::Template(file) => (file, "on"),
        Part::Clone(file) => (file, "off"),
    };
    // QEMU reads a double comma as one.
    let file = file.display().to_string().replace(',', ",,");
    Some(format!(
        "memory-backend-file,id=ram,size={size}M,mem-path={file},share={share}{node}"
    ))
}

/// Returns the command that starts QEMU for a guest.
#[must_use]
pub fn command(settings: &Settings, instance: &Instance) -> Command {
    machine(settings, instance).command()
}
