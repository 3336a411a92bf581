// SPDX-License-Identifier: MIT OR Apache-2.0

//! The questions to a guest about its machine, and the parser of the answers.

use anyhow::{Context as _, Result, anyhow};

/// The machine's properties as reported by the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inside {
    pub(super) cpus: u8,
    pub(super) level: String,
    pub(super) disk: String,
    pub(super) memory_kib: u64,
    /// Lines of the kernel's log about CPUs that started in inconsistent modes.
    pub(super) inconsistent: u32,
}

/// Shell command that prints `inside: CPUS LEVEL MEMORY INCONSISTENT ROOT`: the online CPUs, three
/// values from the kernel's log, and the root file system's path below /sys/devices.
pub(super) const QUESTION: &str = "dmesg >/tmp/log; said() { sed -n \"s,.*$1.*,\\1,p\" /tmp/log; }; \
    root=$(sed -n 's,^/dev/\\([^ ]*\\) / .*,\\1,p' /proc/mounts); \
    echo \"inside: $(grep -c ^processor /proc/cpuinfo) $(said 'CPU(s) started at \\(EL.\\)') \
    $(said 'Memory: [0-9]*K/\\([0-9]*\\)K') $(grep -c 'inconsistent modes' /tmp/log) \
    $(readlink -f /sys/class/block/$root)\"; echo an'swer'ed";

/// The line after the answer; the echo of the typed command does not match it.
pub(super) const ANSWERED: &str = "answered";

impl Inside {
    /// Parses the answer in a serial log.
    pub(super) fn parse(serial: &str) -> Result<Self> {
        let is_answer = |text: &&str| text.starts_with(|first: char| first.is_ascii_digit());
        let line = serial
            .lines()
            .filter_map(|line| line.strip_prefix("inside: "))
            .find(is_answer)
            .context("no answer from the guest")?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [cpus, level, memory, inconsistent, root] = words[..] else {
            return Err(anyhow!("{line:?} does not have five words"));
        };
        // …/PLACE/virtio0/block/DISK/PARTITION
        let mut path = root.rsplit('/').skip(1);
        let disk = path.next().filter(|_| root.starts_with("/sys/devices/"));
        let place = path.nth(2);
        let (disk, place) = disk
            .zip(place)
            .with_context(|| format!("{root:?} is not a partition of a disk"))?;
        Ok(Self {
            cpus: cpus.parse()?,
            level: level.to_owned(),
            disk: format!("/dev/{disk} at {place}"),
            memory_kib: memory.parse()?,
            inconsistent: inconsistent.parse()?,
        })
    }
}
