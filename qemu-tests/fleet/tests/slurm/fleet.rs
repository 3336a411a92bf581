// SPDX-License-Identifier: MIT OR Apache-2.0

//! The fleets of the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fleet::engines::slurm;
use fleet::model::{State, Status};
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::{Cluster, until};
use crate::processes;

const PROGRAM: &str = env!("CARGO_BIN_EXE_fleet");
/// Two tasks of four guests.
const GUESTS: usize = 8;

/// What guests are made of.
pub(crate) struct Guests {
    image: PathBuf,
    loader: PathBuf,
    qemu: Option<&'static str>,
    memory: &'static str,
    /// The folder of made files.
    _folder: Option<TempDir>,
}

impl Guests {
    /// Guests without a machine.
    pub(crate) fn fake() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (image, loader) = (
            folder.path().join("disk.img"),
            folder.path().join("loader.elf"),
        );
        fs::write(&image, vec![0; 1 << 20]).expect("an image");
        fs::write(&loader, "").expect("a loader");
        Self {
            qemu: Some(env!("CARGO_BIN_EXE_fake-qemu")),
            memory: "16M",
            _folder: Some(folder),
            ..Self::real(image, loader)
        }
    }

    /// Emulated machines.
    pub(crate) fn real(image: PathBuf, loader: PathBuf) -> Self {
        Self {
            image,
            loader,
            qemu: None,
            memory: "128M",
            _folder: None,
        }
    }

    /// Returns the words that write the job of these guests.
    fn words(&self, shared: &Path) -> Vec<String> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let mut words = vec![
            "slurm".to_owned(),
            format!("--guests={GUESTS}"),
            "--chunk=4".to_owned(),
            "--refresh=1".to_owned(),
            "--accel=tcg".to_owned(),
            format!("--memory={}", self.memory),
            format!("--shared={}", path(shared)),
            format!("--image={}", path(&self.image)),
            format!("--loader={}", path(&self.loader)),
            format!("--program={PROGRAM}"),
        ];
        words.extend(self.qemu.map(|qemu| format!("--qemu={qemu}")));
        words
    }
}

/// A job's folder.
struct Job(PathBuf);

impl Job {
    fn status(&self) -> Status {
        slurm::status(&self.0).expect("a status")
    }

    /// Waits until all guests are up, and returns the status.
    fn wait_for_up(&self) -> Status {
        until("all guests are up", || {
            let status = self.status();
            let up = status.guests.iter().filter(|guest| guest.state.is_up());
            (up.count() == GUESTS).then_some(status)
        })
    }

    /// Returns what a task says about itself.
    fn record(&self, task: u32) -> Value {
        let text = fs::read(self.0.join(format!("{task}/status.json"))).expect("a status");
        serde_json::from_slice(&text).expect("JSON")
    }

    /// Returns the numbers of the tasks, and the supervisors, by node.
    fn nodes(&self) -> BTreeMap<String, Vec<(u32, u32)>> {
        let mut nodes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for task in 0..2 {
            let record = self.record(task);
            let node = record["attempt"]["node"]
                .as_str()
                .expect("a node")
                .to_owned();
            let supervisor = record["status"]["supervisor"].as_u64().expect("a process");
            let supervisor = u32::try_from(supervisor).expect("a process");
            nodes.entry(node).or_default().push((task, supervisor));
        }
        nodes
    }

    /// Returns the inode of a guest's disk: another disk would have another one.
    fn disk(&self, task: u32, guest: u32) -> u64 {
        let path = format!("{task}/guests/{guest:05}/disk.qcow2");
        fs::metadata(self.0.join(path)).expect("a disk").ino()
    }

    /// Returns how many events of a kind the histories have, of guests that enter a state.
    fn count(&self, event: &str, state: Option<&str>) -> usize {
        let events = slurm::events(&self.0).expect("a history");
        let json = serde_json::to_value(&events).expect("JSON");
        let state = state.map(Value::from);
        let is_one = |one: &&Value| {
            one["event"] == event && state.as_ref().is_none_or(|state| one["state"] == *state)
        };
        json.as_array()
            .expect("events")
            .iter()
            .filter(is_one)
            .count()
    }

    /// Waits until the histories, which supervisors write in pieces, say this often that a guest is
    /// up.
    fn wait_for_history(&self, ups: usize) {
        until("the histories are written", || {
            (self.count("state", Some("up")) == ups).then_some(())
        });
    }

    fn console(&self, task: u32, guest: u32) -> String {
        let path = format!("{task}/guests/{guest:05}/console.log");
        fs::read_to_string(self.0.join(path)).expect("a console")
    }
}

