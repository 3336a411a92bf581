// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu fwup-suite`: the test suite of a clone of fwup, with our program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use qemu_tests::toolchain;

/// The longest test, in seconds.
const LIMIT: &str = "120";
/// The status of a test that does not run on this machine, as in automake.
const SKIPPED: i32 = 77;
/// The status of the program `timeout` when the time is up.
const TIMED_OUT: i32 = 124;

/// Run the test suite of fwup with our program
#[derive(Args)]
pub(crate) struct Arguments {
    /// A clone of fwup's repository, in which fwup and its tests' fixtures are built
    clone: PathBuf,
    /// The tests to run, by the start of their names [all in the suite's Makefile]
    tests: Vec<String>,
    /// Without the check of the system calls on the destination
    #[arg(long)]
    no_syscalls: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let suite = arguments.clone.join("tests");
    let makefile = suite.join("Makefile.am");
    let makefile = fs::read_to_string(&makefile).with_context(|| {
        format!(
            "cannot read {}: is this fwup's repository?",
            makefile.display()
        )
    })?;
    let tests = selected(&makefile, &arguments.tests);
    ensure!(!tests.is_empty(), "no test of the suite has such a name");
    ensure!(
        suite.join("fixture/framing-helper").exists(),
        "the fixtures in {} are not built: run make and make check in the clone first",
        suite.display()
    );
    let program = toolchain::host_program("fwup", true)?;

    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("tests");
    copy_folder(&suite, &copy)?;
    fs::create_dir(folder.path().join("src"))?;
    fs::copy(&program, folder.path().join("src/fwup"))
        .with_context(|| format!("cannot copy {}", program.display()))?;
    if arguments.no_syscalls {
        // Without the program, the suite does not check them.
        fs::remove_file(copy.join("fixture/verify-syscalls"))
            .context("cannot turn off the check of system calls")?;
    }
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for test in &tests {
        match run(&copy, test)? {
            Some(0) => passed += 1,
            Some(SKIPPED) => {
                skipped += 1;
                println!("skipped: {test}");
            }
            status => {
                failed += 1;
                let reason = match status {
                    Some(TIMED_OUT) => format!("no end after {LIMIT} s"),
                    _ => "failed".to_owned(),
                };
                println!("{reason}: {test}");
            }
        }
    }
    println!("fwup's suite: {passed} passed, {failed} failed, {skipped} skipped");
    if failed > 0 {
        println!("the output of each test is in {}", folder.keep().display());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the tests of a Makefile whose names start with one of `prefixes`, or all.
fn selected<'a>(makefile: &'a str, prefixes: &[String]) -> Vec<&'a str> {
    let list = makefile.split_once("TESTS = ").map_or("", |(_, list)| list);
    // A line that does not end with a backslash is the last one.
    let mut is_last = false;
    list.lines()
        .take_while(|line| !std::mem::replace(&mut is_last, !line.ends_with('\\')))
        .flat_map(str::split_whitespace)
        .filter(|word| word.ends_with(".test"))
        .filter(|word| {
            prefixes.is_empty()
                || prefixes
                    .iter()
                    .any(|prefix| word.starts_with(prefix.as_str()))
        })
        .collect()
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-r").arg(from).arg(to).status();
    if !status.context("cannot start cp")?.success() {
        bail!("cannot copy {}", from.display());
    }
    Ok(())
}

/// Runs a test in the folder of the suite, and returns its status. Its output goes to a file there.
fn run(suite: &Path, test: &str) -> Result<Option<i32>> {
    let output = fs::File::create(suite.join(format!("{test}.out")))?;
    let status = Command::new("timeout")
        .arg(LIMIT)
        .arg(format!("./{test}"))
        .current_dir(suite)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()
        .context("cannot start timeout")?;
    Ok(status.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_a_makefile_end_with_its_list() {
        let makefile = "SUBDIRS = fixture\n\nTESTS = 001_a.test \\\n\t002_b.test \\\n\t010_c.test\n\nEXTRA = x.test\n";
        assert_eq!(
            selected(makefile, &[]),
            ["001_a.test", "002_b.test", "010_c.test"]
        );
        let prefixes = ["002".to_owned(), "01".to_owned()];
        assert_eq!(selected(makefile, &prefixes), ["002_b.test", "010_c.test"]);
        assert!(selected("", &[]).is_empty());
    }
}
