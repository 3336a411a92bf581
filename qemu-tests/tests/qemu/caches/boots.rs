// SPDX-License-Identifier: MIT OR Apache-2.0

//! The boots whose cache maintenance is checked.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use little_loader_core::units::BLOCK_SIZE;
use qemu_tests::artifacts::Artifacts;
use qemu_tests::build::OPT_LEVELS;
use qemu_tests::caches::event::DeviceAccess;
use qemu_tests::caches::model::{Findings, LINE, Layout, Outcome, Rule, replay};
use qemu_tests::caches::{Program, Recording, record};
use qemu_tests::harness::machine::{Bus, Disk, Machine};
use qemu_tests::harness::payload::pattern;
use qemu_tests::scratch::Scratch;

use crate::context::{Context, machine};

/// The first block of the initrd, and its length in bytes.
const INITRD: u64 = 100_000;
const INITRD_LENGTH: u64 = 20_001;

/// Every boot sets up a disk and prints lines, which takes more than this.
const MIN_DEVICE_ACCESSES: usize = 30;

const WORD: usize = 4;
const PAGE_OFFSET: u64 = 0xfff;

/// A way to boot.
#[derive(Clone, Copy)]
pub(super) struct Boot {
    pub(super) name: &'static str,
    is_flat: bool,
    memory_mib: u32,
    has_initrd: bool,
    change: fn(Machine, Disk) -> Machine,
}

pub(super) const ELF: Boot = Boot {
    name: "elf",
    is_flat: false,
    memory_mib: 128,
    has_initrd: false,
    change: Machine::disk,
};

const fn boot(name: &'static str, change: fn(Machine, Disk) -> Machine) -> Boot {
    Boot {
        name,
        change,
        ..ELF
    }
}

/// Together they execute all maintenance of a good boot.
pub(super) const BOOTS: [Boot; 6] = [
    ELF,
    boot("pci", |machine, disk| machine.disk(disk.bus(Bus::Pci))),
    Boot {
        name: "flat_with_initrd_and_trial",
        is_flat: true,
        has_initrd: true,
        change: |machine, disk| machine.modern_transports().disk(disk),
        ..ELF
    },
    boot("el2_with_one_cpu", |machine, disk| {
        machine.machine_option("virtualization=on").disk(disk)
    }),
    boot("el2_with_several_cpus", |machine, disk| {
        let machine = machine.machine_option("virtualization=on");
        machine.cpus(4).disk(disk)
    }),
    boot("el3_and_el2", |machine, disk| {
        let machine = machine.machine_option("secure=on");
        machine.machine_option("virtualization=on").disk(disk)
    }),
];

/// Further machines. Those entered at EL3 have one CPU: several start at once there, and mix up
/// QEMU's log.
pub(super) const MORE: [Boot; 12] = [
    boot("first_transport", |machine, disk| {
        machine.disk(disk.bus(Bus::MmioAt(0)))
    }),
    boot("pci_below_4_gib", |machine, disk| {
        let machine = machine.machine_option("highmem=off");
        machine.disk(disk.bus(Bus::Pci))
    }),
    boot("pci_root_port", |machine, disk| {
        machine.disk(disk.bus(Bus::PciRootPort))
    }),
    boot("gicv3_with_several_cpus", |machine, disk| {
        machine.machine_option("gic-version=3").cpus(4).disk(disk)
    }),
    boot("neoverse_n1", |machine, disk| {
        machine.cpu("neoverse-n1").disk(disk)
    }),
    boot("max_at_el2", |machine, disk| {
        let machine = machine.machine_option("virtualization=on");
        machine.cpu("max,pauth-impdef=on").disk(disk)
    }),
    boot("el3_without_el2", |machine, disk| {
        machine.machine_option("secure=on").disk(disk)
    }),
    boot("max_at_el3", |machine, disk| {
        let machine = machine.machine_option("secure=on");
        let machine = machine.machine_option("virtualization=on");
        machine.cpu("max,pauth-impdef=on").disk(disk)
    }),
    Boot {
        name: "flat_at_el2_on_pci",
        is_flat: true,
        has_initrd: true,
        change: |machine, disk| {
            let machine = machine.machine_option("virtualization=on").cpus(2);
            machine.disk(disk.bus(Bus::Pci))
        },
        ..ELF
    },
    Boot {
        name: "memory_of_64_mib",
        memory_mib: 64,
        ..ELF
    },
    Boot {
        name: "memory_of_4_gib",
        memory_mib: 4096,
        ..ELF
    },
    Boot {
        name: "flat_with_memory_of_8_gib",
        is_flat: true,
        memory_mib: 8192,
        has_initrd: true,
        ..ELF
    },
];

