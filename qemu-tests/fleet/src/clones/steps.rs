// SPDX-License-Identifier: MIT OR Apache-2.0

//! The steps by which a template is saved, and a clone continues from it.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::error::CloneError;
use crate::agent;
use crate::qmp::Client;

/// The pause between two looks at a migration.
const PAUSE: Duration = Duration::from_millis(10);
/// How long saving or loading may take; a safety net.
const MIGRATION: Duration = Duration::from_secs(120);
/// How long the agent may take to answer once. A connection that the guest has not noticed is not
/// answered at all.
const ANSWER: Duration = Duration::from_secs(30);
/// How long the agent may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(150);
/// How often the template's agent is asked before it is saved: what is loaded, translated and
/// cached by then need not be in each clone.
const WARM: u32 = 4;

/// How QEMU reads a saved state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From its standard input; newer versions refuse files there.
    Stdin,
    /// From the file, which versions before 8.2 cannot.
    File,
}

/// Has the agent of the template do what a clone's will have to.
///
/// # Errors
/// When the agent does not answer.
pub async fn warm(port: u16, serial: &str) -> Result<(), CloneError> {
    identify(port, serial).await?;
    for _ in 0..WARM {
        identify(port, serial).await?;
        agent::ask(port, "ping", ANSWER)
            .await
            .map_err(CloneError::Agent)?;
    }
    // An agent that cannot do it leaves more to the journals of its file systems.
    let _: std::io::Result<String> = agent::ask(port, "run sync", ANSWER).await;
    Ok(())
}

/// Stops the machine, and saves its state without its RAM to the file `name` in QEMU's working
/// directory. Returns how QEMU reads it.
///
/// # Errors
/// When QEMU refuses or fails.
pub async fn save(client: &Client, name: &str) -> Result<Way, CloneError> {
    let version = execute(client, "query-version", None).await?;
    let number = |part: &str| version["qemu"][part].as_u64().unwrap_or_default();
    let way = if (number("major"), number("minor")) >= (8, 2) {
        Way::File
    } else {
        Way::Stdin
    };
    execute(client, "stop", None).await?;
    ignore_shared(client).await?;
    let uri = match way {
        Way::File => format!("file:{name}"),
        Way::Stdin => format!("exec:cat > {name}"),
    };
    execute(client, "migrate", Some(json!({ "uri": uri }))).await?;
    let begun = Instant::now();
    loop {
        let state = execute(client, "query-migrate", None).await?;
        match state["status"].as_str() {
            Some("completed") => return Ok(way),
            Some("failed" | "cancelled") => {
                let why = state["error-desc"].as_str().unwrap_or("no reason given");
                return Err(CloneError::Save(why.to_owned()));
            }
            _ => wait(begun, "saving the state").await?,
        }
    }
}

/// Loads the state of a template into a machine that waits for it, and has it continue.
///
/// # Errors
/// When QEMU refuses or fails.
pub async fn load(client: &Client, way: Way, state: &Path) -> Result<(), CloneError> {
    ignore_shared(client).await?;
    let uri = match way {
        Way::File => format!("file:{}", state.display()),
        Way::Stdin => "fd:0".to_owned(),
    };
    execute(client, "migrate-incoming", Some(json!({ "uri": uri }))).await?;
    let begun = Instant::now();
    loop {
        let status = execute(client, "query-status", None).await?;
        if status["status"] != "inmigrate" {
            break;
        }
        wait(begun, "loading the state").await?;
    }
    execute(client, "cont", None).await.map(drop)
}

/// Tells the agent behind `port` to take on its identity until it answers as `serial`, and returns
/// its answer.
///
/// # Errors
/// When it does not answer, or answers as another guest.
pub async fn identify(port: u16, serial: &str) -> Result<String, CloneError> {
    let begun = Instant::now();
    let answer = loop {
        match agent::ask(port, "identify", ANSWER).await {
            Ok(answer) => break answer,
            Err(error) if begun.elapsed() > PATIENCE => return Err(CloneError::Agent(error)),
            Err(_) => tokio::time::sleep(PAUSE * 10).await,
        }
    };
    let answer = answer.trim().to_owned();
    let mut words = answer.split(' ');
    let is_own = words.next() == Some("pong")
        && words.any(|word| word.strip_prefix("serial=") == Some(serial));
    if is_own {
        return Ok(answer);
    }
    Err(CloneError::Stranger {
        serial: serial.to_owned(),
        answer,
    })
}

async fn ignore_shared(client: &Client) -> Result<(), CloneError> {
    let capability = json!({"capability": "x-ignore-shared", "state": true});
    let arguments = json!({ "capabilities": [capability] });
    execute(client, "migrate-set-capabilities", Some(arguments))
        .await
        .map(drop)
}

async fn execute(
    client: &Client,
    command: &'static str,
    arguments: Option<Value>,
) -> Result<Value, CloneError> {
    let result = client.execute(command, arguments).await;
    result.map_err(|text| CloneError::Qmp { command, text })
}

async fn wait(begun: Instant, what: &'static str) -> Result<(), CloneError> {
    if begun.elapsed() > MIGRATION {
        return Err(CloneError::Slow {
            what,
            seconds: MIGRATION.as_secs(),
        });
    }
    tokio::time::sleep(PAUSE).await;
    Ok(())
}
