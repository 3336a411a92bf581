// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--create-delta`: what it makes is applied to a disk with the old version.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with an old and a new archive, signed by one key.
struct Versions {
    folder: tempfile::TempDir,
}

/// Bytes that do not compress, of which versions differ in a few places.
fn system(version: u8) -> Vec<u8> {
    let mut state = 7_u32;
    let mut bytes: Vec<u8> = (0..300_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    for at in [10, 70_000, 299_000] {
        bytes[at] = version;
    }
    // The new version is longer.
    bytes.extend([version; 100].repeat(version.into()));
    bytes
}

const TASKS: &str = r#"
file-resource system { host-path = "system.bin" }
file-resource notes { contents = "${NOTES}" }
task complete { on-resource system { raw_write(100) } on-resource notes { raw_write(50) } }
task upgrade {
    on-resource system {
        delta-source-raw-offset = 100
        delta-source-raw-count = 700
        raw_write(1000)
    }
    on-resource notes { raw_write(50) }
}
"#;

impl Versions {
    fn new(tasks: &str) -> Self {
        Self::of(tasks, [&system(1), &system(2)])
    }

    /// The old and the new version of the resource `system`.
    fn of(tasks: &str, systems: [&[u8]; 2]) -> Self {
        let versions = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        versions.write("fwup.conf", tasks);
        versions.done("-g");
        for (system, name) in systems.into_iter().zip(["old", "new"]) {
            versions.write("system.bin", system);
            let line = format!("-c -s fwup-key.priv -f fwup.conf -o {name}.fw");
            versions.run(&line, &[("NOTES", name)]).unwrap();
        }
        versions
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, data: impl AsRef<[u8]>) {
        fs::write(self.path(name), data).unwrap();
    }

    fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        fs::read(self.folder.path().join(name)).unwrap()
    }

    fn run(&self, line: &str, variables: &[(&str, &str)]) -> Result<String, String> {
        self.output(line, variables).0
    }

    /// Returns the text on stdout, which is the error if the command fails, and the text on stderr.
    fn output(&self, line: &str, variables: &[(&str, &str)]) -> (Result<String, String>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_fwup"))
            .args(line.split(' '))
            .envs(variables.iter().copied())
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let [text, errors] = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let result = match output.status.success() {
            true => Ok(text),
            false => Err(text),
        };
        (result, errors)
    }

    fn done(&self, line: &str) -> String {
        self.run(line, &[]).unwrap()
    }

    /// An entry of an archive, as the program unzip reads it.
    fn entry(&self, archive: &str, name: &str) -> Vec<u8> {
        let output = Command::new("unzip")
            .args(["-p", archive, name])
            .current_dir(self.folder.path())
            .output()
            .expect("this test needs the package unzip");
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }
}

#[test]
fn a_delta_archive_upgrades_the_old_version_to_the_new_one() {
    let versions = Versions::new(TASKS);
    let said = versions.done("--create-delta old.fw new.fw -o delta.fw");
    let delta = versions.entry("delta.fw", "data/system");
    let expected = format!(
        "system: a delta of {} bytes for 300200 bytes, ",
        delta.len()
    );
    let [resource, task] = said.lines().collect::<Vec<_>>()[..] else {
        panic!("{said}");
    };
    assert!(resource.starts_with(&expected), "{said}");
    assert_eq!(
        task,
        "task complete: needs the full archive, it has no usable delta source for system"
    );
    assert!(delta.starts_with(&[0xd6, 0xc3, 0xc4]) && delta.len() < 1000);
    for name in ["meta.conf", "meta.conf.ed25519", "data/notes"] {
        assert_eq!(
            versions.entry("delta.fw", name),
            versions.entry("new.fw", name)
        );
    }
    let valid = versions.done("-V -p fwup-key.pub -i delta.fw");
    assert!(
        valid.contains("Valid archive with a good signature"),
        "{valid}"
    );
    let (_, unchecked) = versions.output("-V -p fwup-key.pub -i delta.fw", &[]);
    assert_eq!(
        unchecked,
        "fwup: 1 resource is a delta, whose result only a device with the old version can check: system\n"
    );
    let (_, unchecked) = versions.output("-V -p fwup-key.pub -i new.fw", &[]);
    assert_eq!(unchecked, "");

    versions.done("-a -q -i old.fw -d disk.img -t complete");
    versions.done("-a -q -p fwup-key.pub -i delta.fw -d disk.img -t upgrade");
    let disk = versions.read("disk.img");
    assert!(disk[1000 * 512..][..300_200] == system(2));
    assert!(disk[100 * 512..][..300_100] == system(1));
    assert_eq!(&disk[50 * 512..][..4], b"new\0");

    // A disk with other data: nothing of the result is written.
    versions.done("-a -q -i old.fw -d other.img -t complete");
    let mut other = versions.read("other.img");
    other[100 * 512 + 1000] ^= 1;
    versions.write("other.img", other);
    let error = versions
        .run("-a -q -i delta.fw -d other.img -t upgrade", &[])
        .unwrap_err();
    assert!(
        error.contains("was the delta made for another source?"),
        "{error}"
    );
    assert!(versions.read("other.img").len() < 1000 * 512);
}

