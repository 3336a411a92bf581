// SPDX-License-Identifier: MIT OR Apache-2.0

//! Saves the machine, and continues from what was saved.

use std::fs;
use std::io::{self, Read as _};
use std::process::Command;

use serde_json::{Value, json};

use crate::boot::Behaviour;
use crate::options::Options;

/// The first word of a saved state.
const MAGIC: &str = "fake-state";

/// Who the guest thinks it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) serial: String,
    pub(crate) host: String,
}

impl Identity {
    /// Returns the identity that the machine gives to its guest.
    pub(crate) fn given(options: &Options) -> Self {
        Self {
            serial: options.serial.clone(),
            host: options.host.clone(),
        }
    }
}

/// Whether the machine runs, and its migration.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// As `query-status` names it.
    pub(crate) status: &'static str,
    pub(crate) identity: Identity,
    ignores_shared: bool,
    migration: &'static str,
}

impl Run {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            status: if options.incoming {
                "inmigrate"
            } else {
                "running"
            },
            identity: Identity::given(options),
            ignores_shared: false,
            migration: "none",
        }
    }

    /// Executes a command; the inner error is what QEMU answers, the outer one its end. Commands of
    /// other modules are `None`.
    pub(crate) fn execute(
        &mut self,
        name: &str,
        arguments: &Value,
        behaviour: Behaviour,
    ) -> io::Result<Option<Result<Value, String>>> {
        let uri = arguments["uri"].as_str().unwrap_or_default();
        let result = match name {
            "query-version" => Ok(json!({"qemu": {"major": 7, "minor": 2, "micro": 0}})),
            "query-migrate" => Ok(json!({"status": self.migration})),
            "query-status" => {
                Ok(json!({"status": self.status, "running": self.status == "running"}))
            }
            "stop" => {
                self.status = "paused";
                Ok(json!({}))
            }
            "cont" if self.status == "inmigrate" => Err("Expecting an incoming migration".into()),
            "cont" => {
                self.status = "running";
                Ok(json!({}))
            }
            "migrate-set-capabilities" if behaviour == Behaviour::Old => {
                Err("Parameter 'capability' does not accept value 'x-ignore-shared'".into())
            }
            "migrate-set-capabilities" => {
                let capability = &arguments["capabilities"][0];
                self.ignores_shared =
                    capability["capability"] == "x-ignore-shared" && capability["state"] == true;
                Ok(json!({}))
            }
            "migrate" => self.save(uri, behaviour)?,
            "migrate-incoming" => self.load(uri, behaviour)?,
            _ => return Ok(None),
        };
        Ok(Some(result))
    }

    fn save(&mut self, uri: &str, behaviour: Behaviour) -> io::Result<Result<Value, String>> {
        let Some(command) = uri.strip_prefix("exec:") else {
            return Ok(Err(format!("unknown migration protocol: {uri}")));
        };
        if self.status != "paused" || !self.ignores_shared {
            return Ok(Err("only a stopped machine, without its RAM".into()));
        }
        let Identity { serial, host } = &self.identity;
        fs::write("fake-saved", format!("{MAGIC} {serial} {host}\n"))?;
        let status = Command::new("sh")
            .args(["-c", command])
            .stdin(fs::File::open("fake-saved")?)
            .status()?;
        self.migration = if status.success() && behaviour != Behaviour::Unsaved {
            "completed"
        } else {
            "failed"
        };
        Ok(Ok(json!({})))
    }

    fn load(&mut self, uri: &str, behaviour: Behaviour) -> io::Result<Result<Value, String>> {
        if uri != "fd:0" || self.status != "inmigrate" || !self.ignores_shared {
            return Ok(Err(format!("cannot load {uri} as {}", self.status)));
        }
        let mut state = String::new();
        io::stdin().read_to_string(&mut state)?;
        let mut words = state.split_whitespace();
        if words.next() != Some(MAGIC) || behaviour == Behaviour::Broken {
            return Err(io::Error::other("load of migration failed"));
        }
        let mut next = || words.next().unwrap_or_default().to_owned();
        self.identity = Identity {
            serial: next(),
            host: next(),
        };
        self.status = "paused";
        Ok(Ok(json!({})))
    }
}
