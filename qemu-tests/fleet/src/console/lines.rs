// SPDX-License-Identifier: MIT OR Apache-2.0

//! Splits the bytes of a console into lines.

/// The longest line that is looked at, in bytes; the rest of a longer one is dropped.
const LONGEST: usize = 1024;

/// Collects lines from pieces of a console's output, in bounded memory.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Adds `bytes`, and calls `line` with each line that they complete: without its end and
    /// without control sequences, with replacement characters for what is not UTF-8.
    pub fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.append(&rest[..end]);
            let whole = std::mem::take(&mut self.partial);
            line(&readable(&whole));
            rest = &rest[end + 1..];
        }
        self.append(rest);
    }

    /// Returns the line that has no end yet, such as a prompt.
    #[must_use]
    pub fn unfinished(&self) -> String {
        readable(&self.partial)
    }

    fn append(&mut self, bytes: &[u8]) {
        let room = LONGEST.saturating_sub(self.partial.len());
        self.partial
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Returns the text of a line without control sequences of terminals and other control characters.
fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' && characters.next_if_eq(&'[').is_some() {
            // Parameters, up to a final byte.
            while characters
                .next_if(|next| !('@'..='~').contains(next))
                .is_some()
            {}
            characters.next();
        } else if !character.is_control() || character == '\t' {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut found = Vec::new();
        let mut lines = Lines::default();
        for piece in pieces {
            lines.push(piece, |line| found.push(line.to_owned()));
        }
        found
    }

    #[test]
    fn pieces_join_into_lines() {
        assert_eq!(lines(&[b"on", b"e\r\ntwo\n", b"thr"]), ["one", "two"]);
        let mut prompt = Lines::default();
        prompt.push(b"x\nnerves login: ", |_| {});
        assert_eq!(prompt.unfinished(), "nerves login: ");
    }

    #[test]
    fn lines_are_cut_and_made_readable() {
        let long = lines(&[&[b'x'; 100_000], b"\nnext\n"]);
        assert_eq!((long[0].len(), long[1].as_str()), (LONGEST, "next"));
        assert_eq!(
            lines(&[b"\x1b[1;32mgreen\x1b[0m \xff\x07!\n"]),
            ["green \u{fffd}!"]
        );
    }
}
