// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::Read;

use super::error::KernelError;

/// The maximum size of an unpacked kernel in bytes: more output is a mistake or an attack.
const MAX_KERNEL: u64 = 1 << 30;

/// Reads all output of a decoder; more than [`MAX_KERNEL`] bytes are an error.
pub(super) fn read_all(method: &'static str, decoder: impl Read) -> Result<Vec<u8>, KernelError> {
    let mut bytes = Vec::new();
    decoder
        .take(MAX_KERNEL + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| KernelError::Damaged { method, error })?;
    if bytes.len() as u64 > MAX_KERNEL {
        return Err(KernelError::TooLarge { method });
    }
    Ok(bytes)
}
