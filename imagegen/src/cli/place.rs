// SPDX-License-Identifier: MIT OR Apache-2.0

use clap::Args;
use imagegen::env_file::DEFAULT_PLACE;
use imagegen::size::Size;
use little_loader_core::env::place::EnvPlace;
use little_loader_core::units::{Bytes, Lba};

/// The place of the environment in an image.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct PlaceArguments {
    /// The environment's first block of 512 bytes
    #[arg(long, value_name = "BLOCK", default_value_t = DEFAULT_PLACE.lba.0)]
    lba: u64,
    /// The size of one copy of the environment
    #[arg(long, value_name = "SIZE", default_value = "128K")]
    size: Size,
    /// The first block of the second copy, if any
    #[arg(long, value_name = "BLOCK")]
    redundant_lba: Option<u64>,
}

impl PlaceArguments {
    pub(super) fn place(&self) -> EnvPlace {
        EnvPlace {
            lba: Lba(self.lba),
            size: Bytes(self.size.0),
            redundant_lba: self.redundant_lba.map(Lba),
        }
    }
}
