// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs commands that were recorded with fwup 1.16.0: each must print the same on the same stream,
//! exit with the same status, and leave the same images. The fixtures' `steps.txt` contain the
//! commands and their results, with our messages where an action on FAT or a delta fails. `unzip`
//! checks the archives.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod common;
#[path = "steps/deltas.rs"]
mod deltas;
#[path = "steps/shapes.rs"]
mod shapes;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use fwup::hex;
use sha2::{Digest, Sha256};

use common::{fixture, outcome};

/// A command and its result.
#[derive(Debug, Default, PartialEq, Eq)]
struct Step {
    command: String,
    out: String,
    err: String,
    status: i32,
    /// The images after the command, as `size bytes, sha256 hash`.
    images: BTreeMap<String, String>,
}

fn steps(case: &Path) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in fs::read_to_string(case.join("steps.txt")).unwrap().lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                command: command.to_owned(),
                ..Step::default()
            });
        } else if let Some(step) = steps.last_mut() {
            if let Some(text) = line.strip_prefix("  out: ") {
                step.out += &format!("{text}\n");
            } else if let Some(text) = line.strip_prefix("  err: ") {
                step.err += &format!("{text}\n");
            } else if let Some(status) = line.strip_prefix("  exit: ") {
                step.status = status.parse().unwrap();
            } else if let Some((name, image)) = line.trim().split_once(": ")
                && image.contains(" bytes, sha256 ")
            {
                step.images.insert(name.to_owned(), image.to_owned());
            } else if step.images.is_empty() && step.err.is_empty() {
                // Output after a carriage return is on a separate line.
                step.out += &format!("{line}\n");
            }
        }
    }
    steps
}

/// A folder with the program and a copy of a case without its archives.
struct Workshop {
    folder: tempfile::TempDir,
}

impl Workshop {
    fn new(case: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(case, folder.path());
        symlink(env!("CARGO_BIN_EXE_fwup"), folder.path().join("fwup")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn images(&self) -> BTreeMap<String, String> {
        let mut images = BTreeMap::new();
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "img") {
                let bytes = fs::read(&path).unwrap();
                let hash = hex::encode(&Sha256::digest(&bytes));
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                images.insert(name, format!("{} bytes, sha256 {hash}", bytes.len()));
            }
        }
        images
    }

    /// Runs a command line without quotes.
    fn run(&self, line: &str) -> Step {
        let words: Vec<_> = line.split(' ').collect();
        let (variables, words) = match words.as_slice() {
            ["env", rest @ ..] => {
                let end = rest.iter().position(|word| !word.contains('=')).unwrap();
                rest.split_at(end)
            }
            words => words.split_at(0),
        };
        let program = match words[0] {
            "fwup" => self.path("fwup"),
            other => other.into(),
        };
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .envs(variables.iter().map(|word| word.split_once('=').unwrap()))
            .args(&words[1..]);
        let (status, out, err) = outcome(&mut command)
            .unwrap_or_else(|error| panic!("{line}: {error}; apt-get install unzip"));
        Step {
            command: line.to_owned(),
            out,
            err,
            status: status.unwrap(),
            images: self.images(),
        }
    }

    fn ok(&self, line: &str) -> String {
        let step = self.run(line);
        assert_eq!(
            (step.status, step.err.as_str()),
            (0, ""),
            "{line}: {}",
            step.out
        );
        step.out
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&path, &target);
        } else if path.extension().is_none_or(|extension| extension != "fw") {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Runs all steps of a case, and returns the folder with its images.
fn replay(name: &str, prepare: impl FnOnce(&Workshop)) -> Workshop {
    let case = fixture(name);
    let workshop = Workshop::new(&case);
    prepare(&workshop);
    let mut count = 0;
    for mut step in steps(&case) {
        // These are copies that were made between the steps.
        step.images.retain(|name, _| !name.starts_with("after-"));
        let mut found = without_note(workshop.run(&step.command));
        found.out = found.out.replace('\r', "\n");
        // Some images are listed only in later steps.
        found
            .images
            .retain(|name, _| step.images.contains_key(name));
        assert_eq!(found, step);
        count += 1;
    }
    assert!(count >= 3, "{name}: {count} steps");
    let tested = workshop.ok("unzip -t out.fw");
    assert!(tested.contains("No errors detected"), "{tested}");
    assert_eq!(
        workshop.ok("fwup -V -i out.fw"),
        "Valid archive without a signature\n"
    );
    // fwup's archive has the same entries in the same order, with the same sizes, checksums and
    // dates.
    fs::copy(case.join("out.fw"), workshop.path("theirs.fw")).unwrap();
    assert_eq!(
        entries(&workshop, "out.fw"),
        entries(&workshop, "theirs.fw")
    );
    workshop
}

/// Returns unzip's list without the compressed sizes.
fn entries(workshop: &Workshop, archive: &str) -> Vec<String> {
    let list = workshop.ok(&format!("unzip -v {archive}"));
    list.lines()
        .filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            match words.as_slice() {
                [size, "Defl:N", _, _, rest @ ..] => Some(format!("{size} {}", rest.join(" "))),
                _ => None,
            }
        })
        .collect()
}

