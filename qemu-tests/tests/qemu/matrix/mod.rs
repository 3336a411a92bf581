// SPDX-License-Identifier: MIT OR Apache-2.0

//! Debian's kernel on machines of all kinds, each of which reports its properties from inside. The
//! rows are generated so that every compatible combination of three choices occurs in one of them.

mod inside;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use qemu_tests::demo::{Demo, Parts};
use qemu_tests::harness::combinations::cover;
use qemu_tests::harness::emulator::{self, Version};
use qemu_tests::harness::machine::{Bus, Disk, Machine};
use qemu_tests::output;

use crate::context::{Context, machine};
use inside::{ANSWERED, Inside, QUESTION};

/// Time limit of a row on a busy host. On an idle CPU a row takes up to 12 s, because of the
/// pointer authentication of `max`.
const ROW: Duration = Duration::from_secs(240);

/// The prompt of the guest's shell.
const PROMPT: &str = "/ # ";

/// The CPU models, from the oldest 64-bit core to all features that QEMU can emulate. Models that
/// the QEMU in use does not have are excluded.
const CPUS: [&str; 8] = [
    "cortex-a53",
    "cortex-a57",
    "cortex-a72",
    "cortex-a76",
    "neoverse-n1",
    "neoverse-v1",
    "neoverse-n2",
    "max",
];

const FORMS: [Form; 2] = [Form::Elf, Form::FlatBinary];
const COUNTS: [u8; 2] = [1, 4];
const STARTS: [Start; 3] = [Start::Plain, Start::Virtualization, Start::Secure];
const GICS: [u8; 2] = [2, 3];
const PLACES: [Place; 5] = [
    Place::LastMmio,
    Place::FirstMmio,
    Place::ModernMmio,
    Place::Pci,
    Place::PciLow,
];
/// Memory sizes in MiB: small for Debian's kernel, all below 4 GiB, and past 4 GiB.
const SIZES: [u32; 3] = [128, 1024, 4096];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Elf,
    FlatBinary,
}

/// The exception levels above EL1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Plain,
    /// EL2, at which both forms are entered.
    Virtualization,
    /// EL3, at which the ELF is entered. The flat binary is entered at EL1.
    Secure,
}

/// The attachment of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    LastMmio,
    FirstMmio,
    /// On the last transport, which follows virtio 1.0 and later.
    ModernMmio,
    Pci,
    /// On PCI with all its addresses below 4 GiB (`highmem=off`).
    PciLow,
}

/// A machine to boot.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    form: Form,
    cpu: &'static str,
    cpus: u8,
    start: Start,
    gic: u8,
    place: Place,
    memory_mib: u32,
}

/// Returns the rows for the QEMU in use.
pub(crate) fn rows() -> Result<Vec<Row>> {
    let models = emulator::cpu_models()?;
    let cpus: Vec<&str> = CPUS
        .into_iter()
        .filter(|cpu| models.iter().any(|model| model == cpu))
        .collect();
    let axes = [
        FORMS.len(),
        cpus.len(),
        COUNTS.len(),
        STARTS.len(),
        GICS.len(),
        PLACES.len(),
        SIZES.len(),
    ];
    let row = |choice: &[usize]| Row {
        form: FORMS[choice[0]],
        cpu: cpus[choice[1]],
        cpus: COUNTS[choice[2]],
        start: STARTS[choice[3]],
        gic: GICS[choice[4]],
        place: PLACES[choice[5]],
        memory_mib: SIZES[choice[6]],
    };
    let version = emulator::version()?;
    let chosen = cover(&axes, 3, |choice| row(choice).is_possible(version));
    Ok(chosen.iter().map(|choice| row(choice)).collect())
}

impl Row {
    pub(crate) fn name(&self) -> String {
        format!("matrix::{self}")
    }

    fn is_possible(&self, qemu: Version) -> bool {
        // QEMU refuses memory that ends beyond 4 GiB with highmem=off.
        let fits = self.place != Place::PciLow || self.memory_mib <= 3072;
        // Before 8.2 QEMU's PSCI lacked the EL3 setup that these CPUs need, and no kernel could
        // start a second CPU: https://gitlab.com/qemu-project/qemu/-/issues/1899.
        let newer = matches!(self.cpu, "neoverse-v1" | "neoverse-n2" | "max");
        let needs_el3 = self.start == Start::Secure && !self.is_at_el3() && self.cpus > 1;
        fits && !(newer && needs_el3 && qemu < Version::new(8, 2, 0))
    }

    /// True if the loader is entered at EL3, without PSCI: the kernel has one CPU and cannot power
    /// off.
    fn is_at_el3(&self) -> bool {
        self.form == Form::Elf && self.start == Start::Secure
    }

