// SPDX-License-Identifier: MIT OR Apache-2.0

//! What makes each guest of an image one of its kind: a serial number, a host name, a MAC address
//! and a seed for random numbers.

use std::fs::File;
use std::io::{self, Read};

/// The prefix of the names of the identity's files on QEMU's fw_cfg device.
pub const FW_CFG_PREFIX: &str = "opt/org.little-loader.guest";

/// The TCP port on which a guest's agent listens.
pub const AGENT_PORT: u16 = 4000;

/// Returns the serial number of guest `id`, always 10 characters.
#[must_use]
pub fn serial(id: u32) -> String {
    format!("LL{id:08}")
}

/// Returns the host name of guest `id`, 11 characters up to guest 99,999.
#[must_use]
pub fn host(id: u32) -> String {
    format!("guest-{id:05}")
}

/// Returns the MAC address of guest `id`, from the range for local use.
#[must_use]
pub fn mac(id: u32) -> String {
    let [_, high, middle, low] = id.to_be_bytes();
    format!("52:54:4c:{high:02x}:{middle:02x}:{low:02x}")
}

/// Returns 32 bytes of the host's entropy as 64 hex digits.
///
/// # Errors
/// When `/dev/urandom` cannot be read.
pub fn seed() -> io::Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Returns the guest that `text` names: by its number, its host name or its serial number.
#[must_use]
pub fn parse(text: &str) -> Option<u32> {
    let digits = text
        .strip_prefix("guest-")
        .or_else(|| text.strip_prefix("LL"))
        .unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|id| is_number && *id > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_the_guest() {
        for id in [1, 42, 99_999] {
            assert_eq!(serial(id).len(), 10);
            assert_eq!(host(id).len(), 11);
            for name in [id.to_string(), serial(id), host(id)] {
                assert_eq!(parse(&name), Some(id), "{name}");
            }
        }
        for bad in ["", "0", "guest-", "guest-0", "-1", "+1", "LLx", "disk"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn guests_differ() {
        assert_eq!(mac(1), "52:54:4c:00:00:01");
        assert_eq!(mac(70_000), "52:54:4c:01:11:70");
        let (one, other) = (seed().unwrap(), seed().unwrap());
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
    }
}
