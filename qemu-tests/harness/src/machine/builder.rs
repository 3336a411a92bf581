// SPDX-License-Identifier: MIT OR Apache-2.0

//! The builder for a machine.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::accelerator::Accelerator;
use super::disk::{self, Disk};

/// The destination of the guest's serial port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Console {
    /// QEMU's stdin and stdout, without a monitor, for programs.
    #[default]
    Stdio,
    /// The terminal, shared with QEMU's monitor (Ctrl-A C switches, Ctrl-A X quits).
    Terminal,
    /// The socket `console.sock` in QEMU's working directory, for one client at a time. Everything
    /// that the guest writes is appended to `console.log` beside it, whether or not a client is
    /// connected.
    Socket,
}

/// A network card on QEMU's user-mode network.
#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    /// A port of the host's loopback interface, and the guest's port to which it leads.
    pub(super) forward: Option<(u16, u16)>,
    pub(super) mac: Option<String>,
}

/// The configuration of a `virt` machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// QEMU, if not the one of `emulator::program`.
    pub(super) program: Option<PathBuf>,
    /// `-kernel` or `-bios`.
    pub(super) started_by: &'static str,
    pub(super) started: PathBuf,
    pub(super) cpu: String,
    pub(super) machine_options: Vec<String>,
    pub(super) memory_mib: u32,
    pub(super) cpus: u8,
    pub(super) accelerator: Accelerator,
    pub(super) accelerator_options: String,
    pub(super) console: Console,
    pub(super) disks: Vec<Disk>,
    pub(super) modern: bool,
    pub(super) append: Option<String>,
    pub(super) initrd: Option<PathBuf>,
    pub(super) dtb: Option<PathBuf>,
    pub(super) network: Option<Network>,
    /// Leaves out QEMU's default devices.
    pub(super) bare: bool,
    /// Files that QEMU puts at an address.
    pub(super) placed: Vec<(PathBuf, u64)>,
    /// Files of fw_cfg, by name.
    pub(super) fw_cfg: Vec<(String, PathBuf)>,
    pub(super) more: Vec<OsString>,
    pub(super) limit: Duration,
}

impl Machine {
    /// Returns a machine with one cortex-a57, 128 MiB and no disk that starts `kernel` (the loader
    /// in either form, or a raw Image) and has a time limit of one minute.
    #[must_use]
    pub fn new(kernel: impl Into<PathBuf>) -> Self {
        Self {
            program: None,
            started_by: "-kernel",
            started: kernel.into(),
            cpu: "cortex-a57".to_owned(),
            machine_options: Vec::new(),
            memory_mib: 128,
            cpus: 1,
            accelerator: Accelerator::Tcg,
            accelerator_options: String::new(),
            console: Console::Stdio,
            disks: Vec::new(),
            modern: false,
            append: None,
            initrd: None,
            dtb: None,
            network: None,
            bare: false,
            placed: Vec::new(),
            fw_cfg: Vec::new(),
            more: Vec::new(),
            limit: Duration::from_secs(60),
        }
    }

    /// Like [`Machine::new`], but starts the firmware `path` in the flash.
    #[must_use]
    pub fn with_firmware(path: impl Into<PathBuf>) -> Self {
        Self {
            started_by: "-bios",
            ..Self::new(path)
        }
    }

