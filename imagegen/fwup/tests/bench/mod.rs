// SPDX-License-Identifier: MIT OR Apache-2.0

//! A folder in which the program runs.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The exit status, stdout and stderr of a command.
pub(crate) type Outcome = (Option<i32>, String, String);

/// A temporary folder.
pub(crate) struct Bench(tempfile::TempDir);

impl Bench {
    /// Packs a configuration into `out.fw`.
    pub(crate) fn with(configuration: &str) -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        fs::write(bench.at("fwup.conf"), configuration).unwrap();
        let packed = bench.run("-c -f fwup.conf -o out.fw");
        assert_eq!(packed, (Some(0), String::new(), String::new()));
        bench
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn run(&self, line: &str) -> Outcome {
        self.run_with(line, b"")
    }

    /// Runs the program with this input.
    pub(crate) fn run_with(&self, line: &str, input: &[u8]) -> Outcome {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fwup"))
            .current_dir(self.0.path())
            .args(line.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The program may stop reading before the end.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        // The lengths of frames are not text.
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// Applies a task of `out.fw` to `disk.img`, without progress. Returns the status and stdout.
    pub(crate) fn apply(&self, task: &str, flags: &str) -> (Option<i32>, String) {
        let line = format!("-a -q -i out.fw -d disk.img -t {task} {flags}");
        let (status, out, _) = self.run(&line);
        (status, out)
    }
}
