// SPDX-License-Identifier: MIT OR Apache-2.0

//! A server of metrics on the loopback interface.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::exposition;
use crate::model::Status;

/// The media type of the format.
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Why metrics cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can be reached from other machines.
    #[error(
        "metrics are not protected, so {0} has to be a loopback address such as 127.0.0.1:9400; \
         put a proxy before it to reach it from elsewhere"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be listened at.
    #[error("listening at {address}: {error}; choose another port with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What is wrong with it.
        error: io::Error,
    },
    /// The server ended.
    #[error("serving metrics: {0}")]
    Serve(#[from] io::Error),
}

/// Listens at `address`, port 0 for any free port.
///
/// # Errors
/// When the address is not on the loopback interface, or taken.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback(address));
    }
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| ServeError::Listen { address, error })
}

/// Serves the status that `source` returns, with series of each guest if `per_guest`, for as long as
/// the future is polled. `source` may block.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    per_guest: bool,
    source: impl Fn() -> anyhow::Result<Status> + Clone + Send + Sync + 'static,
) -> Result<(), ServeError> {
    let handler = move || {
        let source = source.clone();
        async move {
            let status = tokio::task::spawn_blocking(source).await;
            match status {
                Ok(Ok(status)) => answer(&status, per_guest),
                Ok(Err(error)) => unavailable(format!("{error:#}\n")),
                Err(error) => unavailable(format!("{error}\n")),
            }
        }
    };
    let router = Router::new().route("/metrics", get(handler));
    Ok(axum::serve(listener, router).await?)
}

fn answer(status: &Status, per_guest: bool) -> Response {
    let text = exposition(status, per_guest);
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response()
}

fn unavailable(reason: String) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: fleet\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_newest_status_is_served() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let source = {
            let stopped = stopped.clone();
            move || {
                anyhow::ensure!(!stopped.load(Ordering::Relaxed), "the fleet is stopped");
                Ok(Status {
                    memory_mib: 64,
                    ..Status::default()
                })
            }
        };
        let server = tokio::spawn(serve(listener, false, source));
        let answer = fetch(address, "/metrics").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
        assert!(answer.contains("fleet_guest_ram_bytes 67108864\n"));
        assert!(fetch(address, "/").await.starts_with("HTTP/1.1 404 "));
        stopped.store(true, Ordering::Relaxed);
        let answer = fetch(address, "/metrics").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.ends_with("the fleet is stopped\n"), "{answer}");
        server.abort();
    }

    #[tokio::test]
    async fn other_machines_are_not_served() {
        for address in ["0.0.0.0:0", "192.0.2.1:9400", "[::]:0"] {
            let error = bind(address.parse().unwrap()).await.unwrap_err();
            assert!(matches!(error, ServeError::NotLoopback(_)), "{error}");
        }
        let taken = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(address).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("listening at {address}: ")),
            "{error}"
        );
    }
}
