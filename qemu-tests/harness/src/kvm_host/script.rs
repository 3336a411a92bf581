// SPDX-License-Identifier: MIT OR Apache-2.0

//! The shell script that runs the guests, in the words of the host's /init.

use std::path::{Path, PathBuf};

use super::guest::{Guest, Step};
use super::userland::inside;
use crate::emulator::PROGRAM;
use crate::process;

/// A script, and the files of the machine at hand that it uses.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) text: String,
    /// Kernels, initrds and device trees.
    pub(super) files: Vec<PathBuf>,
    /// Disk images.
    pub(super) disks: Vec<PathBuf>,
    /// The command of each guest inside the host.
    pub(super) commands: Vec<String>,
}

impl Script {
    pub(super) fn of(guests: &[Guest]) -> Self {
        let mut script = Self::default();
        for (index, guest) in guests.iter().enumerate() {
            script.add(index, guest);
        }
        script
    }

    /// Returns a script that runs a guest on the host's console.
    pub(super) fn interactive(guest: &Guest) -> Self {
        let mut script = Self::default();
        let command = script.command(guest);
        // The terminal passes each key on, so that the guest's shell sees them.
        script.text = format!("exec </dev/console >/dev/console 2>&1\n{command}\n");
        script
    }

    fn add(&mut self, index: usize, guest: &Guest) {
        let command = self.command(guest);
        let limit = guest.machine.limit().as_secs();
        let begin = if guest.steps.is_empty() {
            "plain"
        } else {
            "attended"
        };
        let mut lines = vec![format!("{begin} {index} {limit} {command}")];
        if guest.traced {
            lines.insert(0, "trace".to_owned());
        }
        lines.extend(guest.steps.iter().map(line));
        lines.push("finish".to_owned());
        self.commands.push(command);
        if guest.traced {
            lines.push("traced".to_owned());
        }
        self.text.push_str(&lines.join("\n"));
        self.text.push('\n');
    }

    /// Returns the guest's command inside the host, and notes the files that it uses.
    fn command(&mut self, guest: &Guest) -> String {
        let (files, disks) = (&mut self.files, &mut self.disks);
        let machine = guest
            .machine
            .clone()
            .program(PROGRAM)
            .map_files(|path| inside(number(files, path)).into())
            .map_disks(|path| format!("/disks/{}", serial(number(disks, path))).into());
        process::shell_line(&machine.command())
    }
}

/// Returns the serial number of the disk with this index, by which the host's /init names it.
pub(super) fn serial(index: usize) -> String {
    format!("disk{index}")
}

/// Returns the position of `path` in `list`, to which it is added if it is not there.
fn number(list: &mut Vec<PathBuf>, path: &Path) -> usize {
    list.iter().position(|old| old == path).unwrap_or_else(|| {
        list.push(path.to_owned());
        list.len() - 1
    })
}

fn line(step: &Step) -> String {
    let with = |word: &str, text: &str| format!("{word} {}", shell_words::quote(text));
    match step {
        Step::Expect(text) => with("expect", text),
        Step::Type(text) => with("enter", text),
        Step::Monitor(command) => with("monitor", command),
        Step::Resets { last, moments } => {
            let moments: String = moments.iter().map(|moment| format!(" {moment}")).collect();
            with("resets", last) + &moments
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Disk, Machine};

    fn unquoted(line: &str) -> String {
        shell_words::split(line).unwrap().join(" ")
    }

    #[test]
    fn files_and_disks_are_shared_and_steps_are_lines() {
        let machine = Machine::new("a/loader.elf").disk(Disk::new("b/disk.img"));
        let guests = [
            Guest::new("one", machine.clone()),
            Guest::new("two", machine.clone().initrd("c/initrd"))
                .traced()
                .expect("it's up")
                .type_line("ls")
                .resets("done", &[20, 500])
                .monitor("system_reset"),
            Guest::new("three", machine.disk(Disk::new("d.img"))),
        ];
        let script = Script::of(&guests);
        assert_eq!(
            script.files,
            ["a/loader.elf", "c/initrd"].map(PathBuf::from)
        );
        assert_eq!(script.disks, ["b/disk.img", "d.img"].map(PathBuf::from));
        let lines: Vec<String> = script.text.lines().map(unquoted).collect();
        let one = "plain 0 120 qemu-system-aarch64 -M virt,gic-version=host -accel kvm -cpu host ";
        assert!(lines[0].starts_with(one), "{}", lines[0]);
        for part in ["-kernel /files/0 ", "file=/disks/disk0 "] {
            assert!(lines[0].contains(part), "{}", lines[0]);
        }
        assert_eq!(lines[1..3], ["finish", "trace"]);
        assert!(lines[3].starts_with("attended 1 120 "), "{}", lines[3]);
        assert!(lines[3].contains("-initrd /files/1 "), "{}", lines[3]);
        assert_eq!(
            lines[4..10],
            [
                "expect it's up",
                "enter ls",
                "resets done 20 500",
                "monitor system_reset",
                "finish",
                "traced"
            ]
        );
        assert!(lines[10].contains("file=/disks/disk1 "), "{}", lines[10]);
    }
}
