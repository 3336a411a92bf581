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
    pub(super) network: bool,
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
            network: false,
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

    /// Adds a network card on QEMU's user-mode network.
    #[must_use]
    pub fn network(self) -> Self {
        Self {
            network: true,
            ..self
        }
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

    /// Replaces the paths of the kernel, the initrd and the device tree.
    pub(crate) fn map_files(mut self, mut map: impl FnMut(&Path) -> PathBuf) -> Self {
        self.started = map(&self.started);
        for path in [&mut self.initrd, &mut self.dtb].into_iter().flatten() {
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
