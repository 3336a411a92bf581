// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs one guest: its disk, its QEMU, the connection to it, and its end.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::process::Child;
use tokio::sync::Notify;

use super::consoles;
use super::handle::Handle;
use super::spawn;
use crate::clones::{self, CloneError, Template};
use crate::console::sign;
use crate::console::tail::Tail;
use crate::error::FleetError;
use crate::identity;
use crate::machine::{Instance, Part};
use crate::qmp::{self, Client};
use crate::watch::MachineEvent;

/// How often QEMU is started anew because somebody else took its port meanwhile.
const ATTEMPTS: u32 = 3;
/// How much later than QEMU the supervisor may learn that both are asked to end.
const SIGNALS: Duration = Duration::from_millis(100);
/// How long a QEMU that has closed its socket may take to end.
const ENDS: Duration = Duration::from_secs(10);

/// A guest whose QEMU was started.
struct Started {
    child: Child,
    kill: Arc<Notify>,
    /// The template that it continues from.
    template: Option<Arc<Template>>,
}

/// Runs guest `id` until its QEMU ends.
pub(super) async fn run(handle: Handle, id: u32) {
    let mut ending = String::new();
    for attempt in 1..=ATTEMPTS {
        ending = match start(&handle, id) {
            Ok(started) => follow(&handle, id, started).await,
            Err(error) => error.to_string(),
        };
        let left = handle.shared.change(id, |entry| {
            entry.qmp = None;
            let lost = entry.watch.is_resuming() && !entry.is_stopping;
            (
                entry.guest.port.take(),
                lost.then(|| entry.clone_error.take()),
            )
        });
        let (port, lost) = left.unwrap_or_default();
        if let Some(port) = port {
            handle.shared.lock().ports.release(port);
        }
        let conflict = ending.contains("host forwarding rule");
        match lost {
            // Its QEMU has not used the disk, without which it is cloned again.
            Some(_) if conflict => {
                let _ = fs::remove_file(handle.folder().disk(id));
            }
            // It boots from its disk.
            Some(error) => {
                let error = error.unwrap_or_else(|| ending.clone());
                handle.shared.lock().clone_failed(id, &error);
                continue;
            }
            None => {}
        }
        if attempt == ATTEMPTS || !conflict {
            break;
        }
        // The loader has not started.
        handle.shared.change(id, |entry| {
            entry.guest.boots = entry.guest.boots.saturating_sub(1);
        });
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

/// Starts QEMU. A guest without a disk becomes a clone if there is a template; one with a disk boots
/// from it, since the template knows nothing of what has been written there.
fn start(handle: &Handle, id: u32) -> Result<Started, FleetError> {
    let shared = &handle.shared;
    let settings = &shared.settings;
    let folder = shared.folder.guest(id);
    spawn::prepare(&folder)?;
    let disk = shared.folder.disk(id);
    let mut template = None;
    if !disk.exists() {
        template = shared.lock().template.ready();
        let overlays = template.as_ref().map(|template| &template.overlays);
        overlays.unwrap_or(&shared.overlays).create(&disk)?;
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
    let (part, input) = match &template {
        Some(template) => {
            let state = &template.state;
            let file = File::open(state).map_err(FleetError::io("open", state))?;
            (
                Part::Clone(template.memory.file().to_owned()),
                Stdio::from(file),
            )
        }
        None => (Part::Ordinary, Stdio::null()),
    };
    let instance = Instance {
        id,
        seed,
        node: place.node,
        port,
        part,
    };
    let console = shared.folder.console_log(id);
    let tail = Tail::at_end(&console).map_err(FleetError::io("read", &console))?;
    let child = spawn::spawn(shared, &folder, &instance, place.cpus, input)?;
    let kill = Arc::new(Notify::new());
    shared.change(id, |entry| {
        if template.is_some() {
            entry.watch.resuming(&mut entry.guest);
        } else {
            entry.watch.started(&mut entry.guest);
        }
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
    Ok(Started {
        child,
        kill,
        template,
    })
}

/// Follows a QEMU to its end, and returns how it ended.
async fn follow(handle: &Handle, id: u32, started: Started) -> String {
    let Started {
        mut child,
        kill,
        template,
    } = started;
    let folder = handle.folder().guest(id);
    let connection = async {
        if let Some(stream) = spawn::connect(&folder).await {
            let events = handle.clone();
            let (client, work) = qmp::client(stream, move |event| take_event(&events, id, event));
            handle
                .shared
                .change(id, |entry| entry.qmp = Some(client.clone()));
            let resuming = async {
                if let Some(template) = &template {
                    continue_from(handle, id, template, &client).await;
                }
                drop(client);
            };
            // The connection ends with QEMU, and why it does is found below.
            let _ = tokio::join!(work, resuming);
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
    spawn::ending(&folder, status)
}

/// Has a clone continue from the template's state with its own identity; kills its QEMU if that
/// fails.
async fn continue_from(handle: &Handle, id: u32, template: &Template, client: &Client) {
    let port = handle.guest(id).ok().and_then(|guest| guest.port);
    let resume = async {
        let port = port.ok_or(CloneError::NoNetwork)?;
        clones::load(client, template.way, &template.state).await?;
        clones::identify(port, &identity::serial(id)).await
    };
    match resume.await {
        Ok(answer) => {
            let line = answer.replacen("pong", "fleet: up", 1);
            handle.shared.change(id, |entry| {
                let seconds = entry.booted.elapsed().as_secs_f64();
                if let Some(up) = sign::recognise(&line, None) {
                    entry.watch.resumed(&mut entry.guest, up, seconds);
                }
            });
            handle.shared.lock().clone_failures = 0;
        }
        Err(error) => {
            // QEMU itself says best why it ends, and closes its socket before it has.
            let ended = matches!(&error, CloneError::Qmp { text, .. } if text == qmp::ENDED);
            if ended {
                tokio::time::sleep(ENDS).await;
            }
            handle.shared.change(id, |entry| {
                entry.clone_error = Some(error.to_string());
                if entry.watch.is_resuming() {
                    entry.kill.notify_one();
                }
            });
        }
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