#[test]
fn what_has_no_delta_is_named() {
    let versions = Versions::new(&TASKS.replace("delta-source", "verify-on-the-fly = true # "));
    for (line, expected) in [
        (
            "--create-delta old.fw new.fw -o delta.fw",
            "no task of the new archive can apply a delta: add delta-source-raw-offset",
        ),
        (
            "--create-delta old.fw -o delta.fw",
            "specify two archives, the old and the new one",
        ),
        (
            "--create-delta old.fw new.fw",
            "specify the delta archive: -o FILE",
        ),
        (
            "--create-delta gone.fw new.fw -o delta.fw",
            "cannot open 'gone.fw': expected a file",
        ),
        (
            "--create-delta old.fw fwup.conf -o delta.fw",
            "the new archive: ",
        ),
    ] {
        let error = versions.run(line, &[]).unwrap_err();
        assert!(error.contains(expected), "{line}: {error}");
        assert!(!versions.path("delta.fw").exists(), "{line}");
    }
}

#[test]
fn a_new_archive_that_is_incomplete_is_refused() {
    let versions = Versions::new(TASKS);
    let zip = |arguments: &[&str]| {
        let mut command = Command::new("zip");
        let output = command
            .args(arguments)
            .current_dir(versions.folder.path())
            .output()
            .expect("this test needs the package zip");
        assert!(output.status.success(), "{output:?}");
    };
    zip(&["-q", "-d", "new.fw", "data/notes"]);
    let error = versions.run("--create-delta old.fw new.fw -o delta.fw", &[]);
    let error = error.unwrap_err();
    assert!(
        error.contains("the new archive has no data of file-resource 'notes'"),
        "{error}"
    );
    assert!(!versions.path("delta.fw").exists());
}

#[test]
fn a_temporary_file_that_cannot_be_written_is_named() {
    // More than is kept in memory, and not compressible.
    let large: Vec<u8> = (0..20).flat_map(system).collect();
    let versions = Versions::of(TASKS, [b"old", &large]);
    let error = versions.run(
        "--create-delta old.fw new.fw -o delta.fw",
        &[("TMPDIR", "/gone")],
    );
    let error = error.unwrap_err();
    assert!(
        error.contains("cannot write a temporary file: ") && error.contains("TMPDIR chooses"),
        "{error}"
    );
}

#[test]
fn a_delta_archive_is_no_source_of_another_one() {
    let versions = Versions::new(TASKS);
    versions.done("--create-delta old.fw new.fw -o delta.fw");
    let error = versions.run("--create-delta delta.fw new.fw -o x.fw", &[]);
    let error = error.unwrap_err();
    assert!(
        error.contains(
            "the old archive: the data of file-resource 'system' is damaged, or a delta itself"
        ),
        "{error}"
    );
    let error = versions.run("--create-delta old.fw delta.fw -o x.fw", &[]);
    let error = error.unwrap_err();
    assert!(
        error.contains(
            "the new archive: the data of file-resource 'system' is damaged, or a delta itself"
        ),
        "{error}"
    );
    assert!(!versions.path("x.fw").exists());
    // The same version twice: the delta is still shorter.
    let said = versions.done("--create-delta new.fw new.fw -o same.fw");
    assert!(said.starts_with("system: a delta of "), "{said}");
}

/// Random bytes with two values: deflate takes about a bit for each, so that what an instruction
/// copies takes less than the instruction.
fn bits(seed: u32) -> Vec<u8> {
    let mut state = seed;
    (0..320_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b'0' + (state >> 31) as u8
        })
        .collect()
}

#[test]
fn data_is_kept_if_it_compresses_better_than_its_delta() {
    let versions = Versions::of(TASKS, [&bits(1), &bits(2)]);
    let said = versions.done("--create-delta old.fw new.fw -o delta.fw");
    let words: Vec<_> = said.split_whitespace().collect();
    let [
        "system:",
        "kept,",
        "320000",
        "bytes:",
        "a",
        "delta",
        "would",
        "take",
        delta,
        "instead",
        "of",
        data,
        "in",
        "the",
        "archive",
    ] = words[..]
    else {
        panic!("{said}");
    };
    let [delta, data]: [u64; 2] = [delta, data].map(|number| number.parse().unwrap());
    assert!(data < delta && delta < 320_000, "{said}");
    assert!(versions.entry("delta.fw", "data/system") == bits(2));
    assert_eq!(
        versions.read("delta.fw").len(),
        versions.read("new.fw").len()
    );
}

