// SPDX-License-Identifier: MIT OR Apache-2.0

//! A client of QEMU's machine protocol (QMP): a JSON object a line, answers in the order of the
//! commands, events in between.
//!
//! The crate `qapi` has the types of one QEMU version's whole schema, and two buffers of 8 KiB for
//! each connection. A fleet uses a few commands, some of them experimental, which no schema
//! promises, over thousands of connections that are idle most of the time.

use std::collections::VecDeque;
use std::io;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use crate::watch::MachineEvent;

/// The longest answer that is accepted, in bytes.
const LONGEST: usize = 4 << 20;

/// The error of a command when QEMU has ended.
pub(crate) const ENDED: &str = "QEMU has ended";

/// Sends commands to one QEMU.
#[derive(Clone, Debug)]
pub struct Client {
    calls: mpsc::UnboundedSender<Call>,
}

#[derive(Debug)]
struct Call {
    line: String,
    answer: oneshot::Sender<Result<Value, String>>,
}

impl Client {
    /// Executes `command` and returns its result.
    ///
    /// # Errors
    /// QEMU's description of the error, or that QEMU has ended.
    pub async fn execute(&self, command: &str, arguments: Option<Value>) -> Result<Value, String> {
        let (answer, answered) = oneshot::channel();
        let line = command_line(command, arguments);
        let ended = || ENDED.to_owned();
        self.calls
            .send(Call { line, answer })
            .map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

/// Returns a client of the QEMU at the other end of `stream`, and the work of the connection, which
/// calls `on_event` with the events of the machine and ends with the connection.
pub fn client(
    stream: UnixStream,
    on_event: impl FnMut(MachineEvent),
) -> (Client, impl Future<Output = io::Result<()>>) {
    let (calls, receiver) = mpsc::unbounded_channel();
    (Client { calls }, run(stream, receiver, on_event))
}

async fn run(
    mut stream: UnixStream,
    mut calls: mpsc::UnboundedReceiver<Call>,
    mut on_event: impl FnMut(MachineEvent),
) -> io::Result<()> {
    let mut received = Vec::new();
    // QEMU greets first, and takes other commands only after this one.
    let mut greeted = false;
    let mut waiting: VecDeque<Option<oneshot::Sender<_>>> = VecDeque::from([None]);
    loop {
        tokio::select! {
            // A small buffer: thousands of these connections are idle most of the time.
            ready = stream.readable() => {
                ready?;
                let mut buffer = [0; 2048];
                match stream.try_read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(count) => received.extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    Err(error) => return Err(error),
                }
            }
            Some(call) = calls.recv(), if greeted => {
                waiting.push_back(Some(call.answer));
                stream.write_all(call.line.as_bytes()).await?;
                continue;
            }
        }
        if received.len() > LONGEST {
            return Err(io::Error::other("an answer of QEMU has no end"));
        }
        let mut start = 0;
        while let Some(length) = received[start..].iter().position(|byte| *byte == b'\n') {
            let message = serde_json::from_slice::<Value>(&received[start..start + length])?;
            start += length + 1;
            if message.get("QMP").is_some() {
                let line = command_line("qmp_capabilities", None);
                stream.write_all(line.as_bytes()).await?;
                greeted = true;
            } else if let Some(name) = message.get("event").and_then(Value::as_str) {
                if let Some(event) = machine_event(name, &message["data"]) {
                    on_event(event);
                }
            } else if let Some(Some(answer)) = waiting.pop_front() {
                // Whoever asked may have given up.
                let _ = answer.send(result(message));
            }
        }
        received.drain(..start);
        if received.is_empty() {
            received = Vec::new();
        }
    }
}

fn command_line(command: &str, arguments: Option<Value>) -> String {
    let mut message = json!({ "execute": command });
    if let Some(arguments) = arguments {
        message["arguments"] = arguments;
    }
    format!("{message}\n")
}

fn result(mut message: Value) -> Result<Value, String> {
    match message.get_mut("return") {
        Some(value) => Ok(value.take()),
        None => Err(message["error"]["desc"]
            .as_str()
            .map_or_else(|| message.to_string(), str::to_owned)),
    }
}

fn machine_event(name: &str, data: &Value) -> Option<MachineEvent> {
    let text = |field: &str| data[field].as_str().unwrap_or("unknown").to_owned();
    Some(match name {
        "RESET" => MachineEvent::Reset {
            by_guest: data["guest"].as_bool().unwrap_or_default(),
        },
        "SHUTDOWN" => MachineEvent::Shutdown(text("reason")),
        "GUEST_PANICKED" => MachineEvent::Panicked,
        "STOP" => MachineEvent::Paused,
        "RESUME" => MachineEvent::Resumed,
        "BLOCK_IO_ERROR" => MachineEvent::DiskError(text("reason")),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, BufReader};

    use super::*;

    /// Plays QEMU: checks what is asked, in turn, and answers.
    async fn qemu(stream: UnixStream, scenes: &[(&str, &str)]) {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"{\"QMP\": {}}\r\n").await.unwrap();
        for (expected, answer) in scenes {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let line: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(line["execute"], *expected);
            // In two pieces, as a socket may deliver it.
            let (one, other) = answer.split_at(answer.len() / 2);
            stream.write_all(one.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
            stream
                .write_all(format!("{other}\r\n").as_bytes())
                .await
                .unwrap();
        }
    }

    #[test]
    fn commands_events_and_errors() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let mut events = Vec::new();
            let (client, work) = client(ours, |event| events.push(event));
            let asking = async {
                let status = client.execute("query-status", None).await.unwrap();
                assert_eq!(status["running"], true);
                let error = client.execute("cont", Some(json!({"x": 1}))).await;
                assert_eq!(error.unwrap_err(), "not now");
            };
            let event = "{\"event\": \"RESET\", \"data\": {\"guest\": true}}";
            let answer = format!("{event}\n{{\"return\": {{\"running\": true}}}}");
            let scenes = [
                ("qmp_capabilities", "{\"return\": {}}"),
                ("query-status", answer.as_str()),
                (
                    "cont",
                    "{\"error\": {\"class\": \"X\", \"desc\": \"not now\"}}",
                ),
            ];
            let ((), (), ended) = tokio::join!(asking, qemu(theirs, &scenes), work);
            ended.unwrap();
            assert_eq!(events, [MachineEvent::Reset { by_guest: true }]);
        });
    }
}