    fn machine(&self, context: &Context, image: &Path) -> Machine {
        let loader = match self.form {
            Form::Elf => context.artifacts.loader(),
            Form::FlatBinary => context.artifacts.flat_loader(),
        };
        let mut machine = machine(&loader)
            .cpu(self.cpu)
            .cpus(self.cpus)
            .machine_option(&format!("gic-version={}", self.gic))
            .memory_mib(self.memory_mib)
            .append("quiet")
            .time_limit(ROW);
        machine = match self.start {
            Start::Plain => machine,
            Start::Virtualization => machine.machine_option("virtualization=on"),
            Start::Secure => machine.machine_option("secure=on"),
        };
        let disk = Disk::new(image).snapshot();
        match self.place {
            Place::LastMmio => machine.disk(disk),
            Place::FirstMmio => machine.disk(disk.bus(Bus::MmioAt(0))),
            Place::ModernMmio => machine.modern_transports().disk(disk),
            Place::Pci => machine.disk(disk.bus(Bus::Pci)),
            Place::PciLow => machine
                .machine_option("highmem=off")
                .disk(disk.bus(Bus::Pci)),
        }
    }

    /// The answers that the guest must give.
    fn expected(&self) -> Inside {
        // Several CPUs stay at EL2, where PSCI starts them; one alone goes to EL1.
        let at_el2 = self.start == Start::Virtualization && self.cpus > 1;
        let place = match self.place {
            Place::LastMmio | Place::ModernMmio => "a003e00.virtio_mmio",
            Place::FirstMmio => "a000000.virtio_mmio",
            Place::Pci | Place::PciLow => "0000:00:01.0",
        };
        Inside {
            cpus: if self.is_at_el3() { 1 } else { self.cpus },
            level: if at_el2 { "EL2" } else { "EL1" }.to_owned(),
            disk: format!("/dev/vda at {place}"),
            memory_kib: u64::from(self.memory_mib) << 10,
            inconsistent: 0,
        }
    }

    /// Boots to a shell, compares the guest's answers, and powers off if the machine has PSCI.
    pub(crate) fn boot(&self, context: &Context) -> Result<()> {
        say_what_is_left_out();
        let mut guest = self.machine(context, image(context)?).start()?;
        let expected = self.expected();
        guest.expect(&format!("kernel at {}", expected.level))?;
        guest.expect(PROMPT)?;
        guest.type_line(QUESTION)?;
        guest.expect(ANSWERED)?;
        guest.expect(PROMPT)?;
        let mut log = guest.log();
        if !self.is_at_el3() {
            guest.type_line("poweroff")?;
            log.serial = guest.wait_for_exit()?.serial;
        }
        let inside = Inside::parse(&log.serial).with_context(|| log.to_string())?;
        ensure!(
            inside == expected,
            "{inside:?} instead of {expected:?}{log}"
        );
        record(context, self, inside)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.form {
            Form::Elf => "elf",
            Form::FlatBinary => "bin",
        };
        let cpu = self.cpu.trim_start_matches("cortex-");
        let start = match self.start {
            Start::Plain => "el1",
            Start::Virtualization => "el2",
            Start::Secure => "secure",
        };
        let place = match self.place {
            Place::LastMmio => "mmio",
            Place::FirstMmio => "mmio0",
            Place::ModernMmio => "modern",
            Place::Pci => "pci",
            Place::PciLow => "pcilow",
        };
        write!(
            f,
            "{form}-{cpu}-smp{}-{start}-gicv{}-{place}-{}m",
            self.cpus, self.gic, self.memory_mib
        )
    }
}

/// Returns the image that all rows share; each boots it with `snapshot=on`.
fn image(context: &Context) -> Result<&'static Path> {
    static IMAGE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = IMAGE.get_or_init(|| {
        let stem = context.artifacts.folder().join("matrix");
        let demo = Demo::make_at(&Parts::default(), &stem);
        demo.map(|demo| demo.image)
            .map_err(|error| format!("{:#}", anyhow!(error)))
    });
    made.as_deref()
        .map_err(|error| anyhow!("no image: {error}"))
}

fn say_what_is_left_out() {
    static SAY: Once = Once::new();
    SAY.call_once(|| {
        let models = emulator::cpu_models().unwrap_or_default();
        let missing: Vec<&str> = CPUS
            .into_iter()
            .filter(|cpu| models.iter().all(|model| model != cpu))
            .collect();
        if !missing.is_empty() {
            eprintln!(
                "matrix: this QEMU has no {}, so no row uses them",
                missing.join(", ")
            );
        }
    });
}

/// Adds the answers of a row to the table `matrix.md`, next to the loaders, and rewrites the file.
fn record(context: &Context, row: &Row, inside: Inside) -> Result<()> {
    static SAID: Mutex<BTreeMap<String, Inside>> = Mutex::new(BTreeMap::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    said.insert(row.to_string(), inside);
    let mut table = format!(
        "QEMU {}, {} rows\n\n| row | CPUs | kernel entered at | root disk | memory, KiB |\n| --- | --- | --- | --- | --- |\n",
        emulator::version()?,
        said.len()
    );
    for (name, inside) in said.iter() {
        writeln!(
            table,
            "| {name} | {} | {} | {} | {} |",
            inside.cpus, inside.level, inside.disk, inside.memory_kib
        )?;
    }
    output::write_whole(
        &context.artifacts.folder().join("matrix.md"),
        table.as_bytes(),
    )?;
    Ok(())
}
