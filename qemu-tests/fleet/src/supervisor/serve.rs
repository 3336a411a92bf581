// SPDX-License-Identifier: MIT OR Apache-2.0

//! Answers requests on the supervisor's socket.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::handle::Handle;
use crate::control::{Request, Response};
use crate::error::FleetError;
use crate::folder::Folder;
use crate::update;

/// The longest request, in bytes.
const LONGEST: u64 = 1 << 20;

/// Listens on the socket of `folder`, whose lock this process has. Call it within the runtime.
pub(super) fn listen(folder: &Folder) -> Result<UnixListener, FleetError> {
    let path = folder.root().join("supervisor.sock");
    let bound = folder.with_control_socket(|path| {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        UnixListener::bind(path)
    });
    bound.map_err(FleetError::io("listen on", &path))
}

/// Answers everyone who connects.
pub(super) async fn serve(listener: UnixListener, handle: Handle) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let handle = handle.clone();
                tokio::spawn(async move {
                    // Whoever asked is gone.
                    let _ = converse(stream, &handle).await;
                });
            }
            // Out of descriptors: others may be closed soon.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}

async fn converse(stream: UnixStream, handle: &Handle) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        if (&mut reader).take(LONGEST).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let response = match serde_json::from_str(&line) {
            Ok(request) => answer(handle, request).await,
            Err(error) => Err(FleetError::Refused(format!(
                "the supervisor does not understand the request {}: {error}; is it of another version?",
                line.trim()
            ))),
        };
        let response = response.unwrap_or_else(|error| Response::Error {
            text: error.to_string(),
        });
        let mut text = serde_json::to_vec(&response)?;
        text.push(b'\n');
        writer.write_all(&text).await?;
    }
}

async fn answer(handle: &Handle, request: Request) -> Result<Response, FleetError> {
    match request {
        Request::Status => Ok(Response::Status(Box::new(handle.status()))),
        Request::Starting { first, last } => Ok(Response::Starting(handle.starting(first, last))),
        Request::Start(request) => {
            let (first, last) = handle.start(request)?;
            Ok(Response::Started { first, last })
        }
        Request::Stop { guests } if guests.is_empty() => {
            let running = handle.status().guests;
            let running = running.iter().filter(|guest| guest.pid.is_some()).count();
            handle.stop_all().await;
            handle.end();
            Ok(Response::Done {
                guests: u32::try_from(running).unwrap_or(u32::MAX),
            })
        }
        Request::Stop { guests } => {
            let each = async |handle: Handle, id| handle.stop(id).await;
            for_each(handle, guests, each).await
        }
        Request::Restart { guests } => {
            let guests = if guests.is_empty() {
                handle.ids()
            } else {
                guests
            };
            let each = async |handle: Handle, id| handle.restart(id).await;
            for_each(handle, guests, each).await
        }
        Request::Reset { guests } => {
            let guests = if guests.is_empty() {
                running(handle)
            } else {
                guests
            };
            let each = async |handle: Handle, id| handle.reset(id).await;
            for_each(handle, guests, each).await
        }
        Request::Update(plan) => {
            let guests = update::begin(handle, plan).await?;
            Ok(Response::Done { guests })
        }
        Request::StopUpdate => {
            let guests = handle.stop_update();
            Ok(Response::Done { guests })
        }
        Request::UpdateStatus => Ok(Response::Update {
            update: handle.update(),
        }),
        Request::Qmp {
            guest,
            command,
            arguments,
        } => {
            let value = handle.qmp(guest, &command, arguments).await?;
            Ok(Response::Value { value })
        }
    }
}

fn running(handle: &Handle) -> Vec<u32> {
    let guests = handle.status().guests.into_iter();
    guests
        .filter(|guest| guest.pid.is_some())
        .map(|guest| guest.id)
        .collect()
}

/// Does something with several guests at the same time, after all of them were found to exist.
async fn for_each<F>(
    handle: &Handle,
    guests: Vec<u32>,
    each: impl Fn(Handle, u32) -> F,
) -> Result<Response, FleetError>
where
    F: Future<Output = Result<(), FleetError>> + Send + 'static,
{
    for id in &guests {
        handle.guest(*id)?;
    }
    let count = u32::try_from(guests.len()).unwrap_or(u32::MAX);
    let mut tasks = JoinSet::new();
    for id in guests {
        tasks.spawn(each(handle.clone(), id));
    }
    let mut first = Ok(());
    while let Some(done) = tasks.join_next().await {
        first = first.and(done.unwrap_or_else(|error| Err(FleetError::Refused(error.to_string()))));
    }
    first.map(|()| Response::Done { guests: count })
}