/// A recorded boot.
pub(super) struct Recorded {
    pub(super) program: Program,
    pub(super) recording: Recording,
    pub(super) layout: Layout,
    /// The length of the kernel in bytes.
    kernel: u64,
}

/// A loader in both forms.
pub(super) struct Loader {
    pub(super) elf: PathBuf,
    pub(super) flat: PathBuf,
}

impl Loader {
    pub(super) fn shipped(artifacts: &Artifacts) -> Self {
        Self {
            elf: artifacts.loader(),
            flat: artifacts.flat_loader(),
        }
    }
}

/// Returns the loaders of all other builds, which are tested as ELFs.
pub(super) fn other_loaders(artifacts: &Artifacts) -> Vec<PathBuf> {
    let mut loaders = vec![artifacts.dev_loader(), artifacts.trace_loader()];
    loaders.extend(OPT_LEVELS.iter().map(|level| artifacts.loader_at(level)));
    loaders
}

impl Boot {
    pub(super) fn record(&self, context: &Context, loader: &Loader) -> Result<Recorded> {
        let program = Program::parse(&fs::read(&loader.elf)?)?;
        let mut disk = context.bootable()?;
        if self.has_initrd {
            disk = with_initrd_and_trial(disk);
        }
        let path = context.path(&format!("{}.img", self.name));
        disk.create(&path)?;
        let started: &Path = if self.is_flat {
            &loader.flat
        } else {
            &loader.elf
        };
        let machine = machine(started).memory_mib(self.memory_mib);
        // Without this, notifications by PCI do not reach the code that QEMU traces.
        let machine = machine.arguments(["-global", "virtio-pci.ioeventfd=off"]);
        let machine = (self.change)(machine, Disk::new(path));
        let recording = record(&machine, &program)?;
        let mut recorded = Recorded {
            layout: program.layout(self.memory_mib),
            program,
            recording,
            kernel: context.payload()?.bytes().len() as u64,
        };
        if self.has_initrd {
            recorded.leave_out_rest_of_initrd()?;
        }
        Ok(recorded)
    }
}

/// Returns the boot `BOOTS[number]` of the shipped loader, recorded once for all tests.
pub(super) fn recorded(number: usize, context: &Context) -> Result<&'static Recorded> {
    static RECORDED: [OnceLock<Result<Recorded, String>>; BOOTS.len()] =
        [const { OnceLock::new() }; BOOTS.len()];
    let recorded = RECORDED[number].get_or_init(|| {
        let loader = Loader::shipped(&context.artifacts);
        let recorded = BOOTS[number].record(context, &loader);
        recorded.map_err(|error| format!("{error:#}"))
    });
    let recorded = recorded.as_ref();
    recorded.map_err(|error| anyhow!("{}: {error}", BOOTS[number].name))
}

/// Splits accesses into words, because some of QEMU's devices have only registers of that size.
/// QEMU traces some addresses relative to the start of their region, which is page-aligned.
fn in_words(accesses: &[DeviceAccess]) -> Vec<DeviceAccess> {
    let words = accesses.iter().flat_map(|access| {
        (0..access.length).step_by(WORD).map(|offset| DeviceAccess {
            address: (access.address + offset) & PAGE_OFFSET,
            length: access.length.min(WORD as u64),
            ..*access
        })
    });
    words.collect()
}

