// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::{self, Write, stdout};

/// Prints to stdout. A closed pipe is not an error, as in `fwup -m -i FILE | head`.
///
/// # Errors
///
/// Any other error of stdout.
pub fn print(text: impl AsRef<[u8]>) -> io::Result<()> {
    let mut out = stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
