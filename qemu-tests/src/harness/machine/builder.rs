// SPDX-License-Identifier: MIT OR Apache-2.0

//! The builder for a machine.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::accelerator::Accelerator;
use super::disk::{self, Disk};
use crate::harness::emulator;
use crate::harness::process;
use crate::harness::running::{RunError, Running};

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
    /// QEMU, if not the one of [`emulator::program`].
    program: Option<PathBuf>,
    /// `-kernel` or `-bios`.
    started_by: &'static str,
    started: PathBuf,
    cpu: String,
    machine_options: Vec<String>,
    memory_mib: u32,
    cpus: u8,
    accelerator: Accelerator,
    accelerator_options: String,
    console: Console,
    disks: Vec<Disk>,
    modern: bool,
    append: Option<String>,
    initrd: Option<PathBuf>,
    dtb: Option<PathBuf>,
    network: bool,
    more: Vec<OsString>,
    limit: Duration,
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

    /// Sets the QEMU to start, in place of [`emulator::program`].
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

    /// Returns the command that starts QEMU.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.program.clone().unwrap_or_else(emulator::program));
        let options: String = self
            .effective_options()
            .map(|option| format!(",{option}"))
            .collect();
        // A hypervisor can only offer the host's CPU.
        let cpu = match self.accelerator {
            Accelerator::Tcg => &self.cpu,
            Accelerator::Kvm | Accelerator::Hvf => "host",
        };
        command.arg("-M").arg(format!("virt{options}"));
        let accelerator = format!("{}{}", self.accelerator, self.accelerator_options);
        command.arg("-accel").arg(accelerator);
        command.args([
            "-cpu",
            cpu,
            "-m",
            &self.memory_mib.to_string(),
            "-smp",
            &self.cpus.to_string(),
        ]);
        match self.console {
            Console::Stdio => {
                command.args(["-display", "none", "-monitor", "none", "-serial", "stdio"])
            }
            Console::Terminal => command.arg("-nographic"),
        };
        command.arg(self.started_by).arg(&self.started);
        for (option, path) in [("-initrd", &self.initrd), ("-dtb", &self.dtb)] {
            if let Some(path) = path {
                command.arg(option).arg(path);
            }
        }
        if let Some(append) = &self.append {
            command.args(["-append", append]);
        }
        if self.modern {
            command.args(["-global", "virtio-mmio.force-legacy=false"]);
        }
        for (index, disk) in self.disks.iter().enumerate() {
            command.args(disk.arguments(index));
        }
        if self.network {
            command.args([
                "-netdev",
                "user,id=net0",
                "-device",
                "virtio-net-device,netdev=net0",
            ]);
        } else {
            command.args(["-nic", "none"]);
        }
        command.args(&self.more);
        command
    }

    /// Returns the properties of `-M virt`. KVM offers only the GIC of the host's version.
    fn effective_options(&self) -> impl Iterator<Item = &str> {
        let is_kvm = self.accelerator == Accelerator::Kvm;
        let given = self.machine_options.iter().map(String::as_str);
        given
            .filter(move |option| !(is_kvm && option.starts_with("gic-version=")))
            .chain(is_kvm.then_some("gic-version=host"))
    }

    /// Returns the option that only emulation offers, if the machine has one and its accelerator
    /// is a hypervisor.
    fn only_emulated(&self) -> Option<String> {
        if self.accelerator == Accelerator::Tcg {
            return None;
        }
        let levels = ["virtualization=on", "secure=on"];
        let mut options = self.machine_options.iter();
        let option = options.find(|option| levels.contains(&option.as_str()));
        let accelerator = Some(&self.accelerator_options).filter(|options| !options.is_empty());
        let others = self
            .more
            .iter()
            .find(|word| *word == "-icount" || *word == "-d");
        option
            .or(accelerator)
            .cloned()
            .or_else(|| Some(others?.to_string_lossy().into_owned()))
    }

    /// Returns the command as a line for a shell.
    #[must_use]
    pub fn shell_line(&self) -> String {
        process::shell_line(&self.command())
    }

    /// Starts the machine.
    ///
    /// # Errors
    /// When QEMU cannot be started, or the machine needs emulation and has a hypervisor as its
    /// accelerator.
    pub fn start(&self) -> Result<Running, RunError> {
        if let Some(option) = self.only_emulated() {
            let accelerator = self.accelerator.to_string();
            return Err(RunError::OnlyEmulated {
                option,
                accelerator,
            });
        }
        Running::start(self.command(), self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Bus;
    use super::*;

    #[test]
    fn a_machine_is_one_command_line() {
        let machine = Machine::new("loader.elf")
            .cpu("max")
            .accelerator_option("thread=single")
            .memory_mib(64)
            .cpus(4)
            .machine_option("highmem=off")
            .modern_transports()
            .disk(Disk::new("a,b c.img").snapshot().bus(Bus::MmioAt(0)))
            .disk(Disk::new("d.img").read_only().bus(Bus::Pci))
            .disk(Disk::new("e.img").bus(Bus::PciRootPort).block_size(4096))
            .memory_file(Path::new("ram,1"))
            .append("one two");
        let words: Vec<_> = machine
            .command()
            .get_args()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let joined = words.join(" ");
        for part in [
            "-M virt,highmem=off,memory-backend=ram -accel tcg,thread=single -cpu max -m 64 -smp 4",
            "-kernel loader.elf -append one two -global virtio-mmio.force-legacy=false",
            "file=a,,b c.img,snapshot=on -device virtio-blk-device,drive=disk0,bus=virtio-mmio-bus.0",
            "file=d.img,readonly=on -device virtio-blk-pci,drive=disk1",
            "-device pcie-root-port,id=port2,chassis=3 -device virtio-blk-pci,drive=disk2,bus=port2,logical_block_size=4096",
            "-nic none -object memory-backend-file,id=ram,share=on,size=64M,mem-path=ram,,1",
        ] {
            assert!(joined.contains(part), "{part:?} is not in {joined:?}");
        }
        assert!(machine.shell_line().contains("-append 'one two'"));
        let command = machine
            .accelerator(Accelerator::Kvm)
            .machine_option("gic-version=2")
            .shell_line();
        for part in ["gic-version=host' -accel kvm", " -cpu host -m 64 "] {
            assert!(command.contains(part), "{part:?} is not in {command:?}");
        }
        assert!(!command.contains("gic-version=2"), "{command}");
        let kvm = Machine::new("x").accelerator(Accelerator::Kvm);
        for (machine, option) in [
            (kvm.clone().machine_option("secure=on"), "secure=on"),
            (kvm.clone().count_instructions(), "-icount"),
        ] {
            let error = machine.start().unwrap_err().to_string();
            assert_eq!(
                error,
                format!("{option} exists only under emulation, not with -accel kvm")
            );
        }
        assert_eq!(kvm.machine_option("highmem=off").only_emulated(), None);
        let firmware = Machine::with_firmware("u-boot.bin").shell_line();
        assert!(firmware.contains(" -bios u-boot.bin ") && !firmware.contains("-kernel"));
    }
}
