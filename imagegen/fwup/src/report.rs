// SPDX-License-Identifier: MIT OR Apache-2.0

//! What fwup prints while it applies an archive, byte for byte as far as scripts look at it, and its framing.
//!
//! With framing, each message is a number of 32 bits with the length of what follows, all big-endian: two letters, a code
//! of 16 bits, and the text. The letters are OK, ER (an error), WN (a task's message) and PR (the code is a percentage).

use std::cell::Cell;
use std::fmt::Display;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::Instant;

use super::apply::Observer;

/// The width of the progress bar.
const BAR: usize = 36;

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A bar.
    #[default]
    Normal,
    /// A percentage a line (`-n`).
    Numeric,
    /// Not at all (`-q`).
    Quiet,
    /// As messages with a frame (`-F`).
    Framed,
    /// Not at all, and all else in frames (`-F -q`).
    FramedQuiet,
}

/// Prints as fwup does.
pub struct Reporter<W> {
    out: W,
    mode: Mode,
    low: u8,
    high: u8,
    last: Option<u8>,
    started: Option<Instant>,
    /// How many bytes of the archive were read.
    read: Rc<Cell<u64>>,
    written: u64,
    total: u64,
}

impl<W: Write> Reporter<W> {
    /// Prints to `out`; progress goes from `low` to `high`, usually 0 and 100.
    pub fn new(out: W, mode: Mode, low: u8, high: u8) -> Self {
        Self {
            out,
            mode,
            low,
            high: high.max(low),
            last: None,
            started: None,
            read: Rc::default(),
            written: 0,
            total: 0,
        }
    }

    /// Passes an archive on, and counts its bytes for the progress bar.
    pub fn counted<R: Read>(&self, input: R) -> Counted<R> {
        Counted {
            input,
            count: Rc::clone(&self.read),
        }
    }

    /// Shows that it begins.
    pub fn start(&mut self) {
        self.percent(self.low);
    }

    /// Shows that all is done.
    pub fn success(&mut self) {
        self.percent(self.high);
        match self.mode {
            Mode::Normal => {
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
            Mode::Framed | Mode::FramedQuiet => self.frame(*b"OK", 0, ""),
            Mode::Numeric | Mode::Quiet => {}
        }
    }

    /// Shows what a command has to say: all of it in one frame where there are frames.
    pub fn text(&mut self, text: &str) {
        match self.mode {
            Mode::Framed | Mode::FramedQuiet => self.frame(*b"OK", 0, text),
            _ => self.print(text),
        }
    }

    /// Shows an error.
    pub fn error(&mut self, error: &dyn Display) {
        self.message(*b"ER", &error.to_string());
    }

    fn message(&mut self, kind: [u8; 2], text: &str) {
        match self.mode {
            Mode::Framed | Mode::FramedQuiet => self.frame(kind, 0, text),
            // The bar is wiped away first.
            Mode::Normal => self.print(&format!("\r\x1b[Kfwup: {text}\n")),
            Mode::Numeric | Mode::Quiet => self.print(&format!("fwup: {text}\n")),
        }
    }

    fn percent(&mut self, percent: u8) {
        if self.last.is_some_and(|last| percent <= last) {
            return;
        }
        self.last = Some(percent);
        match self.mode {
            Mode::Normal => {
                let bar = "=".repeat(usize::from(percent) * BAR / 100);
                let mut text = format!("\r{percent:3}% [{bar:BAR$}]");
                if self.total > 0 {
                    let (read, written) = (amount(self.read.get()), amount(self.written));
                    // The end of a longer text before is wiped away.
                    text += &format!(" {read} in / {written} out     \x08\x08\x08\x08\x08");
                }
                self.print(&text);
            }
            Mode::Numeric => self.print(&format!("{percent}\n")),
            Mode::Framed => self.frame(*b"PR", u16::from(percent), ""),
            Mode::Quiet | Mode::FramedQuiet => {}
        }
    }

    /// Who reads this may have gone; the work goes on.
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
        // The last step is for when all is on the disk. Below 256.
        let part = u128::from(done) * u128::from(range) / u128::from(total);
        let part = (part as u64).min(range.saturating_sub(1)) as u8;
        self.percent(self.low + part);
    }

    fn info(&mut self, message: &str) {
        self.message(*b"WN", message);
    }
}

/// An amount of bytes with the unit that suits it.
pub(super) fn amount(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1_000 => (1, "bytes"),
        1_000..1_000_000 => (1_000, "KB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        _ => (1_000_000_000, "GB"),
    };
    format!("{:.2} {name}", bytes as f64 / f64::from(unit))
}

