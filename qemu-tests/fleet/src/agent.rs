// SPDX-License-Identifier: MIT OR Apache-2.0

//! Talks to the agent in a guest: one command a connection, a line each way.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The longest answer that is kept, in bytes.
const LONGEST: u64 = 16 << 20;

/// Sends `line` to the agent behind `port` of the loopback interface, and returns its answer until
/// it closes the connection.
///
/// # Errors
/// When the agent cannot be reached, does not end its answer within `limit`, or closes the
/// connection without an answer.
pub async fn ask(port: u16, line: &str, limit: Duration) -> io::Result<String> {
    let talk = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(LONGEST).read_to_end(&mut answer).await?;
        // QEMU accepts connections for its guest, also when nobody listens there.
        if answer.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it closed the connection",
            ));
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    tokio::time::timeout(limit, talk).await.unwrap_or_else(|_| {
        let text = format!("no answer within {} s", limit.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    })
}

/// What a command in a guest wrote, and its exit status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its output.
    pub text: String,
    /// Its exit status, if the answer ends with one.
    pub status: Option<u8>,
}

impl Output {
    /// Reads the answer to `run COMMAND`.
    #[must_use]
    pub fn read(answer: &str) -> Self {
        let body = answer.trim_end_matches('\n');
        let start = body.rfind('\n').map_or(0, |end| end + 1);
        let last = body[start..].trim_end_matches('\r');
        // A command's own output need not end with a line feed.
        let (start, status) = match last.rfind("exit ") {
            Some(at) => (start + at, last[at + 5..].parse().ok()),
            None => (0, None),
        };
        match status {
            Some(_) => Self {
                text: body[..start].to_owned(),
                status,
            },
            None => Self {
                text: answer.to_owned(),
                status,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_is_the_last_line() {
        let output = |answer: &str| {
            let output = Output::read(answer);
            (output.text, output.status)
        };
        assert_eq!(output("one\ntwo\nexit 0\n"), ("one\ntwo\n".into(), Some(0)));
        assert_eq!(output("exit 3\n"), (String::new(), Some(3)));
        assert_eq!(
            output("no line feedexit 1\n"),
            ("no line feed".into(), Some(1))
        );
        assert_eq!(output("cut off\n"), ("cut off\n".into(), None));
        assert_eq!(output("exit soon\n"), ("exit soon\n".into(), None));
    }
}
