// SPDX-License-Identifier: MIT OR Apache-2.0

//! Boots the template of the fleet's clones, and saves its state.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use imagegen::overlay::OverlayBuilder;
use tokio::process::Child;

use super::handle::Handle;
use super::spawn;
use crate::clones::{self, CloneError, Clones, Memory, TEMPLATE, Template, Way};
use crate::console::sign::{self, Sign};
use crate::console::tail::Tail;
use crate::error::FleetError;
use crate::folder::TEMPLATE_STATE;
use crate::identity;
use crate::machine::{Instance, Part};
use crate::qmp::{self, Client};

/// How long the template may take to come up; a safety net.
const BOOT: Duration = Duration::from_secs(600);
/// The pause between two looks at its console.
const PAUSE: Duration = Duration::from_millis(100);
/// How long QEMU may take to end.
const QUIT: Duration = Duration::from_secs(10);
/// The name of the state until it is complete.
const NEW_STATE: &str = "state.new";

/// The template, as far as it has been made.
#[derive(Debug, Default)]
pub(super) enum Progress {
    /// Nobody has asked for it.
    #[default]
    Unmade,
    /// Clones can be started.
    Ready(Arc<Template>),
    /// It failed, or its clones did.
    Failed,
}

impl Progress {
    /// Returns the template, if clones can be started.
    pub(super) fn ready(&self) -> Option<Arc<Template>> {
        match self {
            Self::Ready(template) => Some(template.clone()),
            Self::Unmade | Self::Failed => None,
        }
    }
}

/// Makes the template if the fleet has clones and one of `guests` has no disk yet.
pub(super) async fn ensure(handle: &Handle, mut guests: std::ops::Range<u32>) {
    let shared = &handle.shared;
    let Some(settings) = &shared.settings.clones else {
        return;
    };
    let is_made = !matches!(shared.lock().template, Progress::Unmade);
    if is_made || !guests.any(|id| !shared.folder.disk(id).exists()) {
        return;
    }
    handle.hold(Some("the template of the clones boots".to_owned()));
    let made = make(handle, settings).await;
    handle.hold(None);
    let mut inner = shared.lock();
    match made {
        Ok(template) => inner.template = Progress::Ready(Arc::new(template)),
        Err(_) if inner.is_ending => inner.template = Progress::Failed,
        Err(error) => inner.give_up_clones(&error.to_string()),
    }
}

async fn make(handle: &Handle, settings: &Clones) -> Result<Template, CloneError> {
    let shared = &handle.shared;
    let gives_back =
        |argument: &&String| argument.contains("balloon") || argument.contains("virtio-mem");
    if let Some(argument) = shared.settings.qemu_arguments.iter().find(gives_back) {
        let argument = format!("the QEMU argument {argument:?}");
        return Err(CloneError::GivesBack(argument));
    }
    let port = if shared.settings.net {
        shared.lock().ports.take(TEMPLATE)
    } else {
        None
    };
    let port = port.ok_or(CloneError::NoNetwork)?;
    let made = boot_and_save(handle, settings, port).await;
    shared.lock().ports.release(port);
    made
}

async fn boot_and_save(
    handle: &Handle,
    settings: &Clones,
    port: u16,
) -> Result<Template, CloneError> {
    let shared = &handle.shared;
    let folder = shared.folder.new_template();
    if folder.exists() {
        // One that was not completed.
        fs::remove_dir_all(&folder).map_err(FleetError::io("remove", &folder))?;
    }
    spawn::prepare(&folder)?;
    let disk = folder.join("disk.qcow2");
    shared.overlays.create(&disk).map_err(FleetError::from)?;
    let memory = Memory::create(
        &shared.folder.template_memory(),
        &settings.memory_folder,
        shared.settings.memory_mib,
    )?;
    let instance = Instance {
        id: TEMPLATE,
        seed: identity::seed().map_err(FleetError::io("read", Path::new("/dev/urandom")))?,
        node: None,
        port: Some(port),
        part: Part::Template(memory.file().to_owned()),
    };
    let mut child = spawn::spawn(shared, &folder, &instance, Vec::new(), Stdio::null())?;
    let saved = tokio::select! {
        status = child.wait() => {
            // The loader powers off after its reason.
            let why = last_sign(&folder.join("console.log"));
            Err(CloneError::Ended(why.unwrap_or_else(|| spawn::ending(&folder, status))))
        }
        saved = save(handle, settings, port, &folder) => saved,
    };
    let way = match saved {
        Ok((way, client)) => {
            quit(&mut child, &client).await;
            way
        }
        Err(error) => {
            // It may have ended already.
            let _ = child.kill().await;
            return Err(error);
        }
    };
    let state = complete(&folder)?;
    read_only(&disk)?;
    Ok(Template {
        overlays: OverlayBuilder::new(&disk).map_err(FleetError::from)?,
        memory,
        state,
        way,
    })
}

