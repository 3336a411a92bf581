// SPDX-License-Identifier: MIT OR Apache-2.0

//! `imagegen env repair`

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use imagegen::env_file::{CopyDiagnosis, NoRepair, Remedy, Repair};
use little_loader_core::env::block::EnvError;
use little_loader_core::env::place::EnvCopy;
use serde_json::{Value, json};

use super::place::PlaceArguments;
use super::print::{show, show_json};

#[derive(Debug, Args)]
pub(crate) struct EnvRepair {
    /// The image
    image: PathBuf,
    /// Repair without asking
    #[arg(long)]
    yes: bool,
    /// The copy to reseal if both copies of a pair are damaged and differ
    #[arg(long, value_name = "1|2", value_parser = clap::value_parser!(u8).range(1..=2))]
    copy: Option<u8>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

impl EnvRepair {
    /// Returns exit status 1 if the environment is invalid and remains so.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let chosen = self.copy.map(|number| match number {
            1 => EnvCopy::First,
            _ => EnvCopy::Second,
        });
        let mut repair = Repair::examine(&self.image, self.place.place(), chosen)?;
        let findings = as_json(&repair);
        if !self.json {
            show(as_text(&repair))?;
        }
        let plan = match &repair.remedy {
            Ok(remedy) => describe(*remedy),
            Err(reason) => {
                if self.json {
                    show_json(&with_result(findings, 0, Some(&reason.to_string())))?;
                } else if *reason == NoRepair::Valid {
                    show(format!("{reason}\n"))?;
                }
                if *reason == NoRepair::Valid {
                    return Ok(ExitCode::SUCCESS);
                }
                bail!("{}: {reason}", self.image.display());
            }
        };
        let refusal = if self.yes {
            None
        } else if !io::stdin().is_terminal() {
            Some("stdin is not a terminal; --yes repairs without asking")
        } else if ask(&plan, &mut io::stdin().lock(), &mut io::stderr().lock())? {
            None
        } else {
            Some("the repair was declined")
        };
        if let Some(refusal) = refusal {
            if self.json {
                show_json(&with_result(findings, 0, Some(refusal)))?;
            }
            bail!("{}: nothing was changed: {refusal}", self.image.display());
        }
        let sectors = repair.apply()?;
        if self.json {
            show_json(&with_result(findings, sectors, None))?;
        } else {
            show(format!("repaired: {plan} ({sectors} sectors written)\n"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Asks for confirmation, which only `y` and `yes` give, in upper or lower case.
fn ask(plan: &str, input: &mut impl BufRead, out: &mut impl Write) -> io::Result<bool> {
    write!(out, "{plan}? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    let answer = answer.trim();
    Ok(answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes"))
}

fn number(copy: EnvCopy) -> u8 {
    match copy {
        EnvCopy::First => 1,
        EnvCopy::Second => 2,
    }
}

fn describe(remedy: Remedy) -> String {
    match remedy {
        Remedy::TornWrite => {
            "repair the interrupted write, as the loader does at the next boot".to_owned()
        }
        Remedy::Reseal(copy) => format!("write the computed CRC to copy {}", number(copy)),
        Remedy::Rewrite { damaged } => format!(
            "rewrite the damaged copy {} from the active copy {}",
            number(damaged),
            number(damaged.other())
        ),
    }
}

fn as_text(repair: &Repair) -> String {
    let mut text = String::new();
    for copy in &repair.copies {
        let flags = copy
            .flags
            .map_or_else(String::new, |flags| format!(", flags {flags}"));
        let state = copy
            .error
            .map_or_else(|| "valid".to_owned(), |error| error.to_string());
        text += &format!(
            "copy {} at block {}, {} bytes{flags}: {state}\n",
            number(copy.copy),
            copy.lba,
            repair.size().0
        );
        if copy.error.is_none() {
            continue;
        }
        if let Some(hint) = &copy.other_size {
            text += &format!("  {hint}\n");
        } else {
            text += "  the CRC fits no other usual size\n";
        }
        match &copy.variables {
            Err(error) => text += &format!("  {error}\n"),
            Ok(variables) => {
                for (name, value) in variables.iter() {
                    text += &format!(
                        "  {}={}\n",
                        String::from_utf8_lossy(name),
                        String::from_utf8_lossy(value)
                    );
                }
            }
        }
        if let Some(padding) = &copy.padding {
            text += &format!("  {padding}\n");
        }
    }
    if repair.copies.len() > 1 && matches!(repair.remedy, Ok(Remedy::Rewrite { .. })) {
        text += "the environment is valid, and the next write replaces the damaged copy: nothing needs repair\n";
    }
    if repair.is_ambiguous {
        text +=
            "several interrupted writes of the loader could explain this state: none was chosen\n";
    }
    text
}

fn as_json(repair: &Repair) -> Value {
    let copy = |copy: &CopyDiagnosis| {
        let (stored, computed) = match copy.error {
            Some(EnvError::BadCrc { stored, computed }) => (Some(stored), Some(computed)),
            _ => (None, None),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let variables = copy.variables.as_ref().ok().map(|variables| {
            variables
                .iter()
                .map(|(name, value)| (text(name), Value::from(text(value))))
                .collect::<serde_json::Map<_, _>>()
        });
        json!({
            "copy": number(copy.copy),
            "lba": copy.lba.0,
            "flags": copy.flags,
            "valid": copy.error.is_none(),
            "stored_crc": stored,
            "computed_crc": computed,
            "other_size": copy.other_size.map(|hint| hint.to_string()),
            "variables": variables,
            "unreadable": copy.variables.as_ref().err().map(ToString::to_string),
            "padding": copy.padding.as_ref().map(ToString::to_string),
        })
    };
    json!({
        "size": repair.size().0,
        "copies": repair.copies.iter().map(copy).collect::<Vec<_>>(),
        "remedy": repair.remedy.as_ref().ok().map(|remedy| describe(*remedy)),
        "ambiguous": repair.is_ambiguous,
    })
}

fn with_result(mut findings: Value, sectors: usize, reason: Option<&str>) -> Value {
    findings["sectors_written"] = sectors.into();
    findings["not_repaired"] = reason.into();
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_one() {
        for (answer, expected) in [
            ("y\n", true),
            ("YES\n", true),
            ("n\n", false),
            ("\n", false),
            ("", false),
            ("yesterday\n", false),
        ] {
            let mut out = Vec::new();
            let asked = ask("do it", &mut answer.as_bytes(), &mut out).unwrap();
            assert_eq!(asked, expected, "{answer}");
            assert_eq!(out, b"do it? [y/N] ");
        }
    }
}
