// SPDX-License-Identifier: MIT OR Apache-2.0

//! Guests that a fleet is made of: Linux with an agent that answers the host, alone or with Erlang
//! or Elixir on the console.
//!
//! [`Sources`] are what guests of a kind are made from, and [`Guest`] describes one: [`Guest::image`]
//! makes the disk image, [`Guest::archive`] the firmware archive that upgrades a guest to it. docs/src/erlang.md describes them from the user's side.

mod agent;
mod archive;
mod error;
mod guest;
mod image;
mod machine;
mod parts;
mod rootfs;
mod updater;

pub use error::GuestError;
pub use guest::{Guest, Kind};
pub use image::usual_image;
pub use machine::{Identity, PORT, machine};
pub use parts::Sources;
