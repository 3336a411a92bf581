// SPDX-License-Identifier: MIT OR Apache-2.0

//! `imagegen env`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use imagegen::env_file::EnvFile;

use super::env_repair::EnvRepair;
use super::place::PlaceArguments;
use super::print::{show, show_json};

#[derive(Debug, Args)]
pub(crate) struct EnvCommand {
    #[command(subcommand)]
    action: EnvAction,
}

#[derive(Debug, Subcommand)]
enum EnvAction {
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
    /// Print the value of a variable; the exit status is 1 if it is not set
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
        /// The variables to set; a single variable may also be given as NAME VALUE
        #[arg(required = true, value_name = "NAME=VALUE")]
        variables: Vec<String>,
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// Remove variables; if one of them is not set, nothing is changed and the exit status is 1
    Unset {
        /// The image
        image: PathBuf,
        /// The variables to remove
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// Make a damaged environment valid again if its variables are readable; shows the findings and
    /// asks before it writes
    Repair(EnvRepair),
}

impl EnvCommand {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            EnvAction::Repair(repair) => return repair.run(),
            EnvAction::List { image, json, place } => {
                let variables = EnvFile::open(&image, place.place(), false)?.variables();
                if json {
                    let map: BTreeMap<_, _> = variables
                        .iter()
                        .map(|(name, value)| {
                            (
                                String::from_utf8_lossy(name),
                                String::from_utf8_lossy(value),
                            )
                        })
                        .collect();
                    show_json(&map)?;
                } else {
                    let mut text = Vec::new();
                    for (name, value) in variables.iter() {
                        text.extend([name, b"=", value, b"\n"].concat());
                    }
                    show(text)?;
                }
            }
            EnvAction::Get { image, name, place } => {
                let variables = EnvFile::open(&image, place.place(), false)?.variables();
                let value = variables
                    .get(&name)
                    .with_context(|| format!("{name} is not set in {}", image.display()))?;
                show([value, b"\n"].concat())?;
            }
            EnvAction::Set {
                image,
                variables,
                place,
            } => {
                let mut file = EnvFile::open(&image, place.place(), true)?;
                let mut all = file.variables();
                for (name, value) in assignments(&variables)? {
                    all.set(name, value);
                }
                file.store(&all)?;
            }
            EnvAction::Unset {
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

/// Parses the variables to set. Names do not contain `=`, so two arguments are a name and its value
/// if the first contains none.
fn assignments(arguments: &[String]) -> anyhow::Result<Vec<(&str, &str)>> {
    match arguments {
        [name, value] if !name.contains('=') => Ok(vec![(name, value)]),
        _ => arguments
            .iter()
            .map(|argument| {
                argument
                    .split_once('=')
                    .with_context(|| format!("\"{argument}\": write NAME=VALUE"))
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Vec<(String, String)>, String> {
        let arguments: Vec<_> = arguments.iter().map(|&text| text.to_owned()).collect();
        assignments(&arguments)
            .map(|pairs| {
                let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
                pairs.into_iter().map(owned).collect()
            })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_variable_is_one_argument_or_a_name_and_a_value() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            parsed(&["a.kernel_args", "root=/dev/vda1 ro"]),
            Ok(vec![pair("a.kernel_args", "root=/dev/vda1 ro")])
        );
        assert_eq!(
            parsed(&["x=1", "y=a=b"]),
            Ok(vec![pair("x", "1"), pair("y", "a=b")])
        );
        assert_eq!(parsed(&["empty="]), Ok(vec![pair("empty", "")]));
        assert_eq!(
            parsed(&["x=1", "y"]),
            Err("\"y\": write NAME=VALUE".to_owned())
        );
        assert_eq!(parsed(&["x"]), Err("\"x\": write NAME=VALUE".to_owned()));
        assert!(parsed(&["x", "1", "y"]).is_err());
    }
}
