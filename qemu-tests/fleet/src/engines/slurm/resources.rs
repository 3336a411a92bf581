// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a task asks Slurm for.

use anyhow::Context as _;

use super::SlurmArgs;
use crate::plan::{HostSize, Measured, Plan, Request, Size};
use crate::totals::whole;

/// The memory asked for, as a multiple of what the guests take.
const SPARE: f64 = 1.1;
/// The share of a task's CPUs that its guests take at rest.
const REST_SHARE: f64 = 0.5;
/// The seconds in which the CPUs of a task boot all its guests.
const BOOT: f64 = 300.0;

/// Returns the memory of the largest task: that of its guests, with a tenth to spare.
pub(super) fn memory_mib(arguments: &SlurmArgs) -> anyhow::Result<u64> {
    let request = Request {
        guests: guests(arguments),
        host: HostSize {
            cores: u16::MAX,
            memory: Size::from_mib(1 << 40).context("the largest host has a size")?,
        },
        memory: arguments.memory,
        clones: false,
    };
    let plan = Plan::compute(&request, &measured(arguments)?)?;
    Ok(whole((plan.memory_mib * SPARE).ceil()))
}

/// Returns the CPUs of a task: its guests at rest take half of them, and boot within five minutes.
pub(super) fn cpus(arguments: &SlurmArgs) -> anyhow::Result<u32> {
    let measured = measured(arguments)?;
    let guests = f64::from(guests(arguments));
    let at_rest = guests * measured.rest_cores / REST_SHARE;
    let booting = guests * measured.boot.core_seconds / BOOT;
    let cpus = whole(at_rest.max(booting).ceil()).max(1);
    Ok(u32::try_from(cpus).unwrap_or(u32::MAX))
}

fn guests(arguments: &SlurmArgs) -> u32 {
    arguments.chunk.min(arguments.guests)
}

fn measured(arguments: &SlurmArgs) -> anyhow::Result<Measured> {
    Measured::choose(arguments.measured.as_deref(), arguments.accel)
}