/// The trial makes the loader write to the disk.
fn with_initrd_and_trial(disk: Scratch) -> Scratch {
    disk.set("a.initrd_lba", INITRD)
        .set("a.initrd_size", INITRD_LENGTH)
        .set("upgrade_available", "1")
        .write(INITRD, &pattern(INITRD_LENGTH as usize))
}

impl Recorded {
    /// The disk writes whole blocks, but the kernel gets only the initrd's bytes.
    fn leave_out_rest_of_initrd(&mut self) -> Result<()> {
        let read = INITRD_LENGTH.next_multiple_of(BLOCK_SIZE);
        let outcome = self.replay_without(None);
        let mut reads = outcome.disk_reads.into_iter();
        let initrd = reads
            .rfind(|range| range.end - range.start == read)
            .context("the initrd was not read")?;
        let first_after = (initrd.start + INITRD_LENGTH).next_multiple_of(LINE);
        self.layout.unread.push(first_after..initrd.end);
        Ok(())
    }

    /// Replays the boot without the instruction at `removed`.
    pub(super) fn replay_without(&self, removed: Option<u64>) -> Outcome {
        let events = self.recording.events.iter();
        let left = events.filter(|event| Some(event.at) != removed);
        replay(left, &self.layout)
    }

    /// Checks that no rule is broken, and that the model has seen the boot that it judges.
    pub(super) fn check(&self) -> Result<()> {
        let outcome = self.replay_without(None);
        ensure!(
            outcome.findings.is_empty(),
            "{}",
            self.describe(&outcome.findings)
        );
        let Some((kernel, dtb)) = outcome.entered else {
            bail!("the kernel was not entered");
        };
        let mut reads = outcome.disk_reads.iter();
        ensure!(
            reads.any(|read| read.start == kernel && read.end - read.start >= self.kernel),
            "no request reads the kernel to {kernel:#x}: {:x?}",
            outcome.disk_reads
        );
        ensure!(
            outcome.is_maintained(kernel, self.kernel),
            "not all of the kernel at {kernel:#x} was cleaned"
        );
        let length = outcome.word(dtb + 4).unwrap_or_default();
        ensure!(
            length > 1000 && outcome.is_maintained(dtb, u64::from(length)),
            "not all of the DTB at {dtb:#x}, {length} bytes, was cleaned"
        );
        self.check_decoding(&outcome)
    }

    /// Checks that what the loader did, as decoded from its instructions, is what QEMU did.
    fn check_decoding(&self, outcome: &Outcome) -> Result<()> {
        let decoded = in_words(&outcome.device_accesses);
        let traced = in_words(&self.recording.device_accesses);
        let differs = decoded.iter().zip(&traced).find(|(a, b)| a != b);
        ensure!(
            decoded.len() > MIN_DEVICE_ACCESSES
                && decoded.len() == traced.len()
                && differs.is_none(),
            "{} device accesses were decoded, QEMU traced {}: {differs:x?}",
            decoded.len(),
            traced.len()
        );
        Ok(())
    }

    /// Returns the broken rules as text, one a line.
    pub(super) fn describe(&self, findings: &Findings) -> String {
        let lines = findings.iter().map(|(rule, finding)| {
            format!(
                "{rule:?} at {}, address {:#x}, {} times\n",
                self.program.place(finding.at),
                finding.address,
                finding.times
            )
        });
        lines.collect()
    }

    /// Returns the broken rules of a replay without the instruction at `removed`.
    pub(super) fn broken_without(&self, removed: u64) -> Vec<Rule> {
        let outcome = self.replay_without(Some(removed));
        outcome.findings.iter().map(|(rule, _)| rule).collect()
    }
}
