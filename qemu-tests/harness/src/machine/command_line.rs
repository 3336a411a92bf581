// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command that starts a machine.

use std::ffi::OsString;
use std::process::Command;

use super::accelerator::Accelerator;
use super::builder::{Console, Machine};
use super::disk;
use crate::emulator;
use crate::process;
use crate::running::{RunError, Running};

impl Machine {
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
        if self.bare {
            command.args(["-nodefaults", "-no-user-config"]);
        }
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
            Console::Socket => command.args([
                "-display",
                "none",
                "-monitor",
                "none",
                "-chardev",
                "socket,id=console,path=console.sock,server=on,wait=off,logfile=console.log,logappend=on",
                "-serial",
                "chardev:console",
            ]),
        };
        command.arg(self.started_by).arg(&self.started);
        for (option, path) in [("-initrd", &self.initrd), ("-dtb", &self.dtb)] {
            if let Some(path) = path {
                command.arg(option).arg(path);
            }
        }
        for (path, address) in &self.placed {
            let mut device = OsString::from("loader,file=");
            device.push(disk::option_value(path));
            device.push(format!(",addr={address:#x},force-raw=on"));
            command.args(["-device".into(), device]);
        }
        for (name, path) in &self.fw_cfg {
            let mut file = OsString::from(format!("name={name},file="));
            file.push(disk::option_value(path));
            command.args(["-fw_cfg".into(), file]);
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
        command.args(self.network_arguments());
        command.args(&self.more);
        command
    }

    fn network_arguments(&self) -> Vec<String> {
        let Some(network) = &self.network else {
            return ["-nic", "none"].map(str::to_owned).into();
        };
        let forward = network.forward.map_or_else(String::new, |(host, guest)| {
            format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}")
        });
        let mac = network.mac.as_ref();
        let mac = mac.map_or_else(String::new, |mac| format!(",mac={mac}"));
        vec![
            "-netdev".to_owned(),
            format!("user,id=net0{forward}"),
            "-device".to_owned(),
            format!("virtio-net-device,netdev=net0{mac}"),
        ]
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
    use std::path::Path;

    use super::super::{Bus, Disk};
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
            .disk(Disk::new("f.img").blkdebug("rules,1"))
            .place("tree.dtb", 0x4400_0000)
            .fw_cfg_file("opt/x", "value,1")
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
            "-kernel loader.elf ",
            "-append one two -global virtio-mmio.force-legacy=false",
            "file=a,,b c.img,snapshot=on -device virtio-blk-device,drive=disk0,bus=virtio-mmio-bus.0",
            "file=d.img,readonly=on -device virtio-blk-pci,drive=disk1",
            "-device pcie-root-port,id=port2,chassis=3 -device virtio-blk-pci,drive=disk2,bus=port2,logical_block_size=4096",
            "-device loader,file=tree.dtb,addr=0x44000000,force-raw=on -fw_cfg name=opt/x,file=value,,1 -append one two",
            "file=blkdebug:rules,,1:f.img -device virtio-blk-device,drive=disk3",
            "-nic none -object memory-backend-file,id=ram,share=on,size=64M,mem-path=ram,,1",
        ] {
            assert!(joined.contains(part), "{part:?} is not in {joined:?}");
        }
        assert!(machine.shell_line().contains("-append 'one two'"));
        let command = machine
            .accelerator(Accelerator::Kvm)
            .machine_option("gic-version=2")
            .shell_line();
        let part = ",gic-version=host' -accel 'kvm,thread=single' -cpu host -m 64 ";
        assert!(command.contains(part), "{part:?} is not in {command:?}");
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

    #[test]
    fn a_guest_of_a_fleet_has_its_files_beside_it() {
        let line = Machine::new("loader.elf")
            .bare()
            .console(Console::Socket)
            .disk(Disk::new("disk.qcow2").qcow2())
            .forwarded_network(20007, 4000, "52:54:4c:00:00:07")
            .entropy()
            .free_page_reporting()
            .fw_cfg("opt/org.example/words", "one,two")
            .qmp("qmp.sock")
            .shell_line();
        for part in [
            "-nodefaults -no-user-config -M virt ",
            "path=console.sock,server=on,wait=off,logfile=console.log,logappend=on",
            "format=qcow2,file=disk.qcow2",
            "user,id=net0,hostfwd=tcp:127.0.0.1:20007-:4000",
            "virtio-net-device,netdev=net0,mac=52:54:4c:00:00:07",
            "-device virtio-rng-device",
            "virtio-balloon-device,free-page-reporting=on",
            "name=opt/org.example/words,string=one,,two",
            "-qmp 'unix:qmp.sock,server=on,wait=off'",
        ] {
            assert!(line.contains(part), "{part:?} is not in {line:?}");
        }
    }
}
