// SPDX-License-Identifier: MIT OR Apache-2.0

//! Commands that write a file whose path is a symbolic link: the link is followed or refused, and
//! never replaced or removed.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// Creates a folder with a kernel, a configuration and an archive.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut kernel = vec![0x5a; 60_000];
    kernel[..64].fill(0);
    kernel[16..24].copy_from_slice(&60_000_u64.to_le_bytes());
    kernel[24] = 0b1010;
    kernel[56..60].copy_from_slice(b"ARM\x64");
    fs::write(folder.path().join("Image"), kernel).unwrap();
    let configuration = "file-resource x { contents = \"12345\" }\n\
        task complete { on-resource x { raw_write(0) } }\n\
        task fails { on-init { error(\"no\") } }\n";
    fs::write(folder.path().join("fwup.conf"), configuration).unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::create_dir(folder.path().join("root")).unwrap();
    fs::write(folder.path().join("root/file"), "text").unwrap();
    run(folder.path(), "pack -o in.fw").unwrap();
    folder
}

/// Runs `imagegen`. If it fails, the error is its text on stderr.
fn run(folder: &Path, arguments: &str) -> Result<(), String> {
    let output = Command::new(env!("CARGO_BIN_EXE_imagegen"))
        .current_dir(folder)
        .args(arguments.split(' '))
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

/// The commands that create the file `link`.
const COMMANDS: [&str; 3] = [
    "disk --kernel Image --rootfs root --kernel-size 1M --rootfs-size 1M --data-size 1M -o link",
    "pack -o link",
    "apply in.fw -d link",
];

#[test]
fn a_dangling_link_is_followed() {
    for command in COMMANDS {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        symlink("second", at("link")).unwrap();
        symlink("sub/new", at("second")).unwrap();
        assert_eq!(run(folder.path(), command), Ok(()), "{command}");
        assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("second"));
        assert_eq!(fs::read_link(at("second")).unwrap(), Path::new("sub/new"));
        assert!(fs::metadata(at("sub/new")).unwrap().len() > 0, "{command}");
    }
}

#[test]
fn links_that_lead_to_no_file_are_refused() {
    for (target, expected) in [
        ("sub", "link"),
        ("link", "Too many levels of symbolic links"),
        ("gone/new", "No such file or directory"),
    ] {
        for command in COMMANDS {
            let folder = folder();
            let link = folder.path().join("link");
            symlink(target, &link).unwrap();
            let error = run(folder.path(), command).unwrap_err();
            assert!(error.contains(expected), "{command}: {error}");
            assert_eq!(fs::read_link(&link).unwrap(), Path::new(target));
            let left = fs::read_dir(folder.path().join("sub")).unwrap().count();
            assert_eq!(left, 0, "{command}");
        }
    }
}

#[test]
fn a_task_that_fails_removes_the_empty_image_and_not_the_link_to_it() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    symlink("sub/new", at("link")).unwrap();
    let error = run(folder.path(), "apply in.fw -d link -t fails").unwrap_err();
    assert!(error.contains("no"), "{error}");
    assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("sub/new"));
    assert!(!at("sub/new").exists());
}

#[test]
fn changes_in_place_go_through_a_link() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let disk = COMMANDS[0].replace("link", "disk.img");
    run(folder.path(), &disk).unwrap();
    symlink("disk.img", at("link")).unwrap();
    symlink("gone", at("dangling")).unwrap();
    run(folder.path(), "env set link x=1").unwrap();
    run(folder.path(), "env get disk.img x").unwrap();
    run(folder.path(), "slot link validate").unwrap();
    assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("disk.img"));
    for command in ["env set dangling x=1", "slot dangling validate"] {
        let error = run(folder.path(), command).unwrap_err();
        assert!(
            error.contains("cannot open dangling: No such file"),
            "{error}"
        );
        assert_eq!(fs::read_link(at("dangling")).unwrap(), Path::new("gone"));
        assert!(!at("gone").exists());
    }
}
