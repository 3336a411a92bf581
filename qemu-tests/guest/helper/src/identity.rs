// SPDX-License-Identifier: MIT OR Apache-2.0

//! Takes on the identity that the host gives a guest by QEMU's fw_cfg: its host name, and entropy.

use core::ffi::CStr;

use crate::system::{self, Refused};

/// The texts of the host.
const SERIAL: &CStr = c"/sys/firmware/qemu_fw_cfg/by_name/opt/org.little-loader.guest/serial/raw";
const HOSTNAME: &CStr =
    c"/sys/firmware/qemu_fw_cfg/by_name/opt/org.little-loader.guest/hostname/raw";
const SEED: &CStr = c"/sys/firmware/qemu_fw_cfg/by_name/opt/org.little-loader.guest/seed/raw";

/// Where the kernel takes entropy.
const RANDOM: &CStr = c"/dev/urandom";

/// The longest text of the host that is used, in bytes.
const LONGEST: usize = 256;

/// Takes on the identity once; returns the exit status.
pub(crate) fn once() -> usize {
    usize::from(take_on().is_err())
}

/// Takes on the identity for each line on stdin, and then writes it to stdout as a line with the
/// serial number, a space and the host name. Ends with stdin; returns the exit status.
///
/// A clone of a running guest has to do this quickly, and starting a program is slow.
pub(crate) fn each_line() -> usize {
    let mut byte = [0];
    loop {
        match system::read(system::STDIN, &mut byte) {
            Ok(0) => return 0,
            Ok(_) if byte != *b"\n" => {}
            Ok(_) => {
                if take_on().and_then(|()| tell()).is_err() {
                    return 1;
                }
            }
            Err(Refused) => return 1,
        }
    }
}

/// Writing to /dev/urandom changes the kernel's entropy pool, but not the key that its random
/// numbers come from: that is derived anew only when asked to.
fn take_on() -> Result<(), Refused> {
    let mut buffer = [0; LONGEST];
    let hostname = given(HOSTNAME, &mut buffer);
    if !hostname.is_empty() {
        system::set_host_name(hostname)?;
    }
    let random = system::open_device(RANDOM)?;
    let mixed = [SERIAL, SEED].into_iter().try_for_each(|path| {
        let mut buffer = [0; LONGEST];
        system::write(random, given(path, &mut buffer))
    });
    let reseeded = mixed.and_then(|()| system::renew_random_key(random));
    system::close(random);
    reseeded
}

fn tell() -> Result<(), Refused> {
    let (mut serial, mut hostname) = ([0; LONGEST], [0; LONGEST]);
    let parts = [
        known(given(SERIAL, &mut serial)),
        b" ",
        known(given(HOSTNAME, &mut hostname)),
        b"\n",
    ];
    // One write, for one wake-up of the reader.
    let mut line = [0; 2 * LONGEST + 2];
    let mut length = 0;
    for part in parts {
        if let Some(place) = line.get_mut(length..length + part.len()) {
            place.copy_from_slice(part);
            length += part.len();
        }
    }
    system::write(system::STDOUT, line.get(..length).unwrap_or_default())
}

fn known(text: &[u8]) -> &[u8] {
    if text.is_empty() { b"none" } else { text }
}

/// Reads a text of the host, which may end with a NUL; it is empty if the host gives none.
fn given<'a>(path: &CStr, buffer: &'a mut [u8; LONGEST]) -> &'a [u8] {
    let read = system::open(path).and_then(|file| {
        let read = system::read(file, buffer);
        system::close(file);
        read
    });
    let text = buffer.get(..read.unwrap_or(0)).unwrap_or_default();
    let end = text.iter().position(|byte| *byte == 0);
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}
