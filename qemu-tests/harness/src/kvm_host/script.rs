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
    /// All files except the images of disks.
    pub(super) files: Vec<PathBuf>,
    /// Disk images.
    pub(super) disks: Vec<PathBuf>,
    /// The command of each guest inside the host.
    pub(super) commands: Vec<String>,
}

impl Script {
    pub(super) fn of(guests: &[Guest]) -> Self {
        let mut script = Self::default();
        let mut index = 0;
        for group in guests.chunk_by(|guest, _| guest.beside_next) {
            script.add(index, group);
            index += group.len();
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

    /// Adds guests that run at the same time, of which the first has the index `first`. Each takes
    /// its first step before any takes its second, and so on.
    fn add(&mut self, first: usize, group: &[Guest]) {
        let traced = group.iter().position(|guest| guest.traced);
        let mut lines = Vec::new();
        if traced.is_some() {
            lines.push("trace".to_owned());
        }
        for (index, guest) in (first..).zip(group) {
            let command = self.command(guest);
            let limit = guest.machine.limit().as_secs();
            let begin = if guest.steps.is_empty() {
                "plain"
            } else {
                "attended"
            };
            lines.push(format!("{begin} {index} {limit} {command}"));
            self.commands.push(command);
        }
        let steps = group.iter().map(|guest| guest.steps.len()).max();
        for turn in 0..steps.unwrap_or_default() {
            for (index, guest) in (first..).zip(group) {
                if let Some(step) = guest.steps.get(turn) {
                    lines.extend([format!("with {index}"), line(step)]);
                }
            }
        }
        for index in first..first + group.len() {
            lines.extend([format!("with {index}"), "finish".to_owned()]);
        }
        if let Some(position) = traced {
            lines.extend([format!("with {}", first + position), "traced".to_owned()]);
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
            Guest::new(
                "three",
                machine
                    .disk(Disk::new("d.img").blkdebug("rules"))
                    .place("tree", 0x4400_0000),
            ),
        ];
        let script = Script::of(&guests);
        assert_eq!(
            script.files,
            ["a/loader.elf", "c/initrd", "tree", "rules"].map(PathBuf::from)
        );
        assert_eq!(script.disks, ["b/disk.img", "d.img"].map(PathBuf::from));
        let lines: Vec<String> = script.text.lines().map(unquoted).collect();
        let one = "plain 0 300 qemu-system-aarch64 -M virt,gic-version=host -accel kvm -cpu host ";
        assert!(lines[0].starts_with(one), "{}", lines[0]);
        for part in ["-kernel /files/0 ", "file=/disks/disk0 "] {
            assert!(lines[0].contains(part), "{}", lines[0]);
        }
        assert_eq!(lines[1..4], ["with 0", "finish", "trace"]);
        assert!(lines[4].starts_with("attended 1 300 "), "{}", lines[4]);
        assert!(lines[4].contains("-initrd /files/1 "), "{}", lines[4]);
        assert_eq!(
            lines[5..17],
            [
                "with 1",
                "expect it's up",
                "with 1",
                "enter ls",
                "with 1",
                "resets done 20 500",
                "with 1",
                "monitor system_reset",
                "with 1",
                "finish",
                "with 1",
                "traced"
            ]
        );
        for part in [
            "loader,file=/files/2,addr=0x44000000,",
            "file=blkdebug:/files/3:/disks/disk1 ",
        ] {
            assert!(lines[17].contains(part), "{}", lines[17]);
        }
    }

    #[test]
    fn guests_that_run_together_take_turns() {
        let guest = |name| Guest::new(name, Machine::new("loader.elf"));
        let guests = [
            guest("alone"),
            guest("one").expect("up").type_line("off").beside_next(),
            guest("two").expect("up").monitor("quit").expect("off"),
            guest("last"),
        ];
        let text = Script::of(&guests).text;
        let short = |line: &str| {
            let words = line.split(' ').take(2);
            words.collect::<Vec<_>>().join(" ")
        };
        let lines: Vec<String> = text.lines().map(short).collect();
        let expected = "plain 0/with 0/finish/attended 1/attended 2/\
            with 1/expect up/with 2/expect up/with 1/enter off/with 2/monitor quit/\
            with 2/expect off/with 1/finish/with 2/finish/plain 3/with 3/finish";
        assert_eq!(lines.join("/"), expected);
    }
}