    /// Sets the QEMU to start, in place of `emulator::program`.
    #[must_use]
    pub fn program(self, program: impl Into<PathBuf>) -> Self {
        Self {
            program: Some(program.into()),
            ..self
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

    /// Adds a property of `-M virt`, such as `virtualization=on`.
    #[must_use]
    pub fn machine_option(mut self, option: &str) -> Self {
        self.machine_options.push(option.to_owned());
        self
    }

    /// Sets the size of the RAM, in MiB.
    #[must_use]
    pub fn memory_mib(self, memory_mib: u32) -> Self {
        Self { memory_mib, ..self }
    }

    /// Sets the number of CPUs.
    #[must_use]
    pub fn cpus(self, cpus: u8) -> Self {
        Self { cpus, ..self }
    }

    /// Sets the accelerator.
    #[must_use]
    pub fn accelerator(self, accelerator: Accelerator) -> Self {
        Self {
            accelerator,
            ..self
        }
    }

    /// Adds a property of `-accel`, such as `one-insn-per-tb=on`.
    #[must_use]
    pub fn accelerator_option(mut self, option: &str) -> Self {
        self.accelerator_options.push(',');
        self.accelerator_options.push_str(option);
        self
    }

    /// Sets the destination of the serial port.
    #[must_use]
    pub fn console(self, console: Console) -> Self {
        Self { console, ..self }
    }

    /// Adds a disk.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// Makes the MMIO transports follow virtio 1.0 and later instead of QEMU's default, the legacy
    /// interface.
    #[must_use]
    pub fn modern_transports(self) -> Self {
        Self {
            modern: true,
            ..self
        }
    }

    /// Sets QEMU's `-append`.
    #[must_use]
    pub fn append(self, arguments: &str) -> Self {
        Self {
            append: Some(arguments.to_owned()),
            ..self
        }
    }

    /// Sets QEMU's `-initrd`.
    #[must_use]
    pub fn initrd(self, path: impl Into<PathBuf>) -> Self {
        Self {
            initrd: Some(path.into()),
            ..self
        }
    }

    /// Sets the device tree, which replaces QEMU's own.
    #[must_use]
    pub fn dtb(self, path: impl Into<PathBuf>) -> Self {
        Self {
            dtb: Some(path.into()),
            ..self
        }
    }

    /// Puts the bytes of a file at an address in RAM, at each reset.
    #[must_use]
    pub fn place(mut self, path: impl Into<PathBuf>, address: u64) -> Self {
        self.placed.push((path.into(), address));
        self
    }

    /// Adds a file to fw_cfg, with the contents of `path`.
    #[must_use]
    pub fn fw_cfg_file(mut self, name: &str, path: impl Into<PathBuf>) -> Self {
        self.fw_cfg.push((name.to_owned(), path.into()));
        self
    }

    /// Adds a network card on QEMU's user-mode network.
    #[must_use]
    pub fn network(self) -> Self {
        Self {
            network: Some(Network::default()),
            ..self
        }
    }

    /// Adds a network card like [`Self::network`], with the address `mac`, and forwards `host_port`
    /// of the loopback interface to the guest's `guest_port` (both TCP).
    #[must_use]
    pub fn forwarded_network(self, host_port: u16, guest_port: u16, mac: &str) -> Self {
        Self {
            network: Some(Network {
                forward: Some((host_port, guest_port)),
                mac: Some(mac.to_owned()),
            }),
            ..self
        }
    }

    /// Leaves out the devices and configuration files that QEMU adds by default.
    #[must_use]
    pub fn bare(self) -> Self {
        Self { bare: true, ..self }
    }

    /// Adds a file with the content `value` to QEMU's fw_cfg device.
    #[must_use]
    pub fn fw_cfg(self, name: &str, value: &str) -> Self {
        let value = value.replace(',', ",,");
        self.arguments(["-fw_cfg", &format!("name={name},string={value}")])
    }

    /// Adds a source of entropy.
    #[must_use]
    pub fn entropy(self) -> Self {
        self.arguments(["-device", "virtio-rng-device"])
    }

    /// Adds a memory balloon by which the guest tells QEMU what it has free, so that the host gets it
    /// back (QEMU 5.1 and later; Linux 5.7 and later in the guest).
    #[must_use]
    pub fn free_page_reporting(self) -> Self {
        self.arguments(["-device", "virtio-balloon-device,free-page-reporting=on"])
    }

    /// Listens for QMP connections, one at a time, at the Unix socket `path`.
    #[must_use]
    pub fn qmp(self, path: &str) -> Self {
        self.arguments(["-qmp", &format!("unix:{path},server=on,wait=off")])
    }

    /// Adds further arguments, unchanged.
    #[must_use]
    pub fn arguments<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.more.extend(
            arguments
                .into_iter()
                .map(|argument| argument.as_ref().to_owned()),
        );
        self
    }

    /// Uses the file `path` as the RAM, instead of anonymous memory; call it after
    /// [`Self::memory_mib`].
    #[must_use]
    pub fn memory_file(self, path: &Path) -> Self {
        let mut object = OsString::from(format!(
            "memory-backend-file,id=ram,share=on,size={}M,mem-path=",
            self.memory_mib
        ));
        object.push(disk::option_value(path));
        self.machine_option("memory-backend=ram")
            .arguments(["-object".into(), object])
    }

    /// Makes each instruction take one nanosecond of the guest's time, independent of the host.
    #[must_use]
    pub fn count_instructions(self) -> Self {
        self.arguments(["-icount", "shift=0,sleep=off"])
    }

    /// Writes QEMU's trace `events` to `file`.
    #[must_use]
    pub fn trace(mut self, events: &[&str], file: &Path) -> Self {
        for event in events {
            self = self.arguments(["-trace", &format!("enable={event}")]);
        }
        self.arguments(["-D".into(), file.as_os_str().to_owned()])
    }

    /// Sets the total time that the machine may run before it is stopped.
    #[must_use]
    pub fn time_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Returns the total time that the machine may run.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Replaces the paths of all files except the images of disks.
    pub(crate) fn map_files(mut self, mut map: impl FnMut(&Path) -> PathBuf) -> Self {
        let options = [&mut self.initrd, &mut self.dtb].into_iter().flatten();
        let placed = self.placed.iter_mut().map(|(path, _)| path);
        let fw_cfg = self.fw_cfg.iter_mut().map(|(_, path)| path);
        let rules = self.disks.iter_mut().flat_map(|disk| &mut disk.blkdebug);
        let rest = options.chain(placed).chain(fw_cfg).chain(rules);
        for path in [&mut self.started].into_iter().chain(rest) {
            *path = map(path);
        }
        self
    }

    /// Replaces the paths of the disks.
    pub(crate) fn map_disks(mut self, mut map: impl FnMut(&Path) -> PathBuf) -> Self {
        for disk in &mut self.disks {
            disk.path = map(&disk.path);
        }
        self
    }
}
