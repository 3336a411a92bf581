// SPDX-License-Identifier: MIT OR Apache-2.0

//! A cluster of Slurm on this machine: one controller and two nodes, without systemd and cgroups.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use qemu_harness::process::find;
use tempfile::TempDir;

use crate::processes;

/// A safety net: everything takes much less on an idle machine.
const LIMIT: Duration = Duration::from_secs(600);

/// The programs that a cluster consists of.
const PROGRAMS: [&str; 6] = [
    "munged",
    "slurmctld",
    "slurmd",
    "sbatch",
    "scancel",
    "sinfo",
];

/// A cluster with the nodes `a` and `b`. All its processes are killed at the end.
pub(crate) struct Cluster {
    folder: TempDir,
    munged: Option<Child>,
    daemons: Vec<(&'static str, Child)>,
}

/// Returns the first program of Slurm that is not installed.
pub(crate) fn missing() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|name| program(name).is_none())
}

/// Finds a program, also where only root's `PATH` leads.
fn program(name: &str) -> Option<PathBuf> {
    find(name).or_else(|| {
        let path = Path::new("/usr/sbin").join(name);
        path.exists().then_some(path)
    })
}

impl Cluster {
    /// Starts a cluster, and waits until both nodes can run jobs.
    pub(crate) fn start() -> Self {
        let mut cluster = Self {
            folder: tempfile::tempdir().expect("a folder"),
            munged: None,
            daemons: vec![],
        };
        fs::write(cluster.path("key"), [b'k'; 128]).expect("a key");
        private(&cluster.path("key"));
        fs::write(cluster.path("slurm.conf"), cluster.configuration()).expect("a configuration");
        let file =
            |option: &str, name: &str| format!("--{option}={}", cluster.path(name).display());
        let munged = [
            // The folder is not open to other users, who need not reach the socket.
            "--force".to_owned(),
            "--foreground".to_owned(),
            file("key-file", "key"),
            file("socket", "munge"),
            file("pid-file", "munged.pid"),
            file("log-file", "munged.log"),
            file("seed-file", "munged.seed"),
        ];
        cluster.munged = Some(cluster.daemon("munged", &munged, "munged"));
        until("munged listens", || {
            cluster.path("munge").exists().then_some(())
        });
        let configuration = cluster.path("slurm.conf").display().to_string();
        for (name, node) in [
            ("slurmctld", None),
            ("slurmd", Some("a")),
            ("slurmd", Some("b")),
        ] {
            let mut words = vec!["-D".to_owned(), "-f".to_owned(), configuration.clone()];
            if let Some(node) = node {
                fs::create_dir(cluster.path(node)).expect("a folder");
                words.extend(["-N".to_owned(), node.to_owned()]);
            }
            let key = node.unwrap_or("controller");
            let child = cluster.daemon(name, &words, key);
            cluster.daemons.push((key, child));
        }
        until("both nodes are idle", || {
            let nodes = cluster.run(&["sinfo", "--noheader", "--Node", "--format=%N %t"]);
            (nodes == "a idle\nb idle\n").then_some(())
        });
        cluster
    }

    /// A path in the cluster's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the command with the cluster's environment.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("SLURM_CONF", self.path("slurm.conf"));
        command.stdin(Stdio::null());
        command
    }

    /// Runs a program of Slurm, and returns what it prints, errors included.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let output = self.command(words[0]).args(&words[1..]).output();
        let Output { stdout, stderr, .. } = output.expect("the program runs");
        String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned()
    }

    /// Ends a node as a power cut does: its daemon, and the `supervisors` of tasks with all their
    /// guests.
    pub(crate) fn kill_node(&mut self, node: &str, supervisors: &[u32]) {
        for (_, child) in self.daemons.iter_mut().filter(|(name, _)| *name == node) {
            child.kill().expect("it runs");
            child.wait().expect("it ends");
        }
        // These would tell the controller how their task ended.
        let steps = supervisors
            .iter()
            .filter_map(|pid| processes::step_of(*pid));
        let steps: Vec<u32> = steps.collect();
        assert_eq!(steps.len(), supervisors.len(), "each task has a slurmstepd");
        steps
            .iter()
            .chain(supervisors)
            .copied()
            .for_each(processes::kill);
    }

    fn daemon(&self, name: &str, words: &[String], log: &str) -> Child {
        let output = File::create(self.path(&format!("{log}.out"))).expect("a log");
        let mut command = self.command(program(name).expect("it is installed"));
        command.args(words).current_dir(self.folder.path());
        command.stdout(output.try_clone().expect("a descriptor"));
        command.stderr(output).spawn().expect("it starts")
    }

    fn configuration(&self) -> String {
        let root = self.folder.path().display();
        let user = command_text("id", "-un");
        let host = command_text("hostname", "-s");
        let [controller, a, b] = free_ports();
        let node = |name: &str, port: u16| {
            format!(
                "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=64 RealMemory=16000\n"
            )
        };
        format!(
            "ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A task that lost its node waits until its credential is out of date.
AuthInfo=socket={root}/munge,cred_expire=5
StateSaveLocation={root}/state
SlurmctldPidFile={root}/slurmctld.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdPidFile={root}/%n.pid
SlurmdLogFile={root}/%n.log
SlurmdSpoolDir={root}/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory,CR_LLN
# More CPUs than the machine has.
SlurmdParameters=config_overrides
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SlurmdTimeout=20
SchedulerParameters=sched_interval=2,bf_interval=2
{}{}PartitionName=all Nodes=ALL Default=YES State=UP
",
            node("a", a),
            node("b", b)
        )
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            for name in ["controller.out", "a.out", "b.out", "munged.out"] {
                let text = fs::read_to_string(self.path(name)).unwrap_or_default();
                let lines: Vec<_> = text.lines().collect();
                let last = &lines[lines.len().saturating_sub(15)..];
                eprintln!("--- {name}\n{}", last.join("\n"));
            }
        }
        // First those that start others.
        let munged = self.munged.take();
        let daemons = self.daemons.drain(..).map(|(_, child)| child);
        for mut child in daemons.chain(munged) {
            let _ = child.kill();
            let _ = child.wait();
        }
        let begun = Instant::now();
        loop {
            let left = processes::of(self.folder.path());
            if left.is_empty() || begun.elapsed() > LIMIT {
                break;
            }
            let steps = left.iter().filter_map(|pid| processes::step_of(*pid));
            steps
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(processes::kill);
            left.into_iter().for_each(processes::kill);
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Waits until `look` finds something, and returns it.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        let limit = LIMIT.as_secs();
        assert!(begun.elapsed() < LIMIT, "{what}: not within {limit} s");
        thread::sleep(Duration::from_millis(200));
    }
}

fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o400)).expect("permissions");
}

fn command_text(program: &str, word: &str) -> String {
    let output = Command::new(program).arg(word).output();
    let output = output.expect("the program runs").stdout;
    String::from_utf8_lossy(&output).trim().to_owned()
}

fn free_ports() -> [u16; 3] {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let listeners = [listen(), listen(), listen()];
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}
