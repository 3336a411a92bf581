// SPDX-License-Identifier: MIT OR Apache-2.0

//! The subcommands for firmware archives: `pack`, `apply`, `info`, `tasks` and `fwup`.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the path of a fixture of the package fwup.
fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fwup/tests/fixtures")
        .join(path)
}

/// Runs the program in a folder. Returns its exit status, stdout and stderr.
fn imagegen(folder: &Path, arguments: &str) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_imagegen"))
        .current_dir(folder)
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .args(arguments.split(' '))
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn apply_reports_what_it_did_and_leaves_no_empty_image() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::copy(fixture("02-ab/out.fw"), folder.join("out.fw")).unwrap();
    let (status, _, error) = imagegen(folder, "apply out.fw -d disk.img -t upgrade");
    assert_eq!(status, Some(1));
    assert!(
        error.contains("Couldn't find applicable task 'upgrade'"),
        "{error}"
    );
    assert!(!folder.join("disk.img").exists());
    assert_eq!(
        imagegen(folder, "apply out.fw -d disk.img"),
        (
            Some(0),
            "disk.img: task complete is done\n".to_owned(),
            String::new()
        )
    );
    let (_, out, _) = imagegen(folder, "apply out.fw -d disk.img -t upgrade --json");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["task"], "upgrade.b");
    assert_eq!(report["messages"][0], "Upgrading B");
}

#[test]
fn an_archive_is_packed_and_described() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("inc")).unwrap();
    for name in [
        "fwup.conf",
        "bad.conf",
        "r.bin",
        "big.bin",
        "inc/common.conf",
    ] {
        fs::copy(fixture("03-language").join(name), folder.join(name)).unwrap();
    }
    let json = |arguments: &str| -> serde_json::Value {
        let (status, out, error) = imagegen(folder, arguments);
        assert_eq!(status, Some(0), "{arguments}: {error}");
        serde_json::from_str(&out).unwrap()
    };
    let packed = json("pack -f fwup.conf -o out.fw --json");
    assert_eq!(packed["uuid"], "dead6e28-d3cc-595f-7ccf-d680eb94d907");
    let info = json("info out.fw --json");
    assert_eq!(info["metadata"]["meta-nickname"], "table-phrase");
    assert_eq!(
        info["metadata"]["meta-creation-date"],
        "2023-11-14T22:13:20Z"
    );
    assert_eq!(info["resources"][0]["length"], serde_json::json!([700]));
    let tasks = json("tasks out.fw --json");
    assert_eq!(tasks[0]["on-resource"]["late"][0]["arguments"][0], "0x100");
    let (_, text, _) = imagegen(folder, "tasks out.fw");
    assert!(
        text.contains("on-finish   raw_memset(300, 2, 0xa5)"),
        "{text}"
    );
    let (_, text, _) = imagegen(folder, "info out.fw");
    assert!(text.contains("resource        r.bin: 700 bytes"), "{text}");
    assert_eq!(
        imagegen(folder, "pack -f bad.conf -o bad.fw"),
        (
            Some(1),
            String::new(),
            "imagegen: bad.conf:2: no such option 'nonsense'\n".to_owned()
        )
    );
    assert!(!folder.join("bad.fw").exists());
    // fwup's command line is available as a subcommand.
    assert_eq!(
        imagegen(folder, "fwup -l -i out.fw"),
        (Some(0), "complete\n".to_owned(), String::new())
    );
}