/// Waits until the template is up, and saves its state.
async fn save(
    handle: &Handle,
    settings: &Clones,
    port: u16,
    folder: &Path,
) -> Result<(Way, Client), CloneError> {
    wait_until_up(handle, folder).await?;
    handle.hold(Some("the template of the clones is being saved".to_owned()));
    clones::warm(port, &identity::serial(TEMPLATE)).await?;
    tokio::time::sleep(Duration::from_secs(settings.settle_seconds.into())).await;
    let stream = spawn::connect(folder).await;
    let stream = stream.ok_or_else(|| CloneError::Ended("QEMU cannot be asked".to_owned()))?;
    let (client, work) = qmp::client(stream, |_| {});
    // It ends with QEMU.
    tokio::spawn(work);
    let way = clones::save(&client, NEW_STATE).await?;
    Ok((way, client))
}

async fn wait_until_up(handle: &Handle, folder: &Path) -> Result<(), CloneError> {
    let console = folder.join("console.log");
    let up_line = handle.settings().up_line.as_deref();
    let mut tail = Tail::default();
    let mut buffer = vec![0; 16 << 10];
    let begun = Instant::now();
    loop {
        let mut outcome = None;
        tail.read(&console, &mut buffer, |line| {
            let sign = sign::recognise(line, up_line);
            outcome = outcome.take().or(match sign {
                Some(Sign::Up { .. }) => Some(Ok(())),
                Some(Sign::Fatal(why)) => Some(Err(format!("fatal: {why}"))),
                Some(Sign::Panic(why)) => Some(Err(format!("kernel panic: {why}"))),
                _ => None,
            });
        })
        .map_err(FleetError::io("read", &console))?;
        if outcome.is_none() && begun.elapsed() > BOOT {
            outcome = Some(Err(format!("it took longer than {} s", BOOT.as_secs())));
        }
        match outcome {
            Some(Ok(())) => return Ok(()),
            Some(Err(text)) => return Err(CloneError::Boot { text, console }),
            None => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Returns the fatal line of the loader, or the kernel's panic, in the console's log.
fn last_sign(console: &Path) -> Option<String> {
    let text = fs::read(console).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut signs = text.lines().filter_map(|line| sign::recognise(line, None));
    signs.find_map(|sign| match sign {
        Sign::Fatal(why) => Some(format!("the template did not come up: fatal: {why}")),
        Sign::Panic(why) => Some(format!("the template did not come up: kernel panic: {why}")),
        _ => None,
    })
}

async fn quit(child: &mut Child, client: &Client) {
    let quit = async {
        // QEMU may end before it has answered.
        let _ = client.execute("quit", None).await;
        child.wait().await
    };
    if tokio::time::timeout(QUIT, quit).await.is_err() {
        // Its disk is complete: the machine is stopped.
        let _ = child.kill().await;
    }
}

/// Makes the state smaller, and gives it its name.
fn complete(folder: &Path) -> Result<PathBuf, FleetError> {
    let new = folder.join(NEW_STATE);
    let state = fs::read(&new).map_err(FleetError::io("read", &new))?;
    match clones::strip(&state) {
        Some(stripped) => {
            fs::write(&new, &stripped.state).map_err(FleetError::io("write", &new))?;
        }
        None => eprintln!(
            "the template's state has parts that are not known, and is kept whole; clones take longer to start"
        ),
    }
    read_only(&new)?;
    let path = folder.join(TEMPLATE_STATE);
    fs::rename(&new, &path).map_err(FleetError::io("write", &path))?;
    Ok(path)
}

fn read_only(path: &Path) -> Result<(), FleetError> {
    let permissions = Permissions::from_mode(0o444);
    fs::set_permissions(path, permissions).map_err(FleetError::io("protect", path))
}
