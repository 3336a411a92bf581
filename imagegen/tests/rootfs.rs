// SPDX-License-Identifier: MIT OR Apache-2.0

//! Folders packed into a root file system, judged by squashfs-tools: unsquashfs lists the same
//! contents in our squashfs and in the one that mksquashfs creates from the same folder.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

/// Runs a program. If it is missing, the message names the package squashfs-tools.
fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| {
            panic!("{program}: {error}; this test needs it: apt-get install squashfs-tools")
        })
}

/// Runs a program that must succeed; returns its output.
fn ok(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path in UTF-8")
}

/// Returns the listing with types, modes, owners, sizes, devices and link targets, except the root
/// itself, whose time is not the folder's.
fn listing(squashfs: &Path) -> Vec<String> {
    let mut lines: Vec<_> = ok("unsquashfs", &["-lln", text(squashfs)])
        .lines()
        .filter(|line| line.contains("squashfs-root/"))
        .map(ToOwned::to_owned)
        .collect();
    lines.sort();
    lines
}

#[test]
fn mksquashfs_makes_the_same_of_a_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("root");
    let at = |name: &str| root.join(name);
    for name in ["bin", "dev", "tmp", "empty"] {
        fs::create_dir_all(at(name)).expect("making a folder");
    }
    let modes = [
        ("bin/su", 0o4755),
        ("bin/plain", 0o640),
        ("tmp", 0o1777),
        ("empty", 0o700),
    ];
    // Longer than a block of 128 KiB, and with an incomplete last block, stored as a fragment.
    let long: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(at("bin/su"), &long).expect("writing a file");
    fs::write(at("bin/plain"), "").expect("writing a file");
    for (name, mode) in modes {
        fs::set_permissions(at(name), Permissions::from_mode(mode)).expect("setting a mode");
    }
    symlink("../bin/su", at("dev/link")).expect("making a link");
    ok("mkfifo", &[text(&at("dev/fifo"))]);
    // Only root can make device nodes; for other users the test compares the rest.
    run("mknod", &[text(&at("dev/console")), "c", "5", "1"]);
    run("mknod", &[text(&at("dev/disk")), "b", "259", "300"]);

    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    fs::write(&ours, imagegen::rootfs::load(&root).expect("packing")).expect("writing");
    ok(
        "mksquashfs",
        &[text(&root), text(&theirs), "-all-root", "-quiet"],
    );
    let found = listing(&ours);
    assert!(found.len() >= 8, "{found:?}");
    assert_eq!(found, listing(&theirs));
    let unpacked = run("unsquashfs", &["-cat", text(&ours), "bin/su"]);
    assert!(unpacked.stdout == long);
}

#[test]
fn a_folder_may_have_more_files_than_can_be_open() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("root");
    fs::create_dir(&root).expect("making a folder");
    for number in 0..200 {
        fs::write(root.join(number.to_string()), number.to_string()).expect("writing a file");
    }
    let mut kernel = vec![0; 4096];
    kernel[16..24].copy_from_slice(&4096_u64.to_le_bytes());
    kernel[56..60].copy_from_slice(b"ARM\x64");
    fs::write(folder.path().join("Image"), kernel).expect("writing the kernel");
    let script =
        "cd \"$2\" && ulimit -n 64 && \"$1\" disk --kernel Image --rootfs root -o disk.img 2>&1";
    let imagegen = env!("CARGO_BIN_EXE_imagegen");
    ok("sh", &["-c", script, "sh", imagegen, text(folder.path())]);
}
