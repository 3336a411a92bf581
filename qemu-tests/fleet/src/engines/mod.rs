// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fleets on engines that a site already has: descriptions of the same guests for them.

pub mod libvirt;
pub mod nomad;
pub mod slurm;
