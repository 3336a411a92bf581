// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command, judged by independent programs: sfdisk and fdisk read the partition table,
//! fw_printenv and mkenvimage the environment. A judge that is not installed fails the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use imagegen::env_file::{DEFAULT_PLACE, EnvFile};

/// A folder with a kernel and a root file system to build from.
struct Workshop {
    folder: tempfile::TempDir,
}

impl Workshop {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut kernel = vec![0x5a; 60_000];
        kernel[..64].fill(0);
        kernel[16..24].copy_from_slice(&60_000_u64.to_le_bytes());
        kernel[24] = 0b1010;
        kernel[56..60].copy_from_slice(b"ARM\x64");
        kernel[1000..1028].copy_from_slice(b"Linux version 6.6.6-test (x)");
        kernel[1028] = 0;
        fs::write(folder.path().join("Image"), kernel).expect("writing the kernel");
        fs::create_dir(folder.path().join("root")).expect("making the folder");
        fs::write(folder.path().join("root/init"), "#!/bin/sh\n").expect("writing a file");
        fs::write(folder.path().join("initrd"), vec![7; 5000]).expect("writing the initrd");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn imagegen(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_imagegen"))
            .current_dir(self.folder.path())
            .args(arguments)
            .output()
            .expect("running imagegen")
    }

    /// Runs the command and expects it to succeed; returns its output.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.imagegen(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{arguments:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// Runs the command and expects this exit status; returns the error.
    fn fails(&self, arguments: &[&str], status: i32) -> String {
        let output = self.imagegen(arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let parts: Vec<_> = error.trim_end().split(": ").collect();
        assert!(
            parts.windows(2).all(|pair| pair[0] != pair[1]),
            "said twice: {error}"
        );
        error
    }

    fn disk(&self, more: &[&str]) {
        let base = [
            "disk", "--kernel", "Image", "--rootfs", "root", "-o", "disk.img",
        ];
        self.ok(&[&base, more].concat());
    }
}

/// Runs a judge. `package` is its Debian package.
fn judge(program: &str, package: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| {
            panic!("{program}: {error}; this test needs it: apt-get install {package}")
        });
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path in UTF-8")
}

#[test]
fn sfdisk_and_fdisk_read_the_partition_table() {
    let workshop = Workshop::new();
    workshop.disk(&["--data-size", "8M"]);
    let image = workshop.path("disk.img");
    let table: serde_json::Value =
        serde_json::from_str(&judge("sfdisk", "fdisk", &["-J", text(&image)]))
            .expect("sfdisk's JSON");
    let partitions = table["partitiontable"]["partitions"]
        .as_array()
        .expect("partitions");
    let found: Vec<_> = partitions
        .iter()
        .map(|partition| {
            (
                partition["start"].as_u64(),
                partition["size"].as_u64(),
                partition["type"].as_str(),
            )
        })
        .collect();
    let expected = [(205_072, 102_400), (307_472, 102_400), (409_872, 16_384)];
    assert_eq!(
        found,
        expected.map(|(start, size)| (Some(start), Some(size), Some("83")))
    );
    let listing = judge("fdisk", "fdisk", &["-l", text(&image)]);
    assert!(listing.contains("Disklabel type: dos"), "{listing}");
    assert!(listing.contains("83 Linux"), "{listing}");
}

#[test]
fn fw_printenv_reads_both_formats() {
    for redundant in [false, true] {
        let workshop = Workshop::new();
        let more: &[&str] = if redundant {
            &["--env-redundant-lba", "272"]
        } else {
            &[]
        };
        workshop.disk(&[more, &["--slot", "b", "--args", "console=ttyAMA0 a=b"]].concat());
        let image = workshop.path("disk.img");
        let line = |block: u64| format!("{} {:#x} 0x20000\n", text(&image), block * 512);
        let config = if redundant {
            line(16) + &line(272)
        } else {
            line(16)
        };
        let config_path = workshop.path("fw_env.config");
        fs::write(&config_path, config).expect("writing the configuration");
        let read = |name: &str| {
            judge(
                "fw_printenv",
                "libubootenv-tool",
                &["-c", text(&config_path), "-n", name],
            )
            .trim_end()
            .to_owned()
        };
        assert_eq!(read("nerves_fw_active"), "b");
        assert_eq!(read("b.kernel_args"), "console=ttyAMA0 a=b");
        let place = if redundant {
            &["--redundant-lba", "272"][..]
        } else {
            &[]
        };
        workshop.ok(&[
            &["env", "set", "disk.img", "nerves_fw_active=a", "serial=x y"],
            place,
        ]
        .concat());
        assert_eq!(
            (read("nerves_fw_active"), read("serial")),
            ("a".to_owned(), "x y".to_owned())
        );
        workshop.ok(&[&["env", "unset", "disk.img", "serial"], place].concat());
        let all = judge(
            "fw_printenv",
            "libubootenv-tool",
            &["-c", text(&config_path)],
        );
        assert!(!all.contains("serial="), "{all}");
    }
}

