// SPDX-License-Identifier: MIT OR Apache-2.0

//! Our `fwup` and the original side by side: both run the same commands in turn, in one
//! measurement.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::firmware::{self, FirmwareError};
use crate::harness::process;
use crate::toolchain;

/// The variable with the path of the original program.
pub const ORIGINAL: &str = "FWUP";
/// The number of runs of each command by each program; the shortest time is used.
const RUNS: usize = 5;

/// A kernel and a root file system, for a new disk and for an upgrade.
const SYSTEM: &str = r#"
file-resource kernel { host-path = "kernel" }
file-resource rootfs { host-path = "rootfs" }
uboot-environment env { block-offset = 16 block-count = 256 }
task complete {
    on-init { uboot_clearenv(env) uboot_setenv(env, active, a) }
    on-resource kernel { raw_write(2048) }
    on-resource rootfs { raw_write(131072) }
}
task upgrade {
    require-uboot-variable(env, active, a)
    on-resource kernel { raw_write(262144) }
    on-resource rootfs { raw_write(393216) }
    on-finish { uboot_setenv(env, active, b) }
}
"#;

/// A large file on a FAT file system.
const FAT: &str = r#"
file-resource rootfs { host-path = "rootfs" }
task complete {
    on-init { fat_mkfs(0, 131072) }
    on-resource rootfs { fat_write(0, "rootfs.img") }
}
"#;

/// A kernel that can be made from a delta.
const DELTA: &str = r#"
file-resource kernel { host-path = "version" }
task complete { on-resource kernel { raw_write(2048) } }
task upgrade {
    on-resource kernel {
        delta-source-raw-offset = 2048
        delta-source-raw-count = 131072
        raw_write(262144)
    }
}
"#;

/// The figures of a command, ours relative to the original's.
#[derive(Clone, Copy, Debug)]
pub struct Versus {
    /// The command.
    pub what: &'static str,
    /// The time from start to exit, ours divided by the original's.
    pub time: f64,
    /// The peak memory, ours divided by the original's; `None` if a program ended before it could be
    /// read.
    pub memory: Option<f64>,
}

/// The two programs, and a folder with their files.
struct Contest<'a> {
    ours: PathBuf,
    original: &'a Path,
    folder: &'a Path,
}

/// Measures all commands with a kernel, in `folder`. Returns the figures, and the size of an archive
/// relative to the original's at its default level.
///
/// # Errors
/// When a program cannot be built or fails.
pub fn measure(
    original: &Path,
    kernel: &Path,
    folder: &Path,
) -> Result<(Vec<Versus>, f64), FirmwareError> {
    let contest = Contest {
        ours: toolchain::host_program("fwup", true)?,
        original,
        folder,
    };
    contest.write_files(kernel)?;
    let mut figures = Vec::new();
    for (what, line, base) in [
        ("pack", "-c -f system.conf -o out.fw", None),
        ("apply", "-a -q -i system.fw -d disk.img -t complete", None),
        (
            "upgrade",
            "-a -q -i system.fw -d disk.img -t upgrade",
            Some("base.img"),
        ),
        ("metadata", "-m -i system.fw", None),
        ("pack 250 small files", "-c -f small.conf -o out.fw", None),
        (
            "apply 250 small files",
            "-a -q -i small.fw -d disk.img -t complete",
            None,
        ),
        (
            "write 30 MB to FAT",
            "-a -q -i fat.fw -d disk.img -t complete",
            None,
        ),
        (
            "apply a delta",
            "-a -q -i delta.fw -d disk.img -t upgrade",
            Some("old.img"),
        ),
    ] {
        figures.push(contest.compare(what, line, base)?);
    }
    let sizes =
        [contest.ours.as_path(), original].map(|program: &Path| -> Result<u64, FirmwareError> {
            contest.run(program, "-c -f system.conf -o size.fw")?;
            let path = contest.path("size.fw");
            Ok(fs::metadata(&path).map_err(firmware::failed(&path))?.len())
        });
    let [ours, theirs] = sizes;
    Ok((figures, ratio(ours?, theirs?)))
}

