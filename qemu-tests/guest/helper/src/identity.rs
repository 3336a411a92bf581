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
                if take_on().and_then(|identity| tell(&identity)).is_err() {
                    return 1;
                }
            }
            Err(Refused) => return 1,
        }
    }
}

/// What the host gives.
struct Identity {
    serial: Text,
    hostname: Text,
}

/// Writing to /dev/urandom changes the kernel's entropy pool, but not the key that its random
/// numbers come from: that is derived anew only when asked to.
fn take_on() -> Result<Identity, Refused> {
    let identity = Identity {
        serial: Text::given(SERIAL),
        hostname: Text::given(HOSTNAME),
    };
    let hostname = identity.hostname.bytes();
    if !hostname.is_empty() {
        system::set_host_name(hostname)?;
    }
    let random = system::open_device(RANDOM)?;
    let mixed = system::write(random, identity.serial.bytes())
        .and_then(|()| system::write(random, Text::given(SEED).bytes()));
    let reseeded = mixed.and_then(|()| system::renew_random_key(random));
    system::close(random);
    reseeded.map(|()| identity)
}

fn tell(identity: &Identity) -> Result<(), Refused> {
    let parts = [
        identity.serial.or_none(),
        b" ",
        identity.hostname.or_none(),
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

/// A text of the host.
struct Text {
    buffer: [u8; LONGEST],
    length: usize,
}

impl Text {
    /// Reads a text, which may end with a NUL; it is empty if the host gives none.
    fn given(path: &CStr) -> Self {
        let mut buffer = [0; LONGEST];
        let read = system::open(path).and_then(|file| {
            let read = system::read(file, &mut buffer);
            system::close(file);
            read
        });
        let read = read.unwrap_or(0);
        let end = buffer.iter().take(read).position(|byte| *byte == 0);
        Self {
            buffer,
            length: end.unwrap_or(read),
        }
    }

    fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }

    fn or_none(&self) -> &[u8] {
        if self.length == 0 {
            b"none"
        } else {
            self.bytes()
        }
    }
}
