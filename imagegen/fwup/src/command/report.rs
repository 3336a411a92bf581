// SPDX-License-Identifier: MIT OR Apache-2.0

//! Output during the application of an archive: byte for byte fwup's where scripts depend on it.
//!
//! With framing, each message is a 32-bit length, a two-letter kind, a 16-bit code, and the text;
//! numbers are big-endian. The kinds are OK, ER (an error), WN (a task's message) and PR (progress,
//! whose code is a percentage).

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::events::{self, MessageKind};
use super::progress_line::{line, terminal_line};
use crate::apply::{Applied, Observer};

/// The time between two bars on a terminal.
const REDRAW: Duration = Duration::from_millis(100);

/// The form of progress and messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgressMode {
    /// A bar.
    #[default]
    Normal,
    /// A percentage per line (`-n`).
    Numeric,
    /// No progress (`-q`).
    Quiet,
    /// Progress and messages in frames (`-F`).
    Framed,
    /// No progress, and everything else in frames (`-F -q`).
    FramedQuiet,
    /// A bar with the rate and the time left, for a terminal.
    Terminal,
    /// Progress and messages as JSON objects, one per line (`--json`).
    Json,
    /// No progress, and everything else as JSON objects (`--json -q`).
    JsonQuiet,
}

impl ProgressMode {
    /// Whether a program reads all output, so that nothing else may be printed.
    pub(super) fn is_for_programs(self) -> bool {
        matches!(
            self,
            Self::Framed | Self::FramedQuiet | Self::Json | Self::JsonQuiet
        )
    }

    /// Whether there is no progress.
    pub(super) fn is_quiet(self) -> bool {
        matches!(self, Self::Quiet | Self::FramedQuiet | Self::JsonQuiet)
    }
}

/// Prints progress and messages.
pub(super) struct Reporter<W> {
    out: W,
    mode: ProgressMode,
    low: u8,
    high: u8,
    last: Option<u8>,
    started: Option<Instant>,
    /// When the bar was last drawn on a terminal.
    drawn: Option<Instant>,
    /// The number of bytes of the archive read so far.
    read: Arc<AtomicU64>,
    written: u64,
    total: u64,
}

impl<W: Write> Reporter<W> {
    /// Prints to `out`; progress goes from `low` to `high` percent.
    pub(super) fn new(out: W, mode: ProgressMode, low: u8, high: u8) -> Self {
        Self {
            out,
            mode,
            low,
            high: high.max(low),
            last: None,
            started: None,
            drawn: None,
            read: Arc::default(),
            written: 0,
            total: 0,
        }
    }

    /// Wraps an archive to count the bytes read, for the progress bar.
    pub(super) fn counted<R: Read>(&self, input: R) -> CountingReader<R> {
        CountingReader {
            input,
            count: Arc::clone(&self.read),
        }
    }

    pub(super) fn start(&mut self) {
        self.percent(self.low);
    }

    pub(super) fn success(&mut self, applied: &Applied) {
        self.percent(self.high);
        match self.mode {
            ProgressMode::Normal | ProgressMode::Terminal => {
                let mut text = "\nSuccess!\n".to_owned();
                if let Some(started) = self.started {
                    let elapsed = started.elapsed();
                    let seconds = elapsed.as_secs();
                    text += &if elapsed.as_millis() > 60_000 {
                        format!("Elapsed time: {} min {:02} s\n", seconds / 60, seconds % 60)
                    } else {
                        format!("Elapsed time: {seconds}.{:03} s\n", elapsed.subsec_millis())
                    };
                }
                self.print(&text);
            }
            ProgressMode::Framed | ProgressMode::FramedQuiet => self.frame(*b"OK", 0, ""),
            ProgressMode::Json | ProgressMode::JsonQuiet => {
                self.print(&(events::done(applied) + "\n"));
            }
            ProgressMode::Numeric | ProgressMode::Quiet => {}
        }
    }

