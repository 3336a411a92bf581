// SPDX-License-Identifier: MIT OR Apache-2.0

//! Any bytes as the `meta.conf` of an archive, each of whose tasks is applied to a small disk: an
//! error, or done.

#![no_main]

use std::io;

use fwup::apply::{Observer, apply};
use fwup::archive::read::Archive;
use fwup::archive::write::{Level, Writer};
use fwup::device::{Device, Storage};
use fwup::language::{Environment, meta_conf};
use libfuzzer_sys::fuzz_target;

/// A disk in memory, which has its size.
struct Disk(Vec<u8>);

impl Storage for Disk {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).map_or(self.0.len(), |start| start.min(self.0.len()));
        let length = out.len().min(self.0.len() - start);
        out[..length].copy_from_slice(&self.0[start..start + length]);
        Ok(length)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).expect("a place on the disk");
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
        unreachable!("a disk has its size")
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Deaf;

impl Observer for Deaf {
    fn progress(&mut self, done: u64, total: u64) {
        assert!(done <= total);
    }

    fn info(&mut self, _: &str) {}
}

/// The resources that there are: as the fixtures call them.
fn resources() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), Level::default());
    for name in ["data/kernel.bin", "data/x", "data/r.bin"] {
        writer
            .entry::<io::Error>(name, None, 5, |take| take(b"hello"))
            .expect("memory");
    }
    writer.finish().expect("memory")
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(firmware) = meta_conf(bytes, &mut Environment::empty()) else {
        return;
    };
    let archive = resources();
    let mut disk = Disk(vec![0; 300 << 10]);
    for task in &firmware.tasks {
        let mut device = Device::new(disk);
        let mut archive = Archive::new(&archive[..]);
        let _ = apply(&mut archive, &firmware, &task.name, &mut device, &mut Deaf);
        disk = device.into_storage();
    }
});