#[test]
fn mkenvimage_makes_the_same_block() {
    for redundant in [false, true] {
        let workshop = Workshop::new();
        let more: &[&str] = if redundant {
            &["--env-redundant-lba", "272"]
        } else {
            &[]
        };
        workshop.disk(more);
        let place = if redundant {
            &["--redundant-lba", "272"][..]
        } else {
            &[]
        };
        let list = workshop.ok(&[&["env", "list", "disk.img"], place].concat());
        let (source, made) = (workshop.path("env.txt"), workshop.path("env.bin"));
        fs::write(&source, list).expect("writing the variables");
        let flags: &[&str] = if redundant { &["-r"] } else { &[] };
        judge(
            "mkenvimage",
            "u-boot-tools",
            &[flags, &["-s", "131072", "-o", text(&made), text(&source)]].concat(),
        );
        let image = fs::read(workshop.path("disk.img")).expect("reading the image");
        let made = fs::read(made).expect("reading mkenvimage's output");
        assert!(
            image[8192..8192 + 131_072] == made,
            "redundant: {redundant}"
        );
    }
}

#[test]
fn another_place_of_the_environment_is_told_to_the_user() {
    let workshop = Workshop::new();
    let base = [
        "disk", "--kernel", "Image", "--rootfs", "root", "-o", "disk.img",
    ];
    let long = "x".repeat(2047);
    let report = workshop.ok(&[&base[..], &["--args", &long]].concat());
    assert!(!report.contains("imagegen loader"), "{report}");
    let more = [
        "--env-lba",
        "8064",
        "--env-size",
        "64K",
        "--env-redundant-lba",
        "9000",
    ];
    let report = workshop.ok(&[&base[..], &more].concat());
    let options = "--set env-lba=8064 --set env-size=65536 --set env-redundant-lba=9000\n";
    assert!(report.ends_with(options), "{report}");
}

