// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::Read;

use cpio::NewcReader;

use super::archive::{CHARACTERS, FILE, FOLDER, INIT, PROGRAM};
use super::{Busybox, BusyboxError, Initrd};

/// Returns the header of an ELF64 program without segments.
fn program(machine: u8) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
    bytes.extend([machine, 0, 1, 0, 0, 0]);
    bytes.resize(64, 0);
    bytes[52] = 64;
    bytes
}

/// Returns a program for arm64 with an interpreter.
fn dynamic() -> Vec<u8> {
    const LINKER: &[u8] = b"/lib/ld-linux-aarch64.so.1\0";
    let mut bytes = program(0xb7);
    // One program header of 56 bytes at 64.
    bytes[32] = 64;
    bytes[54] = 56;
    bytes[56] = 1;
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend(4_u32.to_le_bytes());
    let length = LINKER.len() as u64;
    for word in [120, 0, 0, length, length, 1] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(LINKER);
    bytes
}

#[test]
fn an_initrd_has_the_modules_in_their_order_and_no_times() {
    let busybox = program(0xb7);
    let make = || {
        Initrd::new(Busybox::new(busybox.clone()).unwrap())
            .module("virtio.ko".to_owned(), b"one".to_vec())
            .module("blk.ko".to_owned(), b"two".to_vec())
            .build()
            .unwrap()
    };
    let bytes = make();
    assert!(bytes == make());
    let mut rest = bytes.as_slice();
    let mut found = Vec::new();
    let mut numbers = Vec::new();
    loop {
        let mut reader = NewcReader::new(rest).unwrap();
        let entry = reader.entry();
        if entry.is_trailer() {
            break;
        }
        assert_eq!((entry.mtime(), entry.uid(), entry.nlink()), (0, 0, 1));
        let (name, mode) = (entry.name().to_owned(), entry.mode());
        numbers.push(entry.ino());
        if mode == CHARACTERS {
            assert_eq!((entry.rdev_major(), entry.rdev_minor()), (5, 1));
        }
        let mut contents = Vec::new();
        reader.read_to_end(&mut contents).unwrap();
        rest = reader.finish().unwrap();
        found.push((name, mode, contents));
    }
    let expected: [(&str, u32, &[u8]); 9] = [
        ("bin", FOLDER, b""),
        ("dev", FOLDER, b""),
        ("modules", FOLDER, b""),
        ("dev/console", CHARACTERS, b""),
        ("init", PROGRAM, INIT),
        ("bin/busybox", PROGRAM, &busybox),
        ("modules/virtio.ko", FILE, b"one"),
        ("modules/blk.ko", FILE, b"two"),
        ("modules/order", FILE, b"virtio.ko\nblk.ko\n"),
    ];
    let expected = expected.map(|(name, mode, bytes)| (name.to_owned(), mode, bytes.to_vec()));
    assert_eq!(found, expected);
    // The kernel treats files with the same number as links to one file.
    numbers.dedup();
    assert_eq!(numbers.len(), expected.len());
}

#[test]
fn only_a_static_program_for_arm64_is_accepted() {
    let error = |bytes: Vec<u8>| Busybox::new(bytes).unwrap_err();
    assert_eq!(error(b"#!/bin/sh".to_vec()), BusyboxError::NotAProgram);
    assert_eq!(error(program(0x3e)), BusyboxError::OtherMachine("X86_64"));
    assert_eq!(
        error(dynamic()),
        BusyboxError::Dynamic("/lib/ld-linux-aarch64.so.1".to_owned())
    );
}