/// Two tasks run on two nodes; one node dies, and its guests start again on the other, with their
/// disks; at the end the job is cancelled.
pub(crate) fn outlives_a_node(guests: &Guests) {
    let mut cluster = Cluster::start();
    let shared = cluster.path("shared");
    let written = cluster
        .command(PROGRAM)
        .args(guests.words(&shared))
        .arg("--submit")
        .output()
        .expect("it runs");
    assert!(written.status.success(), "{written:?}");
    let said = String::from_utf8_lossy(&written.stdout);
    let id = said.lines().find_map(|line| line.strip_prefix("job "));
    let id = id.expect("a job").to_owned();
    let job = Job(shared.canonicalize().expect("a folder").join("fleet"));

    let status = job.wait_for_up();
    let distinct = |each: fn(&fleet::model::Guest) -> &str| {
        status
            .guests
            .iter()
            .map(each)
            .collect::<BTreeSet<_>>()
            .len()
    };
    assert_eq!(distinct(|guest| &guest.serial), GUESTS);
    assert_eq!(distinct(|guest| &guest.host), GUESTS);
    let nodes = job.nodes();
    assert_eq!(nodes.keys().collect::<Vec<_>>(), ["a", "b"]);
    let (task, supervisor) = nodes["a"][0];
    let first = 1 + 4 * task;
    let disk = job.disk(task, first);
    let boots = |console: &str| console.matches("little-loader 0.").count();
    assert_eq!(boots(&job.console(task, first)), 1);

    job.wait_for_history(GUESTS);
    cluster.kill_node("a", &[supervisor]);
    until("the guests of the dead node have ended", || {
        let left = processes::of(&job.0.join(format!("{task}/guests")));
        left.is_empty().then_some(())
    });
    let silent = until("the task is silent", || {
        let status = job.status();
        let gone = |guest: &&fleet::model::Guest| guest.state == State::Gone;
        (status.guests.iter().filter(gone).count() == 4).then_some(status)
    });
    let held = silent.held.unwrap_or_default();
    let expected = format!("task {task} on node a has been silent for ");
    assert!(held.starts_with(&expected), "{held}");

    job.wait_for_up();
    let record = job.record(task);
    assert_eq!(record["attempt"]["node"], "b");
    assert_eq!(record["attempt"]["restarts"], 1);
    assert_eq!(job.disk(task, first), disk);
    assert_eq!(boots(&job.console(task, first)), 2);
    assert_eq!(job.record(1 - task)["attempt"]["restarts"], 0);
    job.wait_for_history(GUESTS + 4);
    report(&job);

    cluster.run(&["scancel", &id]);
    until("nothing is left", || {
        processes::of(&shared).is_empty().then_some(())
    });
    let ended = job.status();
    assert!(
        ended
            .guests
            .iter()
            .all(|guest| guest.state == State::Stopped),
        "{ended:#?}"
    );
    assert_eq!(ended.held, None);
    for task in 0..2 {
        assert_eq!(job.record(task)["ended"], true);
    }
}

/// The report covers both attempts.
fn report(job: &Job) {
    let page = job.0.join("fleet.html");
    let made = Command::new(PROGRAM)
        .args(["report", "--gather"])
        .arg(&job.0)
        .arg("--output")
        .arg(&page)
        .output()
        .expect("it runs");
    assert!(made.status.success(), "{made:?}");
    let text = fs::read_to_string(page).expect("a page");
    assert!(text.contains("A fleet of 8 guests"), "{text}");
    let events = slurm::events(&job.0).expect("a history");
    assert!(events.is_sorted_by_key(|event| event.at));
    assert_eq!(job.count("start", None), 2);
    assert_eq!(job.count("state", Some("gone")), 4);
    assert!(job.count("sample", None) > 0);
}

/// A task as Slurm would start it.
fn task(job: &Path, node: &str, restarts: &str) -> Child {
    Command::new(PROGRAM)
        .args(["slurm-task", "--job"])
        .arg(job)
        .envs([
            ("SLURM_ARRAY_TASK_ID", "1"),
            ("SLURM_JOB_ID", "17"),
            ("SLURM_RESTART_COUNT", restarts),
            ("SLURMD_NODENAME", node),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts")
}

/// A task is started again although its first attempt lives, as on a node that was only cut off from
/// the controller.
pub(crate) fn is_taken_over() {
    let guests = Guests::fake();
    let folder = tempfile::tempdir().expect("a folder");
    let written = Command::new(PROGRAM)
        .args(guests.words(folder.path()))
        .output();
    assert!(written.expect("it runs").status.success());
    let job = Job(folder
        .path()
        .canonicalize()
        .expect("a folder")
        .join("fleet"));
    let up = |attempt: u64| {
        until("the task's guests are up", || {
            let path = job.0.join("1/status.json");
            let is_written = path.exists() && job.record(1)["attempt"]["restarts"] == attempt;
            let status = is_written.then(|| job.status())?;
            let up = status.guests.iter().filter(|guest| guest.state.is_up());
            (up.count() == 4).then_some(status)
        })
    };
    let first = Killed(Some(task(&job.0, "a", "0")));
    let status = up(0);
    let running = status.guests.iter().filter(|guest| guest.state.is_up());
    let ids: Vec<_> = running.map(|guest| guest.id).collect();
    assert_eq!(ids, [5, 6, 7, 8]);
    assert_eq!(
        status.held.as_deref(),
        Some("1 of 2 tasks have not started")
    );
    let mut second = Killed(Some(task(&job.0, "b", "1")));
    let output = first.wait();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        words.contains("another attempt has taken over the guests"),
        "{words}"
    );
    assert!(output.status.success());
    up(1);
    second.0.as_mut().expect("a task").kill().expect("it runs");
}

/// A task that is killed at the end.
struct Killed(Option<Child>);

impl Killed {
    fn wait(mut self) -> std::process::Output {
        let child = self.0.take().expect("a task");
        child.wait_with_output().expect("it ends")
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
