// SPDX-License-Identifier: MIT OR Apache-2.0

//! Volumes of all kinds, judged by fsck.fat (dosfstools) and mtools.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Disk, pattern};
use fat_volume::{Session, Start, Timestamp};

/// Runs a program that must succeed, and returns its output.
fn judge(program: &str, package: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env(
            "PATH",
            format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap()),
        )
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

fn fill(disk: &mut Disk, at: Start, blocks: u64) {
    let mut session = Session::new(Timestamp::from_civil((2024, 2, 29), (12, 34, 56)).unwrap());
    session.make_file_system(disk, at, blocks).unwrap();
    session.make_directory(disk, at, "overlays").unwrap();
    for (path, length) in [
        ("overlays/a file with a long name.dtbo", 513),
        ("kernel8.img", 40_000),
        ("Mixed.Case", 0),
    ] {
        let mut writer = session.write(disk, at, path).unwrap();
        writer.write_at(0, &pattern(length)).unwrap();
        writer.finish().unwrap();
    }
    session
        .copy(disk, (at, "kernel8.img"), (at, "overlays/kernel.old"))
        .unwrap();
    session
        .rename(disk, at, "Mixed.Case", "overlays/moved")
        .unwrap();
    session.remove(disk, at, "kernel8.img").unwrap();
    session
        .set_attributes(disk, at, "overlays/kernel.old", "rhs")
        .unwrap();
}

#[test]
fn fsck_and_mtools_read_each_kind_of_volume() {
    let folder = tempfile::tempdir().unwrap();
    for (blocks, kind) in [(2048, "FAT12"), (32_768, "FAT16"), (70_000, "FAT32")] {
        let mut disk = Disk::new(blocks);
        fill(&mut disk, Start::from_blocks(0).unwrap(), blocks);
        let path = folder.path().join(kind);
        fs::write(&path, disk.image()).unwrap();
        let image = path.to_str().unwrap();
        judge("fsck.fat", "dosfstools", &["-n", image]);
        // As fwup, this sets only one of the two labels, about which fsck.fat complains.
        let at = Start::from_blocks(0).unwrap();
        let mut session = Session::new(Timestamp::FWUP);
        session.set_label(&mut disk, at, "judged").unwrap();
        fs::write(&path, disk.image()).unwrap();
        let info = judge("minfo", "mtools", &["-i", image, "::"]);
        assert!(
            info.contains(&format!("\"{kind}   \"")) || info.contains(kind),
            "{info}"
        );
        let list = judge("mdir", "mtools", &["-i", image, "-/", "::"]);
        assert!(list.contains("JUDGED"), "{list}");
        assert!(list.contains("a file with a long name.dtbo"), "{list}");
        assert!(list.contains("2024-02-29  12:34"), "{list}");
        let attributes = judge(
            "mattrib",
            "mtools",
            &["-i", image, "::/overlays/kernel.old"],
        );
        assert!(attributes.contains("A  SHR"), "{attributes}");
        let copy = folder.path().join("copy");
        read(image, "::/overlays/kernel.old", &copy, 40_000);
        read(
            image,
            "::/overlays/a file with a long name.dtbo",
            &copy,
            513,
        );
    }
}

fn read(image: &str, file: &str, copy: &Path, length: usize) {
    let arguments = ["-n", "-i", image, file, copy.to_str().unwrap()];
    judge("mcopy", "mtools", &arguments);
    assert_eq!(fs::read(copy).unwrap(), pattern(length), "{file}");
}

#[test]
fn a_volume_of_mkfs_with_large_clusters_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, sectors_per_cluster, kib) in [
        ("12", "8", "8192"),
        ("16", "4", "65536"),
        ("32", "2", "100000"),
    ] {
        let path = folder.path().join(kind);
        let image = path.to_str().unwrap();
        judge(
            "mkfs.fat",
            "dosfstools",
            &[
                "-C",
                "-F",
                kind,
                "-s",
                sectors_per_cluster,
                "-n",
                "OLD",
                image,
                kib,
            ],
        );
        let mut disk = Disk::from_image(&fs::read(&path).unwrap());
        let at = Start::from_blocks(0).unwrap();
        let mut session = Session::new(Timestamp::FWUP);
        session.set_label(&mut disk, at, "other").unwrap();
        session.set_label(&mut disk, at, "old").unwrap();
        for number in 0..50 {
            let name = format!("directory/a file with the number {number}");
            session.make_directory(&mut disk, at, "directory").unwrap();
            let mut writer = session.write(&mut disk, at, &name).unwrap();
            writer.write_at(100, &pattern(5000 + number)).unwrap();
            writer.finish().unwrap();
        }
        for number in (0..50).step_by(2) {
            let name = format!("directory/a file with the number {number}");
            session.remove(&mut disk, at, &name).unwrap();
        }
        let mut writer = session.write(&mut disk, at, "fragmented").unwrap();
        writer.write_at(0, &pattern(300_000)).unwrap();
        writer.finish().unwrap();
        let map = session.open(&mut disk, at, "fragmented").unwrap();
        assert_eq!(
            map.ranges()
                .map(|range| range.end - range.start)
                .sum::<u64>(),
            300_000
        );
        fs::write(&path, disk.image()).unwrap();
        judge("fsck.fat", "dosfstools", &["-n", image]);
        read(image, "::/fragmented", &folder.path().join("copy"), 300_000);
    }
}