    /// Shows the result of a command, with framing as one frame.
    pub(super) fn text(&mut self, text: &str) {
        match self.mode {
            ProgressMode::Framed | ProgressMode::FramedQuiet => self.frame(*b"OK", 0, text),
            _ => self.print(text),
        }
    }

    pub(super) fn error(&mut self, error: &dyn Display) {
        self.message(MessageKind::Error, &error.to_string());
    }

    fn message(&mut self, kind: MessageKind, text: &str) {
        match self.mode {
            ProgressMode::Framed | ProgressMode::FramedQuiet => {
                let letters = match kind {
                    MessageKind::Error => *b"ER",
                    MessageKind::Info | MessageKind::Warning => *b"WN",
                };
                self.frame(letters, 0, text);
            }
            ProgressMode::Json | ProgressMode::JsonQuiet => {
                self.print(&(events::message(kind, text) + "\n"));
            }
            // This erases the bar first.
            ProgressMode::Normal | ProgressMode::Terminal => {
                self.print(&format!("\r\x1b[Kfwup: {text}\n"));
            }
            ProgressMode::Numeric | ProgressMode::Quiet => self.print(&format!("fwup: {text}\n")),
        }
    }

    fn percent(&mut self, percent: u8) {
        if self.last.is_some_and(|last| percent <= last) {
            self.redraw();
            return;
        }
        self.last = Some(percent);
        match self.mode {
            ProgressMode::Normal => {
                let text = line(
                    percent,
                    self.read.load(Ordering::Relaxed),
                    self.written,
                    self.total,
                );
                self.print(&text);
            }
            ProgressMode::Terminal => self.draw(percent),
            ProgressMode::Numeric => self.print(&format!("{percent}\n")),
            ProgressMode::Framed => self.frame(*b"PR", u16::from(percent), ""),
            ProgressMode::Json => {
                let text = events::progress(percent, self.written, self.total);
                self.print(&(text + "\n"));
            }
            ProgressMode::Quiet | ProgressMode::FramedQuiet | ProgressMode::JsonQuiet => {}
        }
    }

    /// Draws the bar on a terminal again after some time: the rate changes before the percentage.
    fn redraw(&mut self) {
        let is_due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW);
        if let (ProgressMode::Terminal, Some(last), true) = (self.mode, self.last, is_due) {
            self.draw(last);
        }
    }

    fn draw(&mut self, percent: u8) {
        let elapsed = self.started.map_or(Duration::ZERO, |start| start.elapsed());
        self.drawn = Some(Instant::now());
        self.print(&terminal_line(percent, self.written, self.total, elapsed));
    }

    /// Prints, and ignores errors: the work continues if the reader has gone.
    fn print(&mut self, text: &str) {
        let _ = self
            .out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush());
    }

    fn frame(&mut self, kind: [u8; 2], code: u16, text: &str) {
        let length = u32::try_from(text.len() + 4).unwrap_or(u32::MAX);
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend(kind);
        bytes.extend(code.to_be_bytes());
        bytes.extend(text.as_bytes());
        let _ = self.out.write_all(&bytes).and_then(|()| self.out.flush());
    }
}

impl<W: Write> Observer for Reporter<W> {
    fn progress(&mut self, done: u64, total: u64) {
        (self.written, self.total) = (done, total);
        if total == 0 {
            return;
        }
        self.started.get_or_insert_with(Instant::now);
        let range = u64::from(self.high - self.low);
        // The last percent is reserved for success, when all data is on the disk. The result is
        // below 256.
        let part = u128::from(done) * u128::from(range) / u128::from(total);
        let part = (part as u64).min(range.saturating_sub(1)) as u8;
        self.percent(self.low + part);
    }

    fn info(&mut self, message: &str) {
        self.message(MessageKind::Info, message);
    }

    fn warning(&mut self, message: &str) {
        self.message(MessageKind::Warning, message);
    }
}