/// An input whose bytes are counted.
pub struct Counted<R> {
    input: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(out)?;
        self.count.set(self.count.get() + length as u64);
        Ok(length)
    }
}

/// An input with frames: each a length of 32 bits, big-endian, and as many bytes. A length of zero ends it.
pub struct Framed<R> {
    input: R,
    left: u64,
    has_ended: bool,
}

impl<R: Read> Framed<R> {
    /// Reads what is in the frames.
    pub fn new(input: R) -> Self {
        Self {
            input,
            left: 0,
            has_ended: false,
        }
    }
}

impl<R: Read> Read for Framed<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.has_ended || out.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            let mut length = [0; 4];
            self.input
                .read_exact(&mut length)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => io::Error::new(
                        error.kind(),
                        "the input ends without a frame of length zero",
                    ),
                    _ => error,
                })?;
            self.left = u64::from(u32::from_be_bytes(length));
            if self.left == 0 {
                self.has_ended = true;
                return Ok(0);
            }
        }
        let length = self.input.by_ref().take(self.left).read(out)?;
        if length == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the input ends {} bytes before its frame does", self.left),
            ));
        }
        self.left -= length as u64;
        Ok(length)
    }
}

/// The end of a run with `--exit-handshake`: says so, and waits until the other side closes the input, so that it never
/// loses what was printed last.
///
/// # Errors
///
/// When the output cannot be written.
pub fn handshake(status: u8, mut out: impl Write, mut input: impl Read) -> io::Result<()> {
    out.write_all(&[0x1a, status])?;
    out.flush()?;
    let mut rest = [0; 4096];
    loop {
        match input.read(&mut rest) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Ok(()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(mode: Mode, low: u8, high: u8) -> Vec<u8> {
        let mut out = Vec::new();
        let mut reporter = Reporter::new(&mut out, mode, low, high);
        let mut archive = reporter.counted(&[0; 1234][..]);
        reporter.start();
        archive.read_exact(&mut [0; 1234]).unwrap();
        reporter.info("hello");
        for done in [0, 1, 500, 500, 1000] {
            reporter.progress(done, 1000);
        }
        // The time is not the same twice.
        reporter.started = None;
        reporter.success();
        out
    }

    #[test]
    fn progress_is_shown_as_fwup_shows_it() {
        assert_eq!(report(Mode::Quiet, 0, 100), b"fwup: hello\n");
        assert_eq!(
            String::from_utf8(report(Mode::Numeric, 0, 100)).unwrap(),
            "0\nfwup: hello\n50\n99\n100\n"
        );
        assert_eq!(
            String::from_utf8(report(Mode::Numeric, 20, 40)).unwrap(),
            "20\nfwup: hello\n30\n39\n40\n"
        );
        assert_eq!(
            String::from_utf8(report(Mode::Normal, 0, 100)).unwrap(),
            "\r  0% [                                    ]\
             \r\x1b[Kfwup: hello\n\
             \r 50% [==================                  ] 1.23 KB in / 500.00 bytes out     \x08\x08\x08\x08\x08\
             \r 99% [=================================== ] 1.23 KB in / 1.00 KB out     \x08\x08\x08\x08\x08\
             \r100% [====================================] 1.23 KB in / 1.00 KB out     \x08\x08\x08\x08\x08\
             \nSuccess!\n"
        );
        assert_eq!(
            report(Mode::Framed, 0, 100),
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
        assert_eq!(show(Mode::Quiet), "fwup: no\n");
        assert_eq!(show(Mode::Numeric), "fwup: no\n");
        assert_eq!(show(Mode::Normal), "\r\x1b[Kfwup: no\n");
        assert_eq!(show(Mode::Framed), "\0\0\0\x06ER\0\0no");
    }

    #[test]
    fn framed_input_is_read_until_the_frame_of_length_zero() {
        let mut bytes = Vec::new();
        let input = b"\0\0\0\x02ab\0\0\0\x01c\0\0\0\0rest";
        Framed::new(&input[..]).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"abc");
        let error = Framed::new(&input[..13])
            .read_to_end(&mut Vec::new())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the input ends without a frame of length zero"
        );
        for cut in 0..input.len() - "rest".len() {
            assert!(
                Framed::new(&input[..cut])
                    .read_to_end(&mut Vec::new())
                    .is_err(),
                "{cut}"
            );
        }
    }

    #[test]
    fn a_handshake_waits_for_the_end_of_the_input() {
        let mut out = Vec::new();
        let mut input = &[0; 10_000][..];
        handshake(1, &mut out, &mut input).unwrap();
        assert_eq!((out, input.len()), (vec![0x1a, 1], 0));
    }
}