#[test]
fn inspect_shows_what_is_there_and_what_is_wrong() {
    let workshop = Workshop::new();
    workshop.disk(&["--initrd", "initrd", "--slot", "both"]);
    let report = workshop.ok(&["inspect", "disk.img"]);
    for wanted in [
        "kernel a: Linux version 6.6.6-test (x); 60000 bytes",
        "kernel b",
        "initrd a: 5000 bytes",
        "partition 1: type 0x83, squashfs of",
        "partition 3: type 0x83, empty",
        "free",
        "no problems found",
    ] {
        assert!(report.contains(wanted), "{wanted}: {report}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&workshop.ok(&["inspect", "--json", "disk.img"])).expect("JSON");
    assert_eq!(json["problems"], serde_json::json!([]));
    workshop.ok(&[
        "env",
        "set",
        "disk.img",
        "a.kernel_lba=100",
        "b.kernel_lba=99999999",
        "nerves_fw_active=c",
        "b.initrd_size=x",
    ]);
    let output = workshop.imagegen(&["inspect", "disk.img"]);
    assert_eq!(output.status.code(), Some(1));
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    for wanted in [
        "nerves_fw_active is \"c\", neither a nor b",
        "slot a: invalid kernel at block 100: not a raw arm64 Image but only 0xff",
        "b.kernel_lba is 99999999, beyond the image, which has 540944 blocks",
    ] {
        assert!(report.contains(wanted), "{wanted}: {report}");
    }
    workshop.ok(&[
        "env",
        "set",
        "disk.img",
        "a.kernel_lba=272",
        "a.initrd_lba=280",
        "nerves_fw_active=a",
    ]);
    let report =
        String::from_utf8_lossy(&workshop.imagegen(&["inspect", "disk.img"]).stdout).into_owned();
    assert!(
        report.contains("kernel a (blocks 272 to 389) and initrd a (blocks 280 to 289) overlap"),
        "{report}"
    );
}

#[test]
fn errors_leave_no_image_and_no_half_changed_environment() {
    let workshop = Workshop::new();
    let error = workshop.fails(
        &[
            "disk", "--kernel", "initrd", "--rootfs", "root", "-o", "disk.img",
        ],
        1,
    );
    assert!(
        error.contains("kernel initrd: not a raw arm64 Image"),
        "{error}"
    );
    let error = workshop.fails(
        &[
            "disk",
            "--kernel",
            "Image",
            "--rootfs",
            "root",
            "-o",
            "disk.img",
            "--kernel-size",
            "32K",
        ],
        1,
    );
    assert!(error.contains("raise --kernel-size"), "{error}");
    let base = [
        "disk", "--kernel", "Image", "--rootfs", "root", "-o", "disk.img",
    ];
    fs::write(workshop.path("none"), "").expect("writing an empty file");
    let error = workshop.fails(&[&base[..], &["--initrd", "none"]].concat(), 1);
    assert!(error.contains("initrd none is empty"), "{error}");
    fs::remove_file(workshop.path("none")).expect("removing the empty file");
    let error = workshop.fails(&[&base[..], &["--args", &"x".repeat(2048)]].concat(), 1);
    assert!(error.contains("a.kernel_args has 2048 bytes"), "{error}");
    workshop.fails(&["disk", "--kernel", "Image"], 2);
    let error = workshop.fails(
        &[
            "disk",
            "--kernel",
            "Image",
            "--rootfs",
            "root",
            "-o",
            "missing/disk.img",
        ],
        1,
    );
    assert!(
        error.contains("missing/disk.img: cannot write the image: No such file"),
        "{error}"
    );
    let error = workshop.fails(&["loader", "Image"], 1);
    assert!(error.contains("Image: not an ELF"), "{error}");
    assert!(!workshop.path("disk.img").exists());
    assert_eq!(
        fs::read_dir(workshop.folder.path())
            .expect("listing")
            .count(),
        3
    );

    workshop.disk(&[]);
    let before = fs::read(workshop.path("disk.img")).expect("reading");
    workshop.fails(&["env", "unset", "disk.img", "bootcount", "nothing"], 1);
    let long = format!("x={}", "y".repeat(140_000));
    let path = workshop.path("long");
    fs::write(&path, &long).expect("writing");
    workshop.fails(&["env", "set", "disk.img", "a"], 1);
    workshop.fails(
        &[
            "env",
            "set",
            "disk.img",
            &format!("x={}", "y".repeat(131_000)),
        ],
        1,
    );
    let error = workshop.fails(&["env", "get", "disk.img", "nothing"], 1);
    assert!(error.contains("nothing is not set in disk.img"), "{error}");
    let error = workshop.fails(&["env", "list", "disk.img", "--lba", "17"], 1);
    assert!(
        error.contains("the environment at block 17 has a bad CRC: stored 0x"),
        "{error}"
    );
    assert!(fs::read(workshop.path("disk.img")).expect("reading") == before);
}

#[test]
fn slots_are_activated_validated_and_reverted() {
    let workshop = Workshop::new();
    workshop.disk(&["--slot", "both"]);
    let before = fs::read(workshop.path("disk.img")).expect("reading");
    let status = workshop.ok(&["slot", "disk.img", "activate", "b"]);
    assert!(
        status.contains(
            "active: b\nnext boot: slot b (trial)\nif that cannot be booted: slot a (reverted)"
        ),
        "{status}"
    );
    // Only the first sector has changed: a power cut leaves the old state or the new one.
    let after = fs::read(workshop.path("disk.img")).expect("reading");
    let changed: Vec<usize> = (0..after.len() / 512)
        .filter(|at| before[at * 512..][..512] != after[at * 512..][..512])
        .collect();
    assert_eq!(changed, [16]);
    let status = workshop.ok(&["slot", "disk.img", "validate"]);
    assert!(status.contains("next boot: slot b (active)"), "{status}");
    let status = workshop.ok(&["slot", "disk.img", "revert"]);
    assert!(
        status.contains("active: a\nnext boot: slot a (active)"),
        "{status}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&workshop.ok(&["slot", "disk.img", "status", "--json"]))
            .expect("JSON");
    assert_eq!(
        json["next"][0],
        serde_json::json!({"slot": "a", "reason": "active"})
    );

    workshop.disk(&["--slot", "a"]);
    let error = workshop.fails(&["slot", "disk.img", "revert"], 1);
    assert!(error.contains("slot b must not be booted"), "{error}");
}

#[test]
fn the_last_variables_stay_in_the_first_sector() {
    let workshop = Workshop::new();
    workshop.disk(&[
        "--set",
        "long=.............................................................................",
    ]);
    let mut env =
        EnvFile::open(&workshop.path("disk.img"), DEFAULT_PLACE, true).expect("an environment");
    let mut variables = env.variables();
    variables
        .set("upgrade_available", "1")
        .set("nerves_fw_active", "b")
        .set("bootcount", "1");
    assert_eq!(env.store(&variables).expect("storing"), 1);
}
