// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs one guest: its disk, its QEMU, the connection to it, and its end.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::sync::Notify;

use super::consoles;
use super::handle::Handle;
use crate::error::FleetError;
use crate::identity;
use crate::launch::Orders;
use crate::machine::{self, Instance};
use crate::qmp;
use crate::watch::MachineEvent;

/// How often QEMU is started anew because somebody else took its port meanwhile.
const ATTEMPTS: u32 = 3;
/// How much later than QEMU the supervisor may learn that both are asked to end.
const SIGNALS: Duration = Duration::from_millis(100);
/// The pause between attempts to connect to a QEMU that starts.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs guest `id` until its QEMU ends.
pub(super) async fn run(handle: Handle, id: u32) {
    let mut ending = String::new();
    for attempt in 1..=ATTEMPTS {
        ending = match start(&handle, id) {
            Ok((child, kill)) => follow(&handle, id, child, &kill).await,
            Err(error) => error.to_string(),
        };
        let port = handle.shared.change(id, |entry| {
            entry.qmp = None;
            entry.guest.port.take()
        });
        if let Some(port) = port.flatten() {
            handle.shared.lock().ports.release(port);
        }
        if attempt == ATTEMPTS || !ending.contains("host forwarding rule") {
            break;
        }
        // The loader has not started.
        handle.shared.change(id, |entry| entry.guest.boots -= 1);
    }
    let mut buffer = [0; 4096];
    consoles::read(&handle, id, &mut buffer);
    let was_asked = handle.shared.change(id, |entry| entry.is_stopping);
    if was_asked != Some(true) {
        // A scheduler sends the request to end to QEMU as well as to the supervisor.
        tokio::time::sleep(SIGNALS).await;
    }
    let is_ending = handle.shared.lock().is_ending;
    handle.shared.change(id, |entry| {
        entry.has_runner = false;
        let wanted = entry.is_stopping || is_ending;
        entry.watch.ended(&mut entry.guest, wanted, ending);
        for waiter in entry.waiters.drain(..) {
            // Whoever waited may have given up.
            let _ = waiter.send(());
        }
    });
}

/// Starts QEMU.
fn start(handle: &Handle, id: u32) -> Result<(Child, Arc<Notify>), FleetError> {
    let shared = &handle.shared;
    let settings = &shared.settings;
    let folder = shared.folder.guest(id);
    fs::create_dir_all(&folder).map_err(FleetError::io("create", &folder))?;
    for socket in ["qmp.sock", "console.sock"] {
        let path = folder.join(socket);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FleetError::io("remove", &path)(error));
            }
            _ => {}
        }
    }
    let disk = shared.folder.disk(id);
    if !disk.exists() {
        shared.overlays.create(&disk)?;
    }
    let port = if settings.net {
        shared.lock().ports.take(id)
    } else {
        None
    };
    let seed = identity::seed().map_err(FleetError::io("read", Path::new("/dev/urandom")))?;
    let place = shared.topology.as_ref();
    let place = place.map(|topology| topology.place(settings.pin, id));
    let place = place.unwrap_or_default();
    let instance = Instance {
        id,
        seed,
        node: place.node,
        port,
    };
    let orders = Orders {
        parent: std::process::id(),
        cpus: place.cpus,
        no_huge_pages: true,
        oom_score: 300,
    };
    let log_path = shared.folder.qemu_log(id);
    let log = File::create(&log_path).map_err(FleetError::io("write", &log_path))?;
    let console = shared.folder.console_log(id);
    let tail =
        crate::console::tail::Tail::at_end(&console).map_err(FleetError::io("read", &console))?;
    let program = &shared.launcher[0];
    let failed = |error: io::Error| FleetError::io("start", Path::new(program))(error);
    let words = orders
        .words(&machine::command(settings, &instance))
        .map_err(|error| failed(error.into()))?;
    let child = Command::new(program)
        .args(&shared.launcher[1..])
        .args(words)
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let kill = Arc::new(Notify::new());
    shared.change(id, |entry| {
        entry.watch.started(&mut entry.guest);
        entry.guest.pid = child.id();
        entry.guest.port = port;
        entry.tail = tail;
        entry.booted = Instant::now();
        entry.cpu_time = None;
        entry.kill = kill.clone();
        // It may have been stopped before there was anything to stop.
        if entry.is_stopping {
            kill.notify_one();
        }
    });
    Ok((child, kill))
}

/// Follows a QEMU to its end, and returns how it ended.
async fn follow(handle: &Handle, id: u32, mut child: Child, kill: &Notify) -> String {
    let connection = async {
        if let Some(stream) = connect(handle, id).await {
            let events = handle.clone();
            let (client, work) = qmp::client(stream, move |event| take_event(&events, id, event));
            handle.shared.change(id, |entry| entry.qmp = Some(client));
            // The connection ends with QEMU, and why it does is found below.
            let _ = work.await;
            handle.shared.change(id, |entry| entry.qmp = None);
        }
        std::future::pending::<()>().await;
    };
    let status = {
        tokio::pin!(connection);
        loop {
            tokio::select! {
                status = child.wait() => break status,
                () = kill.notified() => {
                    // One that has ended already cannot be killed, and need not be.
                    let _ = child.start_kill();
                }
                () = &mut connection => {}
            }
        }
    };
    let ending = match status {
        Ok(status) => describe(status),
        Err(error) => format!("QEMU cannot be waited for: {error}"),
    };
    match last_line(&handle.folder().qemu_log(id)) {
        Some(line) => format!("{ending}: {line}"),
        None => ending,
    }
}

/// Connects to QEMU as soon as it listens.
async fn connect(handle: &Handle, id: u32) -> Option<tokio::net::UnixStream> {
    loop {
        let folder = handle.folder();
        let connected = folder.with_guest_socket(id, "qmp.sock", |path| UnixStream::connect(path));
        if let Ok(stream) = connected {
            stream.set_nonblocking(true).ok()?;
            return tokio::net::UnixStream::from_std(stream).ok();
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn take_event(handle: &Handle, id: u32, event: MachineEvent) {
    // What the console said before the event belongs to the boot before it.
    let mut buffer = [0; 4096];
    consoles::read(handle, id, &mut buffer);
    handle.shared.change(id, |entry| {
        if matches!(event, MachineEvent::Reset { .. }) {
            entry.booted = Instant::now();
        }
        entry.watch.event(&mut entry.guest, event);
    });
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (_, Some(signal)) => format!("QEMU was ended by signal {signal}"),
        (Some(code), _) => format!("QEMU ended with exit status {code}"),
        _ => "QEMU ended".to_owned(),
    }
}

/// Returns the last line of QEMU's complaints.
fn last_line(path: &Path) -> Option<String> {
    const MOST: u64 = 4096;
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MOST)))
        .ok()?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().rev();
    lines
        .find(|line| !line.trim().is_empty())
        .map(|line| line.trim().to_owned())
}
