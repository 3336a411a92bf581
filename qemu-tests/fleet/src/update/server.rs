// SPDX-License-Identifier: MIT OR Apache-2.0

//! Serves a firmware archive to the guests, on the loopback interface.
//!
//! QEMU's user-mode network shows the host's loopback interface to its guests as 10.0.2.2 (QEMU,
//! docs/system/devices/net.rst, "Using the user mode network stack").

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower_http::services::ServeFile;

/// A server for one file, which ends when it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    port: u16,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `file` on a free port. Call it within the supervisor's runtime.
    pub(super) async fn start(file: &Path) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let app = Router::new().route_service("/update.fw", ServeFile::new(file));
        let task = tokio::spawn(async move {
            // It ends only with an error, which the guests report as a failed download.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { port, task })
    }

    /// Returns the address for guests.
    pub(super) fn url(&self) -> String {
        format!("http://10.0.2.2:{}/update.fw", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn the_file_is_served_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new.fw");
        let content: Vec<u8> = (0..200_000_u32).map(|index| index as u8).collect();
        std::fs::write(&file, &content).unwrap();
        let server = Server::start(&file).await.unwrap();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port))
            .await
            .unwrap();
        stream
            .write_all(b"GET /update.fw HTTP/1.0\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.0 200 OK"));
        assert!(answer.ends_with(&content));
    }
}
