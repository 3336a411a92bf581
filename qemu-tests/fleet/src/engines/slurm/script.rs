// SPDX-License-Identifier: MIT OR Apache-2.0

//! The script for sbatch.

use std::path::Path;

use super::SlurmArgs;
use super::job::Job;

/// The seconds between the request to end and the end of a job that reaches its time limit.
const WARNING: u32 = 60;

/// Returns whether sbatch takes `path` as it is.
pub(super) fn is_plain(path: &Path) -> bool {
    path.to_str().is_some_and(|text| {
        !text.contains(['\\', '%', '"', '\'']) && !text.contains(char::is_control)
    })
}

/// Returns the script of `job`, whose folder is `folder`.
pub(super) fn text(
    arguments: &SlurmArgs,
    job: &Job,
    folder: &Path,
    program: &Path,
    words: &[&str],
) -> String {
    let last = job.tasks() - 1;
    let limit = arguments
        .at_once
        .map_or_else(String::new, |tasks| format!("%{tasks}"));
    let folder = folder.to_string_lossy();
    let mut options = vec![
        format!("--job-name={}", arguments.name),
        format!("--array=0-{last}{limit}"),
        "--nodes=1".to_owned(),
        "--ntasks=1".to_owned(),
        format!("--cpus-per-task={}", job.cpus),
        format!("--mem={}M", job.memory_mib),
        "--requeue".to_owned(),
        "--open-mode=append".to_owned(),
        format!("--output=\"{folder}/%a.log\""),
        format!("--chdir=\"{folder}\""),
        format!("--signal=B:TERM@{WARNING}"),
    ];
    options.extend(arguments.sbatch.iter().cloned());
    let options: String = options
        .iter()
        .map(|option| format!("#SBATCH {option}\n"))
        .collect();
    let mut command = vec![program.to_string_lossy().into_owned()];
    command.extend(words.iter().map(|word| (*word).to_owned()));
    command.extend(["slurm-task", "--job", &folder].map(str::to_owned));
    // The supervisor takes the place of the shell, so that it receives the signals.
    format!(
        "#!/bin/sh\n{options}\nexec {}\n",
        shell_words::join(command)
    )
}
