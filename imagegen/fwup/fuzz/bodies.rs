// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bodies of the fuzz targets. Both the fuzzer and the test `fuzz`, which does not need a
//! nightly compiler, call them.

use std::io;
use std::path::PathBuf;

use fwup::apply::{Observer, apply};
use fwup::archive::firmware_archive::FirmwareArchive;
use fwup::archive::read::Archive;
use fwup::archive::write::{Level, Writer};
use fwup::destination::{Device, Storage};
use fwup::disk_cipher::DiskCipher;
use fwup::firmware::model::Firmware;
use fwup::keys::{PrivateKey, PublicKey, decode};
use fwup::language::{Definitions, configuration, meta_conf, to_meta_conf};

/// The size of the disk in bytes.
const DISK: usize = 300 << 10;

/// Reads bytes as a configuration and as a `meta.conf`. The result must be an error, or firmware
/// whose `meta.conf` reads back the same.
pub(crate) fn language(bytes: &[u8]) {
    let folder = PathBuf::from("/nowhere");
    let definitions = &mut Definitions::empty();
    let created = configuration(bytes.to_vec(), "fuzz", folder, definitions);
    let applied = meta_conf(bytes, &mut Definitions::empty());
    [created, applied].iter().flatten().for_each(reads_back);
}

fn reads_back(firmware: &Firmware) {
    let written = to_meta_conf(firmware);
    // Reading the text would resolve variables a second time.
    if !written.contains("${") {
        let again = meta_conf(written.as_bytes(), &mut Definitions::empty())
            .expect("a meta.conf that we wrote is valid");
        assert_eq!(to_meta_conf(&again), written);
    }
}

/// Reads bytes as a firmware archive: fails, or reads the resources to the end.
pub(crate) fn archive(bytes: &[u8]) {
    if let Ok(mut archive) = FirmwareArchive::read(bytes, &mut Definitions::empty()) {
        while let Ok(Some(_)) = archive.entries.next_entry() {
            let _ = archive.entries.read_all(1 << 20);
        }
    }
}

/// Reads bytes as the files of both keys of a pair, and as the options of a cipher: fails, or the
/// keys and the cipher work.
pub(crate) fn key_files(bytes: &[u8]) {
    let private = decode(bytes).map(|key| PrivateKey::from_bytes(&key));
    let public = decode(bytes).map(|key| PublicKey::new(*key, "fuzz".to_owned()));
    // Only 64 bytes, or a text with white space, can be both: the base64 of a public key and a
    // comment is that of a private key if the comment looks like base64.
    let may_be_both = bytes.len() == 64 || bytes.iter().any(u8::is_ascii_whitespace);
    assert!(private.is_none() || public.is_none() || may_be_both);
    if let Some(private) = private {
        let public = PublicKey::new(private.public(), "fuzz".to_owned());
        let signature = private.sign(bytes);
        assert!(public.verifies(bytes, &signature));
        assert!(!public.verifies(&bytes[1..], &signature));
    }
    if let Some(public) = public {
        assert!(!public.verifies(bytes, &[0; 64]));
    }
    let text = String::from_utf8_lossy(bytes);
    let options: Vec<_> = text.split(' ').collect();
    if let Ok(Some(cipher)) = DiskCipher::parse(&options) {
        let mut blocks = [[0; 512]];
        cipher.encrypt(u64::MAX, &mut blocks);
        assert_ne!(blocks, [[0; 512]]);
        cipher.decrypt(u64::MAX, &mut blocks);
        assert_eq!(blocks, [[0; 512]]);
    }
}

/// Reads bytes as a `meta.conf`, and applies each of its tasks to a small disk. The tasks may fail,
/// but must not change the disk's size.
pub(crate) fn apply_tasks(bytes: &[u8]) {
    task_errors(bytes);
}

/// As [`apply_tasks`]; returns the errors of the tasks.
pub(crate) fn task_errors(bytes: &[u8]) -> Vec<String> {
    let Ok(firmware) = meta_conf(bytes, &mut Definitions::empty()) else {
        return Vec::new();
    };
    let mut errors = Vec::new();
    let resources = resources();
    let mut disk = Disk(vec![0; DISK]);
    for task in &firmware.tasks {
        let mut device = Device::new(disk);
        let mut entries = Archive::new(&resources[..]);
        let applied = apply(
            &mut entries,
            &firmware,
            &task.name,
            &mut device,
            &mut ProgressCheck,
        );
        errors.extend(applied.err().map(|error| error.to_string()));
        disk = device.into_storage();
        assert_eq!(disk.0.len(), DISK);
    }
    errors
}

/// A delta that makes "hello hello, world" of "hello": `xdelta3 -A -S none -e`.
const DELTA: &[u8] =
    b"\xd6\xc3\xc4\0\0\x05\x05\0\x19\x12\0\x0d\x02\x01\x40\x25\x06\xbd hello, world\x15\x0e\0";

/// Returns an archive of entries with the names of the fixtures' resources, and a delta.
fn resources() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), Level::default());
    for (name, data) in [
        ("data/kernel.bin", &b"hello"[..]),
        ("data/x", b"hello"),
        ("data/r.bin", b"hello"),
        ("data/delta", DELTA),
    ] {
        writer
            .entry::<io::Error>(name, None, data.len() as u64, |take| take(data))
            .expect("memory can be written");
    }
    writer.finish().expect("memory can be written")
}

/// A disk of fixed size in memory.
struct Disk(Vec<u8>);

impl Storage for Disk {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).map_or(self.0.len(), |start| start.min(self.0.len()));
        let length = out.len().min(self.0.len() - start);
        out[..length].copy_from_slice(&self.0[start..start + length]);
        Ok(length)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).expect("an offset on the disk");
        self.0[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn length(&self) -> u64 {
        self.0.len() as u64
    }

    fn grows(&self) -> bool {
        false
    }

    fn grow(&mut self, _: u64) -> io::Result<()> {
        unreachable!("the size of a disk is fixed")
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Checks that the progress is at most its total.
struct ProgressCheck;

impl Observer for ProgressCheck {
    fn progress(&mut self, done: u64, total: u64) {
        assert!(done <= total);
    }

    fn info(&mut self, _: &str) {}
}
