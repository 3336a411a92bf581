// SPDX-License-Identifier: MIT OR Apache-2.0

//! Firmware as it is made for common boards. The steps compare with fwup; mtools, `fsck.fat`,
//! `sgdisk` and `sfdisk` judge the images.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::Command;

use super::{Workshop, outcome, replay};

/// The size of a block in bytes.
const BLOCK: usize = 512;

/// Runs a foreign program that must succeed, and returns its output.
fn judge(workshop: &Workshop, program: &str, arguments: &[&str]) -> String {
    let (status, out) = judgement(workshop, program, arguments);
    assert_eq!(status, Some(0), "{program} {arguments:?}: {out}");
    out
}

/// Runs a foreign program, and returns its exit status and its output.
fn judgement(workshop: &Workshop, program: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program);
    command
        .current_dir(workshop.folder.path())
        .env(
            "PATH",
            format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap()),
        )
        .args(arguments);
    let (status, out, err) = outcome(&mut command).unwrap_or_else(|error| {
        panic!("{program}: {error}; apt-get install mtools dosfstools gdisk fdisk")
    });
    (status, out + &err)
}

/// A FAT volume of an image, cut out for the judges. `start` and `count` are in blocks.
struct Volume<'a> {
    workshop: &'a Workshop,
    name: String,
}

impl<'a> Volume<'a> {
    fn of(workshop: &'a Workshop, image: &str, start: usize, count: usize) -> Self {
        let bytes = fs::read(workshop.path(image)).unwrap();
        let name = format!("{image}-{start}.fat");
        let end = ((start + count) * BLOCK).min(bytes.len());
        let mut part = bytes[start * BLOCK..end].to_vec();
        part.resize(count * BLOCK, 0);
        fs::write(workshop.path(&name), part).unwrap();
        let volume = Self { workshop, name };
        // As in fwup, only the root folder has the label, which is all that may be found.
        let (_, checked) = judgement(workshop, "fsck.fat", &["-n", &volume.name]);
        let problems = checked.lines().filter(|line| {
            !line.starts_with("fsck.fat ")
                && !line.starts_with("There is no label in boot sector, but")
                && !line.starts_with("  Auto-copying volume label")
                && !line.starts_with("Leaving filesystem unchanged")
                && !line.is_empty()
        });
        let [summary] = problems.collect::<Vec<_>>()[..] else {
            panic!("{checked}");
        };
        assert!(summary.contains(" files, "), "{checked}");
        volume
    }

    /// Asserts that a file has the contents of a file of the fixture.
    fn holds(&self, path: &str, expected: &str) {
        let path = format!("::{path}");
        let copy = self.workshop.path("copied");
        let _ = fs::remove_file(&copy);
        judge(
            self.workshop,
            "mcopy",
            &["-n", "-i", &self.name, &path, "copied"],
        );
        let expected = fs::read(self.workshop.path(expected)).unwrap();
        assert!(fs::read(copy).unwrap() == expected, "{path}");
    }

    /// Returns the names of all files and folders; the contents of a folder are at the end.
    fn names(&self) -> Vec<String> {
        let list = judge(self.workshop, "mdir", &["-/", "-b", "-i", &self.name, "::"]);
        let names = list.lines().map(|line| line.replace("::/", ""));
        names.collect()
    }

    fn label(&self) -> String {
        let shown = judge(self.workshop, "mlabel", &["-s", "-i", &self.name, "::"]);
        shown.trim().to_owned()
    }
}

/// Returns the start of each partition that `sfdisk` finds, in blocks.
fn starts(workshop: &Workshop, image: &str) -> Vec<usize> {
    let dump = judge(workshop, "sfdisk", &["-d", image]);
    dump.lines()
        .filter_map(|line| line.split_once("start="))
        .map(|(_, rest)| rest.split_once(',').unwrap().0.trim().parse().unwrap())
        .collect()
}

/// Asserts that the blocks from `block` on are those of files of the fixture.
fn at(workshop: &Workshop, image: &str, block: usize, names: &[&str]) {
    let image = fs::read(workshop.path(image)).unwrap();
    let files = names
        .iter()
        .map(|name| fs::read(workshop.path(name)).unwrap());
    let expected = files.collect::<Vec<_>>().concat();
    assert!(image[block * BLOCK..].starts_with(&expected), "{names:?}");
}

