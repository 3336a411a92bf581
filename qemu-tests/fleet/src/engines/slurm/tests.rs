// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::path::Path;

use clap::Parser;
use tempfile::TempDir;

use super::*;
use crate::engines::slurm::attempt::{Attempt, Record};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    slurm: SlurmArgs,
}

fn parse(words: &str) -> Result<SlurmArgs, String> {
    let usual = "slurm --shared /srv --image disk.img --loader loader.elf";
    let words = usual.split(' ').chain(words.split_whitespace());
    let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
    Ok(line.slurm)
}

pub(super) fn job(words: &str) -> (SlurmArgs, Job) {
    let arguments = parse(words).unwrap();
    let settings = Settings {
        image: ImageFile {
            path: "/srv/disk.img".into(),
            length: 0,
            modified: 0,
        },
        loader: "/srv/loader.elf".into(),
        qemu: "qemu-system-aarch64".into(),
        accelerator: "tcg".to_owned(),
        cpu: String::new(),
        memory_mib: 128,
        tb_size_mib: 0,
        net: true,
        append: None,
        up_line: None,
        console_limit_mib: CONSOLE_LIMIT,
        free_page_reporting: false,
        first: arguments.first,
        clones: None,
        reserve_mib: 0,
        max_booting: 0,
        pin: Pin::None,
        ksm: false,
        qemu_arguments: vec![],
    };
    let job = Job {
        guests: arguments.guests,
        chunk: arguments.chunk,
        cpus: resources::cpus(&arguments).unwrap(),
        memory_mib: resources::memory_mib(&arguments).unwrap(),
        refresh: arguments.refresh,
        settings,
    };
    (arguments, job)
}

#[test]
fn the_script_asks_for_what_was_measured() {
    let (arguments, job) =
        job("--guests 1000 --chunk 300 --accel tcg --at-once 2 --sbatch=--partition=arm");
    let text = script::text(
        &arguments,
        &job,
        Path::new("/srv/a fleet/fleet"),
        Path::new("/usr/bin/cargo-qemu"),
        &["fleet"],
    );
    // 300 x (128 + 56 + 0.05) + 30, and a tenth more; 300 boots of 5 core seconds in 300 s.
    assert_eq!(
        text,
        "#!/bin/sh
#SBATCH --job-name=fleet
#SBATCH --array=0-3%2
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=55490M
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=\"/srv/a fleet/fleet/%a.log\"
#SBATCH --chdir=\"/srv/a fleet/fleet\"
#SBATCH --signal=B:TERM@60
#SBATCH --partition=arm

exec /usr/bin/cargo-qemu fleet slurm-task --job '/srv/a fleet/fleet'
"
    );
}

#[test]
fn tasks_share_the_guests() {
    let (_, job) = job("--guests 10 --chunk 4 --first 101");
    let chunks: Vec<_> = (0..5).map(|task| job.chunk_of(task)).collect();
    let chunk = |first, count| Some(job::Chunk { first, count });
    let expected = [chunk(101, 4), chunk(105, 4), chunk(109, 2), None, None];
    assert_eq!(chunks, expected);
    assert_eq!(job.tasks(), 3);
}

#[test]
fn names_and_folders_that_slurm_would_change_are_refused() {
    for bad in ["--name=a/b", "--name=files", "--name=%j", "--guests=0"] {
        assert!(parse(&format!("--guests 1 {bad}")).is_err(), "{bad}");
    }
    assert!(script::is_plain(Path::new("/srv/a fleet")));
    for bad in ["/srv/50%", "/srv/a\\b", "/srv/\"", "/srv/a\nb"] {
        assert!(!script::is_plain(Path::new(bad)), "{bad}");
    }
}

/// A shared folder, and an image outside of it.
fn folders() -> (TempDir, SlurmArgs) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("disk.img"), "image").unwrap();
    fs::write(path("loader.elf"), "loader").unwrap();
    let arguments = SlurmArgs {
        shared: path("shared"),
        image: path("disk.img"),
        loader: path("loader.elf"),
        program: Some("/usr/bin/fleet".into()),
        ..parse("--guests 8 --chunk 4").unwrap()
    };
    (folder, arguments)
}

#[test]
fn files_are_copied_once() {
    let (_folder, arguments) = folders();
    main(&arguments, &[]).unwrap();
    main(&arguments, &[]).unwrap();
    let files = arguments.shared.join("files");
    assert_eq!(fs::read_dir(&files).unwrap().count(), 2);
    let job = Job::read(&arguments.shared.join("fleet")).unwrap();
    assert_eq!(fs::read(&job.settings.image.path).unwrap(), b"image");
    assert!(
        job.settings
            .image
            .path
            .starts_with(files.canonicalize().unwrap())
    );
    // What is in the shared folder stays where it is.
    let inside = SlurmArgs {
        image: job.settings.image.path.clone(),
        ..arguments.clone()
    };
    main(&inside, &[]).unwrap();
    assert_eq!(fs::read_dir(&files).unwrap().count(), 2);
    // Running guests use the old copy.
    fs::write(&arguments.image, "another").unwrap();
    let error = main(&arguments, &[]).unwrap_err().to_string();
    assert!(error.contains("has another job"), "{error}");
    assert_eq!(fs::read_dir(&files).unwrap().count(), 3);
}

#[test]
fn earlier_attempts_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let attempt = |restarts| Attempt {
        task: 0,
        job: "17".to_owned(),
        restarts,
        node: "a".to_owned(),
    };
    for restarts in 0..3 {
        attempt(restarts).claim(path).unwrap();
        assert!(attempt(restarts).owns(path).unwrap());
        Record::keep(path).unwrap();
        let record = Record {
            attempt: attempt(restarts),
            began: 0,
            written: 0.0,
            ended: false,
            status: crate::model::Status::default(),
        };
        record.write(path).unwrap();
        fs::write(path.join("history.jsonl"), restarts.to_string()).unwrap();
    }
    assert!(!attempt(0).owns(path).unwrap());
    let all = Record::all(path).unwrap();
    let read: Vec<_> = all
        .iter()
        .map(|(record, history)| (record.attempt.restarts, fs::read(history).unwrap()))
        .collect();
    assert_eq!(
        read,
        [(0, b"0".to_vec()), (1, b"1".to_vec()), (2, b"2".to_vec())]
    );
}
