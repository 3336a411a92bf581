// SPDX-License-Identifier: MIT OR Apache-2.0

//! The part of QEMU's command line that matters here.

use std::path::PathBuf;

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// The guest's serial number.
    pub(crate) serial: String,
    /// The guest's host name.
    pub(crate) host: String,
    /// The socket for QMP.
    pub(crate) qmp: PathBuf,
    /// The console's socket and log.
    pub(crate) console: PathBuf,
    pub(crate) log: PathBuf,
    /// The disk, which has to exist.
    pub(crate) disk: PathBuf,
    /// The file with the RAM.
    pub(crate) memory: Option<PathBuf>,
    /// Whether it waits for the state of another machine.
    pub(crate) incoming: bool,
    /// The port that leads to the agent.
    pub(crate) port: Option<u16>,
}

impl Options {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(word) = words.next() {
            if word == "-nodefaults" || word == "-no-user-config" {
                continue;
            }
            let value = words
                .next()
                .ok_or_else(|| format!("{word} needs a value"))?;
            let field = |name: &str| {
                let mut fields = value.split(',');
                fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
            };
            match word.as_str() {
                "-fw_cfg" => {
                    let text = field("string").unwrap_or_default().to_owned();
                    match field("name").unwrap_or_default() {
                        "opt/org.little-loader.guest/serial" => options.serial = text,
                        "opt/org.little-loader.guest/hostname" => options.host = text,
                        _ => {}
                    }
                }
                "-qmp" => {
                    let path = value.trim_start_matches("unix:").split(',').next();
                    options.qmp = path.unwrap_or_default().into();
                }
                "-chardev" => {
                    options.console = field("path").unwrap_or_default().into();
                    options.log = field("logfile").unwrap_or_default().into();
                }
                "-object" => options.memory = field("mem-path").map(PathBuf::from),
                "-incoming" => options.incoming = value == "defer",
                "-drive" => options.disk = field("file").unwrap_or_default().into(),
                "-netdev" => {
                    let forward = field("hostfwd").unwrap_or_default();
                    let port = forward
                        .split(':')
                        .nth(2)
                        .and_then(|rest| rest.split('-').next());
                    options.port = port.and_then(|port| port.parse().ok());
                }
                _ if word.starts_with('-') => {}
                _ => return Err(format!("{word} is not an option")),
            }
        }
        if !options.disk.exists() {
            return Err(format!("could not open '{}'", options.disk.display()));
        }
        if let Some(memory) = options.memory.as_ref().filter(|_| options.incoming)
            && !memory.exists()
        {
            return Err(format!("can't open backing store {}", memory.display()));
        }
        Ok(options)
    }

    /// Returns the guest's number.
    pub(crate) fn id(&self) -> u32 {
        self.serial
            .trim_start_matches("LL")
            .parse()
            .unwrap_or_default()
    }
}
