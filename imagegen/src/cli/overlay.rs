// SPDX-License-Identifier: MIT OR Apache-2.0

//! `imagegen overlay`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use imagegen::overlay::OverlayBuilder;
use imagegen::size::Size;

#[derive(Debug, Args)]
pub(crate) struct Overlay {
    /// The backing file, a raw or a qcow2 image; it must not change as long as overlays use it
    backing: PathBuf,
    /// The overlays to create
    #[arg(required = true, value_name = "OVERLAY")]
    overlays: Vec<PathBuf>,
    /// Record this path of the backing file instead of the absolute one; a relative path starts in
    /// the folder of the overlay
    #[arg(long, value_name = "PATH")]
    backing_path: Option<PathBuf>,
    /// The size of the disk, at least that of the backing file, which is the default
    #[arg(long, value_name = "SIZE")]
    disk_size: Option<Size>,
    /// Replace existing files
    #[arg(long)]
    replace: bool,
}

impl Overlay {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let mut builder = OverlayBuilder::new(&self.backing)?.replace(self.replace);
        if let Some(path) = &self.backing_path {
            builder = builder.backing_path(path);
        }
        if let Some(size) = self.disk_size {
            builder = builder.size(size.0);
        }
        for overlay in &self.overlays {
            builder.create(overlay)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
