// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest with Erlang: it boots, answers the host, takes on an identity, updates itself over the
//! network, and goes back by itself.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use qemu_tests::artifacts::UPDATED;
use qemu_tests::guests::{self, Identity, Kind};
use qemu_tests::harness::machine::{Disk, Machine};
use qemu_tests::harness::running::Running;

use crate::context::{self, Context};
use crate::{Scenario, Test, named};

/// The time limit of a test, on a busy host.
const LIMIT: Duration = Duration::from_secs(900);

/// The time limit of one command. An update writes some 60 MB.
const COMMAND: Duration = Duration::from_secs(600);

pub(crate) fn tests() -> Vec<Test> {
    named(
        "erlang",
        [
            ("shell_and_agent_answer", answers as Scenario),
            ("identity_of_the_host", identifies),
            ("good_update_stays_and_bad_one_goes_back", updates),
        ],
    )
}

/// The guests of other kinds.
pub(crate) fn long_tests() -> Vec<Test> {
    named(
        "erlang",
        [
            ("elixir_shell_and_agent_answer", elixir_answers as Scenario),
            ("linux_shell_and_agent_answer", linux_answers),
        ],
    )
}

/// A guest, and the port of the host that leads to its agent.
struct Guest {
    machine: Machine,
    port: u16,
    identity: Identity,
}

impl Guest {
    /// Describes a guest with Erlang and a disk of its own.
    fn new(context: &Context) -> Result<(Self, PathBuf)> {
        Self::of(context, Kind::Erlang, &context.artifacts.erlang())
    }

    /// Describes a guest of this kind with a copy of this disk.
    fn of(context: &Context, kind: Kind, disk: &Path) -> Result<(Self, PathBuf)> {
        let image = context.path("guest.img");
        fs::copy(disk, &image)?;
        // Another process could take the port until QEMU does; QEMU would say so.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let identity = Identity::of(7)?;
        let loader = context.artifacts.loader();
        let machine = guests::machine(&loader, kind, &identity, port)
            .accelerator(context::accelerator())
            .disk(Disk::new(&image))
            .time_limit(LIMIT);
        let guest = Self {
            machine,
            port,
            identity,
        };
        Ok((guest, image))
    }

    /// Sends one command to the agent; returns the answer.
    fn ask(&self, command: &str) -> Result<String> {
        let ask = || -> Result<String> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(COMMAND))?;
            writeln!(stream, "{command}")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().with_context(|| format!("asking the guest for {command:?}"))
    }

    /// Sends a command and expects a line with all of `parts`.
    fn expect(&self, command: &str, parts: &[&str]) -> Result<()> {
        let answer = self.ask(command)?;
        for part in parts {
            ensure!(
                answer.contains(part),
                "{command}: {part:?} is not in {answer:?}"
            );
        }
        Ok(())
    }
}

fn up(running: &mut Running) -> Result<()> {
    running.expect("fleet: up serial=LL00000007 host=guest-00007 ")?;
    Ok(())
}

fn answers(context: &Context) -> Result<()> {
    let (guest, _) = Guest::new(context)?;
    let mut running = guest.machine.start()?;
    up(&mut running)?;
    guest.expect(
        "ping",
        &["pong serial=LL00000007 host=guest-00007 slot=a reason=active uptime="],
    )?;
    running.type_line("lists:sum(lists:seq(1, 100)).")?;
    running.expect("5050")?;
    let answer = guest.ask("run echo one; echo two >&2; cat; exit 3")?;
    ensure!(answer == "one\ntwo\nexit 3\n", "{answer:?}");
    let answer = guest.ask("run printf unfinished")?;
    ensure!(answer == "unfinished\nexit 0\n", "{answer:?}");
    guest.expect("nonsense", &["failed unknown command"])?;
    guest.expect("poweroff", &["ok"])?;
    running.wait_for_exit()?;
    Ok(())
}

fn elixir_answers(context: &Context) -> Result<()> {
    let line = "Enum.sum(1..100) |> IO.inspect(label: \"sum\")";
    other_answers(
        context,
        Kind::Elixir,
        &context.artifacts.elixir(),
        line,
        "sum: 5050",
    )
}

fn linux_answers(context: &Context) -> Result<()> {
    let line = "echo $((5000 + 50))";
    other_answers(
        context,
        Kind::Linux,
        &context.artifacts.linux(),
        line,
        "5050",
    )
}

