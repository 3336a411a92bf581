// SPDX-License-Identifier: MIT OR Apache-2.0

//! A fleet as a job of Nomad, and the command `nomad`.
//!
//! Nomad's `qemu` driver gives a machine at least 128 MB of memory and knows no overlays, and each
//! allocation costs its client an executor process. So the job runs supervisors by the `raw_exec`
//! driver, each with a chunk of the guests; where one fails, Nomad starts it and its guests again.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use crate::plan::{HostSize, Kind, Measured, Plan, Request, Size};

/// Prints a fleet as a job of Nomad, for `nomad job run -json`.
#[derive(Args, Clone, Debug)]
pub struct NomadArgs {
    /// The disk image that all guests start from, a path on Nomad's clients; ${...} stands for
    /// Nomad's variables
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// The loader, an ELF, a path on Nomad's clients
    #[arg(long, value_name = "FILE")]
    pub loader: PathBuf,
    /// The program `fleet` on Nomad's clients
    #[arg(long, value_name = "PROGRAM", default_value = "/usr/local/bin/fleet")]
    pub program: PathBuf,
    /// How many guests
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub count: u32,
    /// How many guests one supervisor has
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub chunk: u32,
    /// A guest's RAM
    #[arg(long, value_name = "SIZE", default_value = "128M")]
    pub memory: Size,
    /// How the clients run guests
    #[arg(long, value_enum, default_value_t)]
    pub accel: Kind,
    /// The job's name
    #[arg(long, default_value = "fleet", value_parser = job_name)]
    pub name: String,
    /// The datacenter, in which * stands for any text
    #[arg(long, default_value = "*")]
    pub datacenter: String,
    /// What a core of the clients counts for, in MHz, as `nomad node status -verbose` says
    #[arg(long, value_name = "MHZ", default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..))]
    pub core_mhz: u32,
}

/// Checks a job's name, which is also the prefix of files' names.
fn job_name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if text.is_empty() || text.len() > 100 || !text.bytes().all(is_plain) {
        return Err("use at most 100 letters, digits, - and _".to_owned());
    }
    Ok(text.to_owned())
}

/// Prints the job.
///
/// # Errors
/// When standard output cannot be written.
pub fn main(arguments: &NomadArgs) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(&job(arguments)?)? + "\n";
    let mut output = std::io::stdout().lock();
    output
        .write_all(text.as_bytes())
        .context("writing to standard output")
}

/// Returns the job in the form of Nomad's HTTP interface.
///
/// # Errors
/// When the measured figures do not allow a supervisor with this many guests.
pub fn job(arguments: &NomadArgs) -> anyhow::Result<Value> {
    let chunks = arguments.count.div_ceil(arguments.chunk);
    let guests = arguments.chunk.min(arguments.count);
    let architecture = match arguments.accel {
        Kind::Kvm => json!([{
            "LTarget": "${attr.cpu.arch}",
            "Operand": "=",
            "RTarget": "arm64",
        }]),
        Kind::Tcg => json!([]),
    };
    Ok(json!({
        "Job": {
            "ID": arguments.name,
            "Name": arguments.name,
            "Type": "service",
            "Datacenters": [arguments.datacenter],
            "Constraints": architecture,
            "TaskGroups": [{
                "Name": "guests",
                "Count": chunks,
                "RestartPolicy": { "Attempts": 3, "Mode": "delay" },
                "EphemeralDisk": { "Migrate": true, "Sticky": true },
                "Tasks": [{
                    "Name": "fleet",
                    "Driver": "raw_exec",
                    "KillSignal": "SIGINT",
                    "KillTimeout": 30_000_000_000_u64,
                    "Config": {
                        "command": "/bin/sh",
                        "args": ["-c", SCRIPT, "fleet"]
                    },
                    "Env": environment(arguments),
                    "Resources": resources(arguments, guests)?,
                }],
            }],
        },
    }))
}

/// Starts the guests of one allocation. What the user gives comes by environment variables, so that
/// no text is read by the shell.
const SCRIPT: &str = "\
first=$((NOMAD_ALLOC_INDEX * FLEET_CHUNK + 1)); \
left=$((FLEET_COUNT - first + 1)); \
exec \"$FLEET_PROGRAM\" --state \"$NOMAD_ALLOC_DIR/data/fleet\" start --first \"$first\" \
--count \"$((left < FLEET_CHUNK ? left : FLEET_CHUNK))\" --image \"$FLEET_IMAGE\" \
--loader \"$FLEET_LOADER\" --memory \"$FLEET_MEMORY\" --accel \"$FLEET_ACCEL\"";

fn environment(arguments: &NomadArgs) -> Value {
    json!({
        "FLEET_PROGRAM": arguments.program.to_string_lossy(),
        "FLEET_IMAGE": arguments.image.to_string_lossy(),
        "FLEET_LOADER": arguments.loader.to_string_lossy(),
        "FLEET_COUNT": arguments.count.to_string(),
        "FLEET_CHUNK": arguments.chunk.to_string(),
        "FLEET_MEMORY": format!("{}M", arguments.memory.whole_mib()),
        "FLEET_ACCEL": arguments.accel.accelerator(),
    })
}

/// Returns what `guests` guests need, from the measured figures: all of their memory, and the CPU time
/// that they take at rest. Boots and updates take what is free beyond that.
fn resources(arguments: &NomadArgs, guests: u32) -> anyhow::Result<Value> {
    let measured = Measured::choose(None, arguments.accel)?;
    let request = Request {
        guests,
        host: HostSize {
            cores: u16::MAX,
            memory: Size::from_mib(1 << 40).context("the largest host has a size")?,
        },
        memory: arguments.memory,
        clones: false,
    };
    let plan = Plan::compute(&request, &measured)?;
    let mhz = f64::from(guests) * measured.rest_cores * f64::from(arguments.core_mhz);
    Ok(json!({
        "CPU": crate::totals::whole(mhz.round()).max(100),
        "MemoryMB": crate::totals::whole(plan.memory_mib.round()),
    }))
}

#[cfg(test)]
mod tests;
