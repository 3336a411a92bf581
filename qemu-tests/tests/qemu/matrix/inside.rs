// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guest is asked what it is.

use anyhow::{Context as _, Result, anyhow};

/// What a guest says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inside {
    pub(super) cpus: u8,
    pub(super) level: String,
    pub(super) disk: String,
    pub(super) memory_kib: u64,
    /// How often the kernel's log says that CPUs were started in inconsistent modes.
    pub(super) inconsistent: u32,
}

/// Asks for a line `inside: CPUS LEVEL MEMORY INCONSISTENT ROOT`: from the kernel's log but for the
/// CPUs that are online and the root file system's place below /sys/devices.
pub(super) const QUESTION: &str = "dmesg >/tmp/log; said() { sed -n \"s,.*$1.*,\\1,p\" /tmp/log; }; \
    root=$(sed -n 's,^/dev/\\([^ ]*\\) / .*,\\1,p' /proc/mounts); \
    echo \"inside: $(grep -c ^processor /proc/cpuinfo) $(said 'CPU(s) started at \\(EL.\\)') \
    $(said 'Memory: [0-9]*K/\\([0-9]*\\)K') $(grep -c 'inconsistent modes' /tmp/log) \
    $(readlink -f /sys/class/block/$root)\"; echo an'swer'ed";

/// What follows the answer; typed, it looks different.
pub(super) const ANSWERED: &str = "answered";

impl Inside {
    /// Reads the answer out of a serial log.
    pub(super) fn parse(serial: &str) -> Result<Self> {
        let is_answer = |text: &&str| text.starts_with(|first: char| first.is_ascii_digit());
        let line = serial
            .lines()
            .filter_map(|line| line.strip_prefix("inside: "))
            .find(is_answer)
            .context("the guest does not say what it is")?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [cpus, level, memory, inconsistent, root] = words[..] else {
            return Err(anyhow!("{line:?} has not five words"));
        };
        // …/PLACE/virtio0/block/DISK/PARTITION
        let mut path = root.rsplit('/').skip(1);
        let disk = path.next().filter(|_| root.starts_with("/sys/devices/"));
        let place = path.nth(2);
        let (disk, place) = disk
            .zip(place)
            .with_context(|| format!("{root:?} is no partition of a disk"))?;
        Ok(Self {
            cpus: cpus.parse()?,
            level: level.to_owned(),
            disk: format!("/dev/{disk} at {place}"),
            memory_kib: memory.parse()?,
            inconsistent: inconsistent.parse()?,
        })
    }
}
