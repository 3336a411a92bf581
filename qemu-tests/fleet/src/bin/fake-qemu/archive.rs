// SPDX-License-Identifier: MIT OR Apache-2.0

//! A fake firmware archive: the text `good VERSION`, or `bad VERSION` for a system that never ends
//! its trial.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// The longest time without anything from the server.
const PATIENCE: Duration = Duration::from_secs(30);

/// The system in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Archive {
    pub(crate) version: String,
    pub(crate) is_bad: bool,
}

/// Downloads the archive at `url`. As in QEMU's user-mode network, 10.0.2.2 is the host's loopback
/// interface.
pub(crate) fn download(url: &str) -> io::Result<Archive> {
    let bad = |text: String| io::Error::other(text);
    let address = url.strip_prefix("http://10.0.2.2:");
    let (port, path) = address
        .and_then(|rest| rest.split_once('/'))
        .ok_or_else(|| bad(format!("{url} cannot be reached")))?;
    let port = port.parse().map_err(io::Error::other)?;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET /{path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (_, body) = response
        .split_once("\r\n\r\n")
        .filter(|(head, _)| head.contains(" 200 "))
        .ok_or_else(|| bad(format!("the server answered {response:?}")))?;
    let (kind, version) = body
        .trim()
        .split_once(' ')
        .filter(|(kind, _)| matches!(*kind, "good" | "bad"))
        .ok_or_else(|| bad(format!("{body:?} is not an archive")))?;
    Ok(Archive {
        version: version.to_owned(),
        is_bad: kind == "bad",
    })
}
