// SPDX-License-Identifier: MIT OR Apache-2.0

//! The protocol of the supervisor's socket: a request in JSON, a line; a response, a line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::FleetError;
use crate::folder::Folder;
use crate::model::{Starting, Status, Update};
use crate::update::plan::Plan;

/// What a supervisor can be asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// The state of the fleet; answered by [`Response::Status`].
    Status,
    /// How far guests are that are being started; answered by [`Response::Starting`].
    Starting {
        /// The first of them.
        first: u32,
        /// The last.
        last: u32,
    },
    /// Start more guests; answered by [`Response::Started`] at once.
    Start(StartRequest),
    /// Stop guests; answered by [`Response::Done`] when their QEMU has ended.
    Stop {
        /// The guests; without any: all, and the supervisor ends too.
        guests: Vec<u32>,
    },
    /// Start guests again that have ended, or stop and start them; answered by [`Response::Done`].
    Restart {
        /// The guests; without any: all.
        guests: Vec<u32>,
    },
    /// Reset guests, as their reset button would; answered by [`Response::Done`].
    Reset {
        /// The guests; without any: all that run.
        guests: Vec<u32>,
    },
    /// Update guests; answered by [`Response::Done`] once the update has begun.
    Update(Plan),
    /// Begin with no further guest of the update that is under way; answered by [`Response::Done`].
    StopUpdate,
    /// The progress of the update alone; answered by [`Response::Update`].
    UpdateStatus,
    /// Execute a command of QMP; answered by [`Response::Value`].
    Qmp {
        /// The guest.
        guest: u32,
        /// The command.
        command: String,
        /// Its arguments.
        arguments: Option<Value>,
    },
}

/// The guests to start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartRequest {
    /// How many.
    pub count: u32,
    /// How many at once.
    pub chunk: u32,
    /// The seconds between the chunks.
    pub delay: f64,
    /// Whether to end when the memory is full, and count that as a success.
    pub fill: bool,
    /// The memory that all guests may take, in MiB; without it, what the reserve leaves.
    pub limit_mib: Option<u64>,
}

/// A supervisor's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "kebab-case")]
pub enum Response {
    /// The state of the fleet.
    Status(Box<Status>),
    /// How far guests are that are being started.
    Starting(Starting),
    /// The numbers of the guests that will be started.
    Started {
        /// The first.
        first: u32,
        /// The last.
        last: u32,
    },
    /// It is done.
    Done {
        /// For how many guests.
        guests: u32,
    },
    /// The progress of an update.
    Update {
        /// The update that is under way, or the last one.
        update: Option<Update>,
    },
    /// The result of a QMP command.
    Value {
        /// The result.
        value: Value,
    },
    /// It was not done.
    Error {
        /// Why.
        text: String,
    },
}

/// A connection to a supervisor.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    folder: Folder,
}

impl Client {
    /// Connects to the supervisor of `folder`.
    ///
    /// # Errors
    /// [`FleetError::NoSupervisor`].
    pub fn connect(folder: &Folder) -> Result<Self, FleetError> {
        let stream = folder
            .with_control_socket(|path| UnixStream::connect(path))
            .map_err(|_| folder.no_supervisor())?;
        Ok(Self {
            stream: BufReader::new(stream),
            folder: folder.clone(),
        })
    }

    /// Sends `request` and waits for the response.
    ///
    /// # Errors
    /// When the connection ends, or the supervisor's response is an error.
    pub fn ask(&mut self, request: &Request) -> Result<Response, FleetError> {
        let broken = |error: std::io::Error| FleetError::Io {
            action: "talk to the supervisor of",
            path: self.folder.root().to_owned(),
            source: error,
        };
        let line = serde_json::to_string(request).map_err(|error| broken(error.into()))?;
        let mut answer = String::new();
        self.stream
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .and_then(|()| self.stream.read_line(&mut answer))
            .map_err(broken)?;
        if answer.is_empty() {
            return Err(FleetError::Refused(format!(
                "the supervisor of {} has ended; its last words are in {}",
                self.folder.root().display(),
                self.folder.log().display()
            )));
        }
        match serde_json::from_str(&answer).map_err(|error| broken(error.into()))? {
            Response::Error { text } => Err(FleetError::Refused(text)),
            response => Ok(response),
        }
    }

    /// Asks for the state of the fleet.
    ///
    /// # Errors
    /// Those of [`Self::ask`].
    pub fn status(&mut self) -> Result<Status, FleetError> {
        match self.ask(&Request::Status)? {
            Response::Status(status) => Ok(*status),
            other => Err(not_the("status", &other)),
        }
    }

    /// Asks how far the guests from `first` to `last` are. Unlike the whole status, the answer is as
    /// short for thousands of guests as for one.
    ///
    /// # Errors
    /// Those of [`Self::ask`].
    pub fn starting(&mut self, first: u32, last: u32) -> Result<Starting, FleetError> {
        match self.ask(&Request::Starting { first, last })? {
            Response::Starting(starting) => Ok(starting),
            other => Err(not_the("progress", &other)),
        }
    }

    /// Asks for the progress of the update that is under way, or the last one. Unlike the whole
    /// status, it is as short for thousands of guests as for one.
    ///
    /// # Errors
    /// Those of [`Self::ask`].
    pub fn update(&mut self) -> Result<Option<Update>, FleetError> {
        match self.ask(&Request::UpdateStatus)? {
            Response::Update { update } => Ok(update),
            other => Err(not_the("update", &other)),
        }
    }
}

fn not_the(what: &str, response: &Response) -> FleetError {
    FleetError::Refused(format!(
        "the supervisor answered something else than its {what}: {response:?}; is it of another version?"
    ))
}
