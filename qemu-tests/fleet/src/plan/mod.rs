// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a number of guests needs, computed from measured figures, and the command `plan`.

mod compute;
mod measured;
mod own_fleet;
mod size;
mod steps;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

pub use compute::{Plan, Request};
pub use measured::{Measured, Work};
pub use size::{HostSize, ParseError, Size};

/// Why a plan cannot be computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// A host cannot run a single guest.
    #[error("not one guest fits: a host needs at least {needed}{}", if *what == "memory" { " of memory" } else { "" })]
    TooSmall {
        /// What there is too little of.
        what: &'static str,
        /// The least that would do.
        needed: String,
    },
    /// A measured figure is not an amount.
    #[error(
        "{name} is {value}, and has to be above 0 and below 1,000,000,000: correct the measured figures"
    )]
    Figure {
        /// The figure.
        name: &'static str,
        /// Its value.
        value: f64,
    },
}

/// How hosts run guests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// On the host's own CPUs.
    #[default]
    Kvm,
    /// Under emulation.
    Tcg,
}

impl Kind {
    /// Returns the accelerator's name, as the fleet's command line and settings have it.
    #[must_use]
    pub fn accelerator(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// Computes the hosts, the memory and the time that a number of guests needs.
#[derive(Args, Clone, Debug)]
pub struct PlanArgs {
    /// Guests
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub guests: u32,
    /// One host
    #[arg(long, value_name = "cores=N,mem=SIZE")]
    pub host: HostSize,
    /// A guest's RAM
    #[arg(long, value_name = "SIZE", default_value = "80M")]
    pub memory: Size,
    /// Start clones of a template
    #[arg(long)]
    pub clones: bool,
    /// How the hosts run guests
    #[arg(long, value_enum, default_value_t)]
    pub accel: Kind,
    /// Use the figures of this file, which `report --measured` writes
    #[arg(long, value_name = "FILE", conflicts_with = "accel")]
    pub measured: Option<PathBuf>,
    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints the plan.
///
/// # Errors
/// When the measured figures cannot be read, or no guest fits on a host.
pub fn main(arguments: &PlanArgs) -> anyhow::Result<()> {
    let text = text(arguments)?;
    let mut output = std::io::stdout().lock();
    output
        .write_all(text.as_bytes())
        .context("writing to standard output")
}

fn text(arguments: &PlanArgs) -> anyhow::Result<String> {
    let measured = Measured::choose(arguments.measured.as_deref(), arguments.accel)?;
    let request = Request {
        guests: arguments.guests,
        host: arguments.host,
        memory: arguments.memory,
        clones: arguments.clones,
    };
    let plan = Plan::compute(&request, &measured)?;
    Ok(if arguments.json {
        serde_json::to_string_pretty(&plan)? + "\n"
    } else {
        plan.steps(&request, &measured)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Command {
        #[command(flatten)]
        plan: PlanArgs,
    }

    fn parse(words: &str) -> Result<PlanArgs, String> {
        let words = std::iter::once("plan").chain(words.split_whitespace());
        let command = Command::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(command.plan)
    }

    #[test]
    fn the_command_line_is_checked() {
        let arguments = parse("--guests 100000 --host cores=192,mem=1T").unwrap();
        assert_eq!(arguments.memory.mib(), 80.0);
        assert!(
            text(&arguments)
                .unwrap()
                .contains("100,000 guests of 80 MB")
        );
        for (words, part) in [
            ("--guests 0 --host cores=1,mem=1G", "0 is not in 1.."),
            ("--guests 1 --host cores=1", "mem is missing"),
            (
                "--guests 1 --host cores=1,mem=1G --memory x",
                "is not an amount of memory",
            ),
            ("--host cores=1,mem=1G", "--guests"),
        ] {
            let error = parse(words).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn measured_figures_of_a_fleet_are_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("measured.json");
        let mut arguments = parse("--guests 10 --host cores=2,mem=4G").unwrap();
        arguments.measured = Some(path.clone());
        let error = format!("{:#}", text(&arguments).unwrap_err());
        assert!(error.contains("measured.json"), "{error}");
        let mut figures = Measured::emulated();
        figures.source = "a fleet of mine".to_owned();
        fs::write(&path, serde_json::to_string(&figures).unwrap()).unwrap();
        assert!(text(&arguments).unwrap().contains("a fleet of mine"));
        figures.rest_cores = -1.0;
        fs::write(&path, serde_json::to_string(&figures).unwrap()).unwrap();
        let error = format!("{:#}", text(&arguments).unwrap_err());
        assert!(error.contains("rest_cores is -1"), "{error}");
        arguments.json = true;
        arguments.measured = None;
        let json: serde_json::Value = serde_json::from_str(&text(&arguments).unwrap()).unwrap();
        assert_eq!(json["hosts"], 1);
    }
}
