// SPDX-License-Identifier: MIT OR Apache-2.0

//! The emulated host.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use super::error::{HostError, failed};
use super::guest::Guest;
use super::results::{self, Ended};
use super::script::{Script, serial};
use super::userland::Userland;
use crate::machine::{Console, Disk, Machine};

/// The host's memory in MiB: its system, QEMU, and what a guest of tests touches of its memory.
const MEMORY: u32 = 1024;

/// The host's memory beside that of a guest that may touch all of its own, in MiB.
const SYSTEM: u32 = 512;

/// The number of disks that a host takes, besides the one for the results: QEMU's machine has 32
/// virtio transports.
const DISKS: usize = 31;

/// The size of the disk for the results, in bytes; the file has holes.
const RESULTS: u64 = 256 << 20;

/// The time limit of a host's start and end.
const OVERHEAD: Duration = Duration::from_secs(300);

/// An emulated host with KVM.
#[derive(Clone, Debug)]
pub struct KvmHost {
    userland: Userland,
    cpu: String,
    gic: u8,
    append: String,
    memory_mib: u32,
    shift: Option<u8>,
}

impl KvmHost {
    /// Returns a host with one Neoverse N1, whose kernel runs at EL2 (VHE), and a GICv3.
    #[must_use]
    pub fn new(userland: Userland) -> Self {
        Self {
            userland,
            cpu: "neoverse-n1".to_owned(),
            gic: 3,
            append: String::new(),
            memory_mib: MEMORY,
            shift: None,
        }
    }

    /// Sets QEMU's `-cpu`.
    #[must_use]
    pub fn cpu(self, cpu: &str) -> Self {
        Self {
            cpu: cpu.to_owned(),
            ..self
        }
    }

    /// Sets the version of the GIC, 2 or 3.
    #[must_use]
    pub fn gic(self, gic: u8) -> Self {
        Self { gic, ..self }
    }

    /// Adds words to the command line of the host's kernel.
    #[must_use]
    pub fn append(self, append: &str) -> Self {
        Self {
            append: append.to_owned(),
            ..self
        }
    }

    /// Makes the memory large enough for a guest that uses all of its own, in MiB.
    #[must_use]
    pub fn memory_for(self, guest_mib: u32) -> Self {
        Self {
            memory_mib: MEMORY.max(guest_mib.saturating_add(SYSTEM)),
            ..self
        }
    }

    /// Counts the time of the host and its guests in instructions, of 2 to the power of `shift`
    /// nanoseconds each: a guest that waits busily for 30 s then does not take as long. While the
    /// host is idle, time passes as usual.
    #[must_use]
    pub fn instruction_time(self, shift: u8) -> Self {
        Self {
            shift: Some(shift),
            ..self
        }
    }

    /// Runs the guests one after another, except those that are [`Guest::beside_next`], with files
    /// for the host in `folder`, and returns their ends in the same order.
    ///
    /// # Errors
    /// When the host does not start or does not run to its end. A guest that fails is no error.
    pub fn run(&self, guests: &[Guest], folder: &Path) -> Result<Vec<Ended>, HostError> {
        let script = Script::of(guests);
        if script.disks.len() > DISKS {
            return Err(HostError::Disks(script.disks.len(), DISKS));
        }
        let results = folder.join("kvm-host.results");
        let made = File::create(&results).and_then(|file| file.set_len(RESULTS));
        made.map_err(failed(&results))?;
        let limits: Duration = guests.iter().map(|guest| guest.machine.limit()).sum();
        let machine = self
            .machine(&script, folder)?
            .disk(Disk::new(&results).serial("results"))
            .time_limit(OVERHEAD + limits);
        let mut running = machine.start()?;
        running.expect("kvm-host: done")?;
        let mut log = running.log();
        log.serial = running.wait_for_exit()?.serial;
        let mut files = results::read(&results).map_err(failed(&results))?;
        let commands = script.commands.into_iter();
        let ended = guests.iter().zip(commands).enumerate();
        let ended = ended.map(|(index, (guest, command))| {
            let mut text = |what: &'static str| {
                let bytes = files.remove(&format!("{index}/{what}"));
                bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            };
            let missing = |what| HostError::NoResult {
                what,
                guest: guest.name.clone(),
                log: Box::new(log.clone()),
            };
            let status: i32 = text("status")
                .and_then(|status| status.trim().parse().ok())
                .ok_or_else(|| missing("status"))?;
            Ok(Ended {
                name: guest.name.clone(),
                status: status.into(),
                serial: text("console").ok_or_else(|| missing("console"))?,
                messages: text("messages").unwrap_or_default(),
                trace: text("trace").unwrap_or_default(),
                command,
            })
        });
        ended.collect()
    }

    /// Returns the host as a machine for a terminal, on which the guest's console appears; `folder`
    /// gets the host's initrd.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub fn interactive(&self, guest: &Guest, folder: &Path) -> Result<Machine, HostError> {
        let script = Script::interactive(guest);
        Ok(self.machine(&script, folder)?.console(Console::Terminal))
    }

    fn machine(&self, script: &Script, folder: &Path) -> Result<Machine, HostError> {
        let initrd = folder.join("kvm-host.initrd");
        let bytes = self.userland.initrd(&script.text, &script.files);
        let written = bytes.and_then(|bytes| fs::write(&initrd, bytes));
        written.map_err(failed(&initrd))?;
        let arguments = format!("console=ttyAMA0 quiet panic=-1 {}", self.append);
        let mut machine = Machine::new(&self.userland.kernel)
            .machine_option("virtualization=on")
            .machine_option(&format!("gic-version={}", self.gic))
            .cpu(&self.cpu)
            .memory_mib(self.memory_mib)
            .initrd(initrd)
            .append(arguments.trim_end())
            .arguments(["-no-reboot"]);
        if let Some(shift) = self.shift {
            machine = machine.arguments(["-icount", &format!("shift={shift},sleep=on")]);
        }
        for (index, path) in script.disks.iter().enumerate() {
            machine = machine.disk(Disk::new(path).serial(&serial(index)));
        }
        Ok(machine)
    }
}