/// An input that counts the bytes read.
pub(super) struct CountingReader<R> {
    input: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for CountingReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(out)?;
        self.count.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(mode: ProgressMode, low: u8, high: u8) -> Vec<u8> {
        let mut out = Vec::new();
        let mut reporter = Reporter::new(&mut out, mode, low, high);
        let mut archive = reporter.counted(&[0; 1234][..]);
        reporter.start();
        archive.read_exact(&mut [0; 1234]).unwrap();
        reporter.info("hello");
        for done in [0, 1, 500, 500, 1000] {
            reporter.progress(done, 1000);
        }
        // The elapsed time varies.
        reporter.started = None;
        reporter.success(&Applied::default());
        out
    }

    #[test]
    fn progress_is_shown_as_fwup_shows_it() {
        assert_eq!(report(ProgressMode::Quiet, 0, 100), b"fwup: hello\n");
        assert_eq!(
            String::from_utf8(report(ProgressMode::Numeric, 0, 100)).unwrap(),
            "0\nfwup: hello\n50\n99\n100\n"
        );
        assert_eq!(
            String::from_utf8(report(ProgressMode::Numeric, 20, 40)).unwrap(),
            "20\nfwup: hello\n30\n39\n40\n"
        );
        assert_eq!(
            String::from_utf8(report(ProgressMode::Normal, 0, 100)).unwrap(),
            "\r  0% [                                    ]\
             \r\x1b[Kfwup: hello\n\
             \r 50% [==================                  ] 1.23 KB in / 500.00 bytes out     \x08\x08\x08\x08\x08\
             \r 99% [=================================== ] 1.23 KB in / 1.00 KB out     \x08\x08\x08\x08\x08\
             \r100% [====================================] 1.23 KB in / 1.00 KB out     \x08\x08\x08\x08\x08\
             \nSuccess!\n"
        );
        assert_eq!(
            report(ProgressMode::Framed, 0, 100),
            b"\0\0\0\x04PR\0\0\0\0\0\x09WN\0\0hello\0\0\0\x04PR\0\x32\0\0\0\x04PR\0\x63\0\0\0\x04PR\0\x64\0\0\0\x04OK\0\0"
        );
    }

    #[test]
    fn errors_are_shown_as_fwup_shows_them() {
        let show = |mode| {
            let mut out = Vec::new();
            Reporter::new(&mut out, mode, 0, 100).error(&"no");
            String::from_utf8(out).unwrap()
        };
        assert_eq!(show(ProgressMode::Quiet), "fwup: no\n");
        assert_eq!(show(ProgressMode::Numeric), "fwup: no\n");
        assert_eq!(show(ProgressMode::Normal), "\r\x1b[Kfwup: no\n");
        assert_eq!(show(ProgressMode::Framed), "\0\0\0\x06ER\0\0no");
    }

    #[test]
    fn programs_read_a_json_object_per_line() {
        let text = |mode| String::from_utf8(report(mode, 0, 100)).unwrap();
        assert_eq!(
            text(ProgressMode::Json),
            "{\"done\":0,\"event\":\"progress\",\"percent\":0,\"total\":0}\n\
             {\"event\":\"info\",\"message\":\"hello\"}\n\
             {\"done\":500,\"event\":\"progress\",\"percent\":50,\"total\":1000}\n\
             {\"done\":1000,\"event\":\"progress\",\"percent\":99,\"total\":1000}\n\
             {\"done\":1000,\"event\":\"progress\",\"percent\":100,\"total\":1000}\n\
             {\"event\":\"done\",\"reboot_parameter\":null,\"task\":\"\"}\n"
        );
        assert_eq!(
            text(ProgressMode::JsonQuiet),
            "{\"event\":\"info\",\"message\":\"hello\"}\n\
             {\"event\":\"done\",\"reboot_parameter\":null,\"task\":\"\"}\n"
        );
    }

    #[test]
    fn a_terminal_gets_a_bar_that_is_drawn_again() {
        let text = String::from_utf8(report(ProgressMode::Terminal, 0, 100)).unwrap();
        assert!(
            text.contains(
                "\r 50% [==================                  ] 500.00 bytes of 1.00 KB\x1b[K"
            ),
            "{text:?}"
        );
        assert!(text.ends_with("\nSuccess!\n"), "{text:?}");
    }
}
