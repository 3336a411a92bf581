// SPDX-License-Identifier: MIT OR Apache-2.0

use std::process::Command;

use clap::Parser;

use super::*;

#[derive(Parser, Debug)]
struct Words {
    #[command(flatten)]
    nomad: NomadArgs,
}

fn parse(words: &[&str]) -> Result<NomadArgs, String> {
    let words = ["nomad", "--image", "/srv/a b.img", "--loader", "/srv/l.elf"]
        .iter()
        .chain(words);
    let words = Words::try_parse_from(words).map_err(|error| error.to_string())?;
    Ok(words.nomad)
}

#[test]
fn a_job_has_a_supervisor_per_chunk_with_measured_resources() {
    let arguments = parse(&["--count", "250", "--memory", "80M", "--accel", "tcg"]).unwrap();
    let job = &job(&arguments).unwrap()["Job"];
    let group = &job["TaskGroups"][0];
    assert_eq!(group["Count"], 3);
    let resources = &group["Tasks"][0]["Resources"];
    // 30 + 100 x (80 + 40 + 0.05) MiB, and 100 x 0.002 cores of 3,000 MHz.
    assert_eq!(resources["MemoryMB"], 12_035);
    assert_eq!(resources["CPU"], 600);
    assert_eq!(job["Constraints"], json!([]));
    let kvm = super::job(&parse(&["--count", "1"]).unwrap()).unwrap();
    assert_eq!(kvm["Job"]["Constraints"][0]["RTarget"], "arm64");
    assert!(parse(&["--count", "0"]).is_err());
    assert!(parse(&["--count", "1", "--name", "a b"]).is_err());
}

/// Runs the job's script as allocation `index` would, with a program that prints its arguments.
fn arguments_of(job: &Value, index: u32) -> Vec<String> {
    let task = &job["Job"]["TaskGroups"][0]["Tasks"][0];
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    std::fs::write(&program, "for word; do printf '%s\\n' \"$word\"; done").unwrap();
    let script = task["Config"]["args"][1].as_str().unwrap();
    // A shell that reads a file needs no permission to execute it.
    let script = script.replace("exec \"$FLEET_PROGRAM\"", "exec sh \"$FLEET_PROGRAM\"");
    let mut command = Command::new(task["Config"]["command"].as_str().unwrap());
    command.args(["-c", &script, "fleet"]);
    for (name, value) in task["Env"].as_object().unwrap() {
        command.env(name, value.as_str().unwrap());
    }
    let output = command
        .env("FLEET_PROGRAM", &program)
        .env("NOMAD_ALLOC_INDEX", index.to_string())
        .env("NOMAD_ALLOC_DIR", "/alloc")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn each_allocation_starts_its_own_guests() {
    let arguments = parse(&["--count", "250", "--memory", "80M"]).unwrap();
    let job = job(&arguments).unwrap();
    let mut next = 1;
    for index in 0..3 {
        let words = arguments_of(&job, index);
        let value = |name: &str| {
            let position = words.iter().position(|word| word == name).unwrap();
            words[position + 1].clone()
        };
        assert_eq!(words[..2], ["--state", "/alloc/data/fleet"]);
        assert_eq!(value("--image"), "/srv/a b.img");
        assert_eq!(value("--accel"), "kvm");
        assert_eq!(value("--first"), next.to_string());
        next += value("--count").parse::<u32>().unwrap();
    }
    assert_eq!(next, 251);
}

#[test]
fn paths_may_have_variables_of_nomad_but_none_of_the_shell() {
    let path = "${NOMAD_ALLOC_DIR}/\"$(id)\".img";
    let arguments = NomadArgs {
        image: PathBuf::from(path),
        ..parse(&["--count", "1"]).unwrap()
    };
    let job = job(&arguments).unwrap();
    let environment = &job["Job"]["TaskGroups"][0]["Tasks"][0]["Env"];
    assert_eq!(environment["FLEET_IMAGE"], path);
    let words = arguments_of(&job, 0);
    assert!(words.contains(&path.to_owned()), "{words:?}");
}
