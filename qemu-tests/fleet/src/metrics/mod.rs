// SPDX-License-Identifier: MIT OR Apache-2.0

//! Metrics of a fleet for Prometheus, and the command `metrics`.

mod exposition;
mod server;

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use clap::Args;

use crate::model::Status;

pub use exposition::exposition;
pub use server::{ServeError, bind, serve};

/// Serves metrics for Prometheus at `/metrics`.
#[derive(Args, Clone, Debug)]
pub struct MetricsArgs {
    /// The address and port to serve at, on the loopback interface
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9400")]
    pub listen: SocketAddr,
    /// Add series of each guest
    #[arg(long)]
    pub guests: bool,
    /// Print the metrics once instead
    #[arg(long)]
    pub once: bool,
}

/// Serves the status that `source` returns until Ctrl-C.
///
/// # Errors
/// When the address cannot be served at, or with `--once` when there is no status.
pub fn main(
    arguments: &MetricsArgs,
    source: impl Fn() -> anyhow::Result<Status> + Clone + Send + Sync + 'static,
) -> anyhow::Result<()> {
    if arguments.once {
        let text = exposition(&source()?, arguments.guests);
        return std::io::stdout()
            .write_all(text.as_bytes())
            .context("writing to standard output");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the server")?;
    runtime.block_on(async {
        let listener = bind(arguments.listen).await?;
        let address = listener.local_addr().context("asking for the address")?;
        println!("http://{address}/metrics");
        tokio::select! {
            result = serve(listener, arguments.guests, source) => result?,
            interrupted = tokio::signal::ctrl_c() => interrupted.context("waiting for Ctrl-C")?,
        }
        Ok(())
    })
}