#[test]
fn a_delta_copies_only_what_every_task_can_read() {
    // The end of the old version is the start of the new one.
    let old = system(1);
    let new = [&old[250_000..], &old[..20_000], &old[..100]].concat();
    let short = "task short { on-resource system {
        delta-source-raw-offset = 100
        delta-source-raw-count = 50
        raw_write(1000)
    } on-resource notes { raw_write(50) } }";
    let versions = Versions::of(&[TASKS, short].concat(), [&old, &new]);
    let said = versions.done("--create-delta old.fw new.fw -o delta.fw");
    assert!(said.starts_with("system: a delta of 50"), "{said}");
    for task in ["upgrade", "short"] {
        versions.done("-a -q -i old.fw -d disk.img -t complete");
        versions.done(&format!("-a -q -i delta.fw -d disk.img -t {task}"));
        assert!(
            versions.read("disk.img")[1000 * 512..].starts_with(&new),
            "{task}"
        );
    }
}

#[test]
fn a_delta_copies_nothing_after_a_hole_of_the_old_version() {
    let tasks = TASKS.replace("\"system.bin\"", "\"system.bin\" skip-holes = true");
    let versions = Versions::new(&tasks);
    let (start, end) = (&system(1)[..131_072], &system(1)[131_072..262_144]);
    // The hole has 64 KiB.
    let file = fs::File::create(versions.path("system.bin")).unwrap();
    file.write_all_at(start, 0).unwrap();
    file.write_all_at(end, 131_072 + 65_536).unwrap();
    versions.done("-c -s fwup-key.priv -f fwup.conf -o old.fw");
    let said = versions.done("--create-delta old.fw new.fw -o delta.fw");
    assert!(
        said.starts_with("system: a delta of 168980 bytes"),
        "{said}"
    );
    versions.done("-a -q -i old.fw -d disk.img -t complete");
    versions.done("-a -q -i delta.fw -d disk.img -t upgrade");
    assert!(versions.read("disk.img")[1000 * 512..].starts_with(&system(2)));
}

#[test]
fn a_resource_that_the_old_archive_does_not_have_is_named() {
    let versions = Versions::new(TASKS);
    let renamed = TASKS.replace("system {", "other {");
    versions.write("fwup.conf", &renamed);
    versions.done("-c -s fwup-key.priv -f fwup.conf -o new.fw");
    let said = versions.done("--create-delta old.fw new.fw -o delta.fw");
    assert_eq!(
        said,
        "other: kept, 300200 bytes: the old archive does not have it\n"
    );
    assert_eq!(versions.entry("delta.fw", "data/other"), system(2));
    // The archive is on stdout.
    let (_, said) = versions.output("--create-delta old.fw new.fw -o -", &[]);
    assert_eq!(
        said,
        "other: kept, 300200 bytes: the old archive does not have it\n"
    );
}

#[test]
fn a_task_that_overwrites_its_source_needs_the_full_archive() {
    let source = |offset, path| {
        format!(
            "task t{offset} {{ on-resource system {{
                delta-source-fat-offset = {offset}
                delta-source-fat-path = \"/SYSTEM\"
                fat_write(64, {path})
            }} on-resource notes {{ raw_write(50) }} }}\n"
        )
    };
    let tasks = [TASKS, &source("0x40", "system"), &source("64", "other")].concat();
    let versions = Versions::new(&tasks);
    let said = versions.done("--create-delta old.fw new.fw -o delta.fw");
    let full: Vec<_> = said.lines().skip(1).collect();
    assert_eq!(
        full,
        [
            "task complete: needs the full archive, it has no usable delta source for system",
            "task t0x40: needs the full archive, it has no usable delta source for system",
        ]
    );
}

#[test]
fn offsets_and_secrets_of_the_device_need_no_value() {
    let source = "delta-source-raw-options = \"cipher=aes-cbc-plain,secret=\\${SECRET}\"
        delta-source-raw-offset = \"\\${FROM}\"";
    let tasks = TASKS
        .replace("delta-source-raw-offset = 100", source)
        .replace(
            "raw_write(100)",
            "raw_write(100, \"cipher=aes-cbc-plain\", \"secret=\\${SECRET}\")",
        );
    let versions = Versions::new(&tasks);
    let said = versions.done("--create-delta old.fw new.fw -o delta.fw");
    assert!(said.starts_with("system: a delta of "), "{said}");
    let (valid, unchecked) = versions.output("-V -i delta.fw", &[]);
    assert!(
        valid.is_ok() && unchecked.ends_with(": system\n"),
        "{unchecked}"
    );
    let secret = "0123456789abcdef".repeat(4);
    let variables = [("FROM", "100"), ("SECRET", &secret)];
    for line in [
        "-a -q -i old.fw -d disk.img -t complete",
        "-a -q -i delta.fw -d disk.img -t upgrade",
    ] {
        versions.run(line, &variables).unwrap();
    }
    assert!(versions.read("disk.img")[1000 * 512..].starts_with(&system(2)));
}
