// SPDX-License-Identifier: MIT OR Apache-2.0

//! `imagegen initrd` on trees with small modules.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "../src/modules/fixtures.rs"]
mod fixtures;

use std::fs;
use std::path::Path;
use std::process::Command;

use fixtures::{Tree, module};

/// Runs `imagegen initrd` with `--tree`; returns what it prints, or its error.
fn initrd(tree: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_imagegen"))
        .arg("initrd")
        .arg("--tree")
        .arg(tree)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

fn tree() -> Tree {
    Tree::new("6.1.0-x")
        .builtin("kernel/drivers/virtio/virtio.ko")
        .module("kernel/virtio_blk.ko.xz", &["depends=virtio,virtio_ring"])
        .module("kernel/virtio_ring.ko.zst", &["depends=virtio"])
}

#[test]
fn the_modules_are_listed_and_written_in_order() {
    let tree = tree();
    let root = tree.path();
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    let busybox = module(&["this is the busybox"]);
    fs::write(root.join("usr/bin/busybox"), busybox).unwrap();
    let output = root.join("initrd");
    let file = output.to_str().unwrap();
    let listed = initrd(
        root,
        &["--modules", "virtio,virtio-blk", "--list", "-o", file],
    )
    .unwrap();
    assert_eq!(
        listed,
        "virtio_ring          lib/modules/6.1.0-x/kernel/virtio_ring.ko.zst\n\
         virtio_blk           lib/modules/6.1.0-x/kernel/virtio_blk.ko.xz\n\
         virtio               built in\n"
    );
    let bytes = fs::read(&output).unwrap();
    let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(bytes.starts_with(b"070701"));
    assert!(has(b"this is the busybox"));
    assert!(has(b"virtio_ring.ko\nvirtio_blk.ko\n"));
    assert!(has(b"depends=virtio,virtio_ring\0"));
    assert_eq!(
        initrd(root, &["--modules=virtio,virtio_blk", "-o", file]).unwrap(),
        ""
    );
    assert!(fs::read(&output).unwrap() == bytes);
}

#[test]
fn errors_say_what_to_change_and_write_nothing() {
    let tree = tree();
    let output = tree.path().join("initrd");
    let file = output.to_str().unwrap();
    let error = |arguments: &[&str]| {
        let error = initrd(tree.path(), &[arguments, &["-o", file]].concat()).unwrap_err();
        assert!(!output.exists(), "{arguments:?}");
        error
    };
    let found = error(&["--modules", "virtio_blk"]);
    assert!(
        found.contains("has no busybox: give a static one for arm64 by --busybox")
            && found.contains("Debian's package busybox-static"),
        "{found}"
    );
    let script = tree.path().join("script");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    let found = error(&[
        "--modules",
        "virtio_blk",
        "--busybox",
        script.to_str().unwrap(),
    ]);
    assert!(found.contains("script: not an ELF program"), "{found}");
    let found = error(&["--modules", "virtio_blq"]);
    assert!(
        found.ends_with("has no virtio_blq, neither as a module nor built in; similar names: virtio_blk, virtio, virtio_ring\n"),
        "{found}"
    );
    let found = initrd(tree.path(), &["--modules", "virtio_blk"]).unwrap_err();
    assert!(found.contains("--output <FILE>"), "{found}");
}

#[test]
fn one_of_several_kernels_is_chosen_by_its_release() {
    let tree = tree().release("6.12.0-y").builtin("kernel/virtio_blk.ko");
    let list = |release: &[&str]| {
        initrd(
            tree.path(),
            &[&["--modules", "virtio_blk", "--list"], release].concat(),
        )
    };
    let found = list(&[]).unwrap_err();
    assert!(
        found.ends_with("choose a release with --release: 6.1.0-x, 6.12.0-y\n"),
        "{found}"
    );
    assert_eq!(
        list(&["--release", "6.12.0-y"]).unwrap(),
        "virtio_blk           built in\n"
    );
}