/// The images of a task that fails after two changes of a FAT volume are compared too.
#[test]
fn raspberry_pi() {
    let workshop = replay("08-rpi", |_| ());
    let disk = "disk.img";
    // After two upgrades and a third one that failed, b runs.
    assert_eq!(starts(&workshop, disk), [1087, 3167, 2111]);
    at(&workshop, disk, 3167, &["rootfs.bin"]);
    let b = Volume::of(&workshop, disk, 1087, 1024);
    b.holds("kernel8.img", "kernel1.bin");
    b.holds("config.txt", "config.txt");
    assert_eq!(b.label(), "Volume label is BOOT-B");
    assert_eq!(
        b.names(),
        [
            "overlays/",
            "config.txt",
            "cmdline.txt",
            "bcm2711-rpi-4-b.dtb",
            "kernel8.img",
            "overlays/dwc2.dtbo",
        ]
    );
    let a = Volume::of(&workshop, disk, 63, 1024);
    a.holds("kernel8.img", "kernel1.bin");
    a.holds("kernel8.old", "kernel1.bin");
    assert_eq!(a.label(), "Volume label is BOOT-A");
    let files = Volume::of(&workshop, disk, 2111, 1024);
    files.holds("a/kernel8.img", "kernel1.bin");
    files.holds("b/kernel8.img", "kernel2.bin");
    files.holds("kernel8.img", "kernel2.bin");
    files.holds("config.old", "config.txt");
}

#[test]
fn pc() {
    let workshop = replay("09-x86", |workshop| {
        let sized = fs::File::create(workshop.path("sized.img")).unwrap();
        sized.set_len(4 << 20).unwrap();
    });
    for (image, roots) in [("disk.img", 2), ("sized.img", 2)] {
        let volume = Volume::of(&workshop, image, 64, 5000);
        volume.holds("EFI/BOOT/bootx64.efi", "bootx64.efi");
        volume.holds("EFI/BOOT/grub/grubenv_a", "grubenv1");
        volume.holds("EFI/BOOT/grub/grubenv_b", "grubenv2");
        volume.holds("EFI/BOOT/grub/grubenv", "grubenv2");
        volume.holds("bzImage.a", "kernel.bin");
        volume.holds("bzImage.b", "kernel.bin");
        assert!(volume.names().contains(&"valid_b".to_owned()));
        assert!(!volume.names().contains(&"valid_a".to_owned()));
        assert_eq!(volume.label(), "Volume label is EFI");
        for root in [5064, 5128].iter().take(roots) {
            at(&workshop, image, *root, &["rootfs.bin"]);
        }
    }
    gpt(&workshop, "sized.img", &[64, 5064, 5128, 5192]);
}

/// Asserts that `sgdisk` finds no problems, and that these are the starts of the partitions.
fn gpt(workshop: &Workshop, image: &str, expected: &[usize]) {
    let verified = judge(workshop, "sgdisk", &["-v", image]);
    assert!(verified.contains("No problems found"), "{verified}");
    assert_eq!(starts(workshop, image), expected);
}

#[test]
fn stm32() {
    let workshop = replay("10-stm32", |workshop| {
        let sized = fs::File::create(workshop.path("sized.img")).unwrap();
        sized.set_len(1 << 20).unwrap();
    });
    let parts = [34, 98, 162, 290];
    gpt(&workshop, "sized.img", &[&parts[..], &[482, 610]].concat());
    for image in ["disk.img", "sized.img"] {
        at(&workshop, image, 34, &["tf-a.bin"]);
        at(&workshop, image, 98, &["tf-a.bin"]);
        at(&workshop, image, 162, &["fip.bin"]);
        at(&workshop, image, 482, &["tf-a.bin", "rootfs2.bin"]);
    }
    at(&workshop, "disk.img", 354, &["tf-a.bin", "rootfs1.bin"]);
    let mut wrong = OpenOptions::new()
        .append(true)
        .open(workshop.path("sized.img"))
        .unwrap();
    wrong.write_all(&[0; BLOCK]).unwrap();
    // The judge sees a backup that is not in the last block.
    let (_, out) = judgement(&workshop, "sgdisk", &["-v", "sized.img"]);
    assert!(!out.contains("No problems found"), "{out}");
}