#[test]
fn raw() {
    replay("01-raw", |_| ());
}

#[test]
fn slots() {
    replay("02-ab", |_| ());
}

#[test]
fn language() {
    replay("03-language", |_| ());
}

#[test]
fn partitions() {
    replay("04-mbr", |workshop| {
        // A partition grows to the end of the image.
        let sized = File::create(workshop.path("sized.img")).unwrap();
        sized.set_len(8 << 20).unwrap();
    });
}

#[test]
fn tables() {
    replay("07-tables", |workshop| {
        let sized = File::create(workshop.path("sized.img")).unwrap();
        sized.set_len(8 << 20).unwrap();
    });
}

#[test]
fn environments() {
    replay("05-env", |_| ());
}

/// Rebuilds the file with holes from the image to which fwup wrote it.
#[test]
fn holes() {
    replay("06-sparse", |workshop| {
        let mut image = Vec::new();
        GzDecoder::new(File::open(workshop.path("disk.img.gz")).unwrap())
            .read_to_end(&mut image)
            .unwrap();
        let sparse = File::create(workshop.path("sparse.bin")).unwrap();
        sparse.set_len(2 << 20).unwrap();
        for (start, length) in [(0, 4096), (1 << 20, 8192)] {
            let data = &image[128 * 512 + start..][..length];
            sparse.write_all_at(data, start as u64).unwrap();
        }
    });
}

/// Removes the note about deltas that `-V` prints, unlike fwup.
fn without_note(mut step: Step) -> Step {
    if step.command.contains(" -V ") && step.err.contains("a delta, whose result") {
        assert_eq!(step.err.lines().count(), 1);
        step.err.clear();
    }
    step
}

#[test]
fn an_archive_of_fwup_is_described() {
    for name in [
        "01-raw",
        "02-ab",
        "04-mbr",
        "05-env",
        "06-sparse",
        "07-tables",
        "08-rpi",
        "09-x86",
        "10-stm32",
        "11-delta",
    ] {
        let workshop = Workshop::new(&fixture(name));
        fs::copy(fixture(name).join("out.fw"), workshop.path("out.fw")).unwrap();
        for mut step in steps(&fixture(name)) {
            step.images.clear();
            let words: Vec<_> = step.command.split(' ').collect();
            if matches!(words.get(1), Some(&"-m" | &"-l" | &"-V")) {
                assert_eq!(without_note(workshop.run(&step.command)), step);
            }
        }
    }
}

#[test]
fn an_archive_can_go_through_pipes() {
    let workshop = Workshop::new(&fixture("01-raw"));
    let shell = |line: &str| {
        let output = Command::new("sh")
            .current_dir(workshop.folder.path())
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .args(["-c", line])
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}");
        output.stdout
    };
    workshop.ok("fwup -c -f fwup.conf -o out.fw");
    for output in ["-o -", ""] {
        let piped = shell(&format!("cat fwup.conf | ./fwup -c -f - {output} | cat"));
        assert_eq!(piped, fs::read(workshop.path("out.fw")).unwrap());
    }
    assert_eq!(shell("cat out.fw | ./fwup -l -i -"), b"complete\nother\n");
}

#[test]
fn the_command_line_is_that_of_fwup() {
    let workshop = Workshop::new(&fixture("01-raw"));
    assert_eq!(workshop.ok("fwup --version"), "1.16.0\n");
    assert!(workshop.ok("fwup -h").starts_with("Usage: fwup"));
    for (line, out) in [
        (
            "fwup -q -n -l",
            "fwup: pick either -n or -q, but not both.\n",
        ),
        (
            "fwup -c -f missing.conf -o x.fw",
            "fwup: Error opening configuration file 'missing.conf'\n",
        ),
        (
            "fwup -l -i fwup.conf",
            "fwup: byte 0 of the archive: found 0x6e4f2023, expected an entry of a ZIP archive\n",
        ),
        (
            "fwup -S -i fwup.conf -o x.fw",
            "fwup: specify the private key: -s FILE, or --private-key KEY\n",
        ),
        (
            "fwup -c -s key -o x.fw",
            "fwup: Error opening private key file 'key': No such file or directory (os error 2)\n",
        ),
    ] {
        let step = workshop.run(line);
        assert_eq!((step.status, step.out.as_str()), (1, out), "{line}");
    }
    let step = workshop.run("fwup --nonsense");
    assert_eq!(step.err, "fwup: unrecognized option '--nonsense'\n");
    assert!(!workshop.path("x.fw").exists());
}
