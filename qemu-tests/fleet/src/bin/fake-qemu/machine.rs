// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machine: one thread that waits for its sockets and the next step of its boot.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use crate::agent;
use crate::boot::{self, Behaviour, Plan, Step};
use crate::migration::{Identity, Run};
use crate::options::Options;
use crate::qmp;
use crate::slots::Slots;

/// How long the agent waits for the line of a client.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Machine<'a> {
    options: &'a Options,
    behaviour: Behaviour,
    plan: Plan,
    log: File,
    qmp: UnixListener,
    monitor: Option<UnixStream>,
    received: Vec<u8>,
    console: UnixListener,
    terminal: Option<UnixStream>,
    agent: Option<TcpListener>,
    is_up: bool,
    run: Run,
    /// The exit status, once it is known.
    ended: Option<u8>,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(options: &'a Options) -> io::Result<Self> {
        let behaviour = Behaviour::of(options);
        if behaviour == Behaviour::Exit {
            return Err(io::Error::other("this machine is told to fail"));
        }
        if let Some(memory) = options.memory.as_ref().filter(|_| !options.incoming) {
            File::create(memory)?;
        }
        let agent = options
            .port
            .map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
        let agent = agent.transpose().map_err(|error| {
            io::Error::other(format!("Could not set up host forwarding rule: {error}"))
        })?;
        Ok(Self {
            options,
            behaviour,
            plan: if options.incoming {
                Plan::new()
            } else {
                boot::plan(options, behaviour)?
            },
            log: OpenOptions::new()
                .create(true)
                .append(true)
                .open(&options.log)?,
            console: UnixListener::bind(&options.console)?,
            terminal: None,
            qmp: UnixListener::bind(&options.qmp)?,
            monitor: None,
            received: Vec::new(),
            agent,
            is_up: false,
            run: Run::new(options),
            ended: None,
        })
    }

    /// Runs until the machine is powered off or told to quit, and returns the exit status.
    pub(crate) fn run(&mut self) -> io::Result<u8> {
        loop {
            while let Some((_, step)) = self.plan.pop_front_if(|(due, _)| *due <= Instant::now()) {
                self.step(step)?;
            }
            if let Some(status) = self.ended {
                return Ok(status);
            }
            self.wait()?;
        }
    }

    fn step(&mut self, step: Step) -> io::Result<()> {
        match step {
            Step::Line(line) => {
                self.is_up |= line.starts_with("fleet: up");
                self.print(&line)
            }
            Step::Validate => {
                let mut slots = Slots::read();
                slots.trial = None;
                slots.write()?;
                self.print(&format!("fleet: validated slot={}", slots.active))
            }
            Step::Reset => self.reset(true, "guest-reset"),
            Step::PowerOff => {
                self.tell(&qmp::event("SHUTDOWN", true, "guest-shutdown"));
                self.ended = Some(0);
                Ok(())
            }
        }
    }

    /// Waits for the sockets and the next step, and serves the sockets.
    fn wait(&mut self) -> io::Result<()> {
        let sockets = [
            Some(self.qmp.as_fd()),
            Some(self.console.as_fd()),
            self.monitor.as_ref().map(UnixStream::as_fd),
            self.terminal.as_ref().map(UnixStream::as_fd),
            self.agent.as_ref().map(TcpListener::as_fd),
        ];
        let readable = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut fds: Vec<_> = sockets.into_iter().flatten().map(readable).collect();
        let until = self.plan.front().map(|(due, _)| {
            let left = due.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        poll(&mut fds, until.as_ref())?;
        let mut polled = fds.iter().map(|fd| !fd.revents().is_empty());
        let [qmp, console, monitor, terminal, agent] =
            sockets.map(|socket| socket.is_some() && polled.next() == Some(true));
        if qmp {
            let (mut stream, _) = self.qmp.accept()?;
            stream.write_all(qmp::GREETING.as_bytes())?;
            self.monitor = Some(stream);
        }
        if console {
            self.terminal = Some(self.console.accept()?.0);
        }
        if monitor {
            self.serve_monitor()?;
        }
        if terminal {
            self.serve_terminal()?;
        }
        if agent {
            self.serve_agent()?;
        }
        Ok(())
    }

    fn serve_monitor(&mut self) -> io::Result<()> {
        let Some(stream) = &mut self.monitor else {
            return Ok(());
        };
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            self.monitor = None;
            return Ok(());
        }
        self.received.extend_from_slice(&buffer[..count]);
        while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.received.drain(..=end).collect();
            let taken = self.terminal.is_some();
            let was_paused = self.run.status == "paused";
            let (answer, effect) = qmp::answer(&line, taken, &mut self.run, self.behaviour)?;
            // A machine that was saved when it was up continues like that.
            self.is_up |= was_paused && self.run.status == "running";
            self.tell(&answer);
            match effect {
                qmp::Effect::None => {}
                qmp::Effect::Quit if self.behaviour == Behaviour::Stubborn => {}
                qmp::Effect::Quit => self.ended = Some(0),
                qmp::Effect::Reset => self.reset(false, "host-qmp-system-reset")?,
            }
        }
        Ok(())
    }

    /// Echoes what is typed, as a terminal in a guest does.
    fn serve_terminal(&mut self) -> io::Result<()> {
        let Some(stream) = &mut self.terminal else {
            return Ok(());
        };
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => self.show(&buffer[..count]),
            _ => {
                self.terminal = None;
                Ok(())
            }
        }
    }

    fn serve_agent(&mut self) -> io::Result<()> {
        let Some(listener) = &self.agent else {
            return Ok(());
        };
        let (stream, _) = listener.accept()?;
        if !self.is_up {
            return Ok(());
        }
        // A client that breaks off breaks nothing else.
        let _ = self.converse(stream);
        Ok(())
    }

    fn converse(&mut self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        if line.trim_end() == "identify" && self.behaviour != Behaviour::Stranger {
            self.run.identity = Identity::given(self.options);
        }
        let answer = agent::answer(line.trim_end(), &self.run.identity)?;
        for line in &answer.console {
            self.print(line)?;
        }
        stream.write_all(answer.text.as_bytes())?;
        match answer.effect {
            agent::Effect::None => Ok(()),
            agent::Effect::Reset => self.reset(true, "guest-reset"),
            agent::Effect::PowerOff => self.step(Step::PowerOff),
        }
    }

    fn reset(&mut self, by_guest: bool, reason: &str) -> io::Result<()> {
        self.tell(&qmp::event("RESET", by_guest, reason));
        self.is_up = false;
        self.run.identity = Identity::given(self.options);
        self.behaviour = Behaviour::of(self.options);
        self.plan = boot::plan(self.options, self.behaviour)?;
        Ok(())
    }

    fn print(&mut self, line: &str) -> io::Result<()> {
        self.show(format!("{line}\r\n").as_bytes())
    }

    /// Writes to the console: its log, and whoever is attached.
    fn show(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.log.write_all(bytes)?;
        if let Some(stream) = &mut self.terminal
            && stream.write_all(bytes).is_err()
        {
            self.terminal = None;
        }
        Ok(())
    }

    /// Sends a message to the monitor's client.
    fn tell(&mut self, message: &Value) {
        if let Some(stream) = &mut self.monitor
            && stream
                .write_all(format!("{message}\r\n").as_bytes())
                .is_err()
        {
            self.monitor = None;
        }
    }
}