/// Boots a guest of another kind, whose shell answers `line` with `printed`.
fn other_answers(
    context: &Context,
    kind: Kind,
    disk: &Path,
    line: &str,
    printed: &str,
) -> Result<()> {
    let (guest, _) = Guest::of(context, kind, disk)?;
    let mut running = guest.machine.start()?;
    up(&mut running)?;
    let pong = "pong serial=LL00000007 host=guest-00007 ";
    guest.expect("ping", &[&format!("{pong}slot=a ")])?;
    running.type_line(line)?;
    running.expect(printed)?;
    guest.expect("run echo another >/proc/sys/kernel/hostname", &["exit 0"])?;
    guest.expect("identify", &[pong])?;
    guest.expect("run hostname", &["guest-00007"])?;
    guest.expect("poweroff", &["ok"])?;
    running.wait_for_exit()?;
    Ok(())
}

fn identifies(context: &Context) -> Result<()> {
    let (guest, _) = Guest::new(context)?;
    let mut running = guest.machine.start()?;
    up(&mut running)?;
    guest.expect(
        "run echo another >/proc/sys/kernel/hostname; \
         cat /sys/firmware/qemu_fw_cfg/by_name/opt/org.little-loader.guest/seed/raw",
        &[&guest.identity.seed, "exit 0"],
    )?;
    guest.expect("ping", &[" host=another "])?;
    guest.expect("identify", &["pong ", " host=guest-00007 "])?;
    guest.expect("run hostname", &["guest-00007\nexit 0\n"])?;
    // It fails if the kernel refuses to renew its key.
    guest.expect("run /usr/lib/guest/helper identify", &["exit 0"])?;
    guest.expect("run /usr/lib/guest/helper nonsense", &["exit 2"])?;
    let random = "run head -c 16 /dev/urandom | od -An -tx1";
    let (first, second) = (guest.ask(random)?, guest.ask(random)?);
    ensure!(
        first != second && first.ends_with("exit 0\n"),
        "{first:?}, {second:?}"
    );
    guest.expect("poweroff", &["ok"])?;
    running.wait_for_exit()?;
    Ok(())
}

fn updates(context: &Context) -> Result<()> {
    let (guest, _) = Guest::new(context)?;
    let mut running = guest.machine.start()?;
    up(&mut running)?;
    guest.expect("run cat /etc/fleet/version", &["1.0.0\nexit 0"])?;
    guest.expect("run echo kept >/data/file; sync", &["exit 0"])?;

    guest.expect("update http://10.0.2.2:9/none.fw", &["failed "])?;
    update(&guest, &context.artifacts.good_update(), "b")?;
    running.expect("fleet: updating slot=b")?;
    running.expect("fleet: updated slot=b")?;
    guest.expect("reboot", &["ok"])?;
    running.expect("slot b: trial")?;
    up(&mut running)?;
    running.expect("fleet: validated slot=b")?;
    let version = format!(" version={UPDATED}\n");
    guest.expect("ping", &[" slot=b reason=trial ", &version])?;
    guest.expect(
        "run cat /etc/fleet/version /data/file",
        &[&format!("{UPDATED}\nkept\nexit 0")],
    )?;

    update(&guest, &context.artifacts.bad_update(), "a")?;
    guest.expect("reboot", &["ok"])?;
    running.expect("slot a: trial")?;
    running.expect("fleet: bad image, rebooting")?;
    running.expect("slot b: reverted")?;
    up(&mut running)?;
    guest.expect("ping", &[" slot=b reason=reverted "])?;
    guest.expect("run cat /data/file", &["kept\nexit 0"])?;
    guest.expect("poweroff", &["ok"])?;
    running.wait_for_exit()?;
    Ok(())
}

/// Updates a guest from a server that serves `archive` once.
fn update(guest: &Guest, archive: &Path, slot: &str) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let bytes = fs::read(archive)?;
    let server = thread::spawn(move || serve_once(&listener, &bytes));
    let answer = guest.ask(&format!("update http://10.0.2.2:{port}/guest.fw"))?;
    let wanted = format!("updated slot={slot}\n");
    ensure!(answer.ends_with(&wanted), "{answer:?}");
    match server.join() {
        Ok(served) => served,
        Err(_) => bail!("the server panicked"),
    }
}

fn serve_once(listener: &TcpListener, bytes: &[u8]) -> Result<()> {
    let (mut stream, _) = listener.accept()?;
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        let length = stream.read(&mut buffer)?;
        ensure!(length > 0, "the guest sent no whole request");
        request.extend_from_slice(&buffer[..length]);
    }
    let head = format!(
        "HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(bytes)?;
    Ok(())
}