impl Contest<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, data: impl AsRef<[u8]>) -> Result<(), FirmwareError> {
        let path = self.path(name);
        fs::write(&path, data).map_err(firmware::failed(&path))
    }

    /// Writes the configurations and their files, and makes the archives and disks that both
    /// programs use.
    fn write_files(&self, kernel: &Path) -> Result<(), FirmwareError> {
        let kernel = fs::read(kernel).map_err(firmware::failed(kernel))?;
        // Data that is as hard to compress as the kernel.
        let length = kernel.len().min(30_000_000);
        let rootfs: Vec<u8> = kernel[..length].iter().map(|byte| !byte).collect();
        self.write("kernel", &kernel)?;
        self.write("rootfs", rootfs)?;
        self.write("version", &kernel)?;
        self.write("system.conf", SYSTEM)?;
        self.write("fat.conf", FAT)?;
        self.write("delta.conf", DELTA)?;
        let mut small = String::new();
        let mut task = "task complete {\n".to_owned();
        for number in 0..250 {
            let text = format!("file {number} ").repeat(100);
            small += &format!("file-resource r{number} {{ contents = \"{text}\" }}\n");
            task += &format!("on-resource r{number} {{ raw_write({}) }}\n", 16 * number);
        }
        self.write("small.conf", small + &task + "}\n")?;
        for line in [
            "-c -f system.conf -o system.fw",
            "-c -f small.conf -o small.fw",
            "-c -f fat.conf -o fat.fw",
            "-c -f delta.conf -o old.fw",
            "-a -q -i system.fw -d base.img -t complete",
            "-a -q -i old.fw -d old.img -t complete",
        ] {
            self.run(self.original, line)?;
        }
        // A new version, with changes all over and an insertion.
        let mut version = kernel;
        version
            .iter_mut()
            .step_by(100_003)
            .for_each(|byte| *byte ^= 0x55);
        let middle = version.len() / 2;
        version.splice(middle..middle, [7; 8000]);
        self.write("version", version)?;
        self.run(self.original, "-c -f delta.conf -o new.fw")?;
        self.run(&self.ours, "--create-delta old.fw new.fw -o delta.fw")
    }

    fn command(&self, program: &Path, line: &str) -> Command {
        let mut command = Command::new(program);
        command.args(line.split(' ')).current_dir(self.folder);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn run(&self, program: &Path, line: &str) -> Result<(), FirmwareError> {
        let mut command = self.command(program, line);
        let status = command.status().map_err(firmware::failed(program))?;
        match status.success() {
            true => Ok(()),
            false => Err(FirmwareError::Status {
                command: process::shell_line(&command),
                status,
            }),
        }
    }

    /// Makes the disk that a command starts with: a copy of `base`, or none.
    fn prepare(&self, base: Option<&str>) -> Result<(), FirmwareError> {
        let disk = self.path("disk.img");
        if disk.exists() {
            fs::remove_file(&disk).map_err(firmware::failed(&disk))?;
        }
        match base {
            // On the disk, so that no program waits for it when it syncs its own data.
            Some(base) => fs::copy(self.path(base), &disk)
                .and_then(|_| File::open(&disk)?.sync_all())
                .map_err(firmware::failed(&disk)),
            None => Ok(()),
        }
    }

    fn compare(
        &self,
        what: &'static str,
        line: &str,
        base: Option<&str>,
    ) -> Result<Versus, FirmwareError> {
        let programs = [self.ours.as_path(), self.original];
        let mut least = [Duration::MAX; 2];
        for _run in 0..RUNS {
            for (program, least) in programs.iter().zip(&mut least) {
                self.prepare(base)?;
                let begun = Instant::now();
                self.run(program, line)?;
                *least = begun.elapsed().min(*least);
            }
        }
        let [ours, original] = programs.map(|program| {
            self.prepare(base)?;
            firmware::peak_memory(&mut self.command(program, line))
        });
        Ok(Versus {
            what,
            time: least[0].as_secs_f64() / least[1].as_secs_f64(),
            memory: ours?
                .zip(original?)
                .map(|(ours, original)| ratio(ours, original)),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "both are far below 2^52")]
fn ratio(ours: u64, theirs: u64) -> f64 {
    ours as f64 / theirs.max(1) as f64
}
