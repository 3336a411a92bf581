// SPDX-License-Identifier: MIT OR Apache-2.0

//! `imagegen env`

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use imagegen::env_file::EnvFile;

use super::PlaceArguments;

#[derive(Debug, Args)]
pub(crate) struct Env {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print all variables, as NAME=VALUE in the order of the block
    List {
        /// The image
        image: PathBuf,
        /// Print a JSON object instead
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// Print the value of a variable; exit status 1 when it is not set
    Get {
        /// The image
        image: PathBuf,
        /// The variable
        name: String,
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// Set variables
    Set {
        /// The image
        image: PathBuf,
        /// What to set
        #[arg(required = true, value_name = "NAME=VALUE")]
        variables: Vec<String>,
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// Remove variables; one that is not set is an error, and nothing is changed then
    Unset {
        /// The image
        image: PathBuf,
        /// What to remove
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        place: PlaceArguments,
    },
}

impl Env {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::List { image, json, place } => {
                let variables = EnvFile::open(&image, place.place(), false)?.variables();
                if json {
                    let map: BTreeMap<_, _> = variables
                        .iter()
                        .map(|(name, value)| (name, String::from_utf8_lossy(value)))
                        .collect();
                    println!("{}", serde_json::to_string_pretty(&map)?);
                } else {
                    for (name, value) in variables.iter() {
                        let line = [name.as_bytes(), b"=", value, b"\n"].concat();
                        stdout().write_all(&line)?;
                    }
                }
            }
            Action::Get { image, name, place } => {
                let variables = EnvFile::open(&image, place.place(), false)?.variables();
                let value = variables
                    .get(&name)
                    .with_context(|| format!("{name} is not set in {}", image.display()))?;
                stdout().write_all(&[value, b"\n"].concat())?;
            }
            Action::Set {
                image,
                variables,
                place,
            } => {
                let mut file = EnvFile::open(&image, place.place(), true)?;
                let mut all = file.variables();
                for variable in &variables {
                    let (name, value) = variable
                        .split_once('=')
                        .with_context(|| format!("\"{variable}\": write NAME=VALUE"))?;
                    all.set(name, value);
                }
                file.store(&all)?;
            }
            Action::Unset {
                image,
                names,
                place,
            } => {
                let mut file = EnvFile::open(&image, place.place(), true)?;
                let mut all = file.variables();
                for name in &names {
                    if !all.unset(name) {
                        bail!(
                            "{name} is not set in {}; nothing was changed",
                            image.display()
                        );
                    }
                }
                file.store(&all)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
