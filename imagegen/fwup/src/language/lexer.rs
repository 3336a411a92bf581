// SPDX-License-Identifier: MIT OR Apache-2.0

//! Splits bytes into tokens. Variables are replaced here, by their values at that point.

use std::path::PathBuf;
use std::rc::Rc;

use super::definitions::Definitions;
use super::error::Problem;

/// The maximum length of a token's text in bytes, with variables replaced.
const LONGEST: usize = 1 << 20;

/// A text or a punctuation mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A bare word, a variable, or a text in quotes.
    Text(String),
    /// A text that is not UTF-8.
    Bytes(Vec<u8>),
    /// `{`
    Open,
    /// `}`
    Close,
    /// `(`
    OpenCall,
    /// `)`
    CloseCall,
    /// `=`
    Equals,
    /// `+=`
    Append,
    /// `,`
    Comma,
    /// The end of the file.
    End,
}

impl Token {
    /// Formats the token for an error message.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => {
                let mut short: String = text.chars().take(40).collect();
                if short.len() < text.len() {
                    short.push('…');
                }
                format!("'{short}'")
            }
            Self::Bytes(_) => "a text that is not UTF-8".to_owned(),
            Self::Open => "'{'".to_owned(),
            Self::Close => "'}'".to_owned(),
            Self::OpenCall => "'('".to_owned(),
            Self::CloseCall => "')'".to_owned(),
            Self::Equals => "'='".to_owned(),
            Self::Append => "'+='".to_owned(),
            Self::Comma => "','".to_owned(),
            Self::End => "the end of the file".to_owned(),
        }
    }
}

/// A file that is being read.
#[derive(Debug)]
pub(super) struct Lexer {
    bytes: Vec<u8>,
    /// The offset of the last `}`. A `${` after it has no end, so none is searched for.
    last_close: Option<usize>,
    at: usize,
    /// The current line, from 1.
    pub(super) line: usize,
    /// The file's name in errors.
    pub(super) name: Rc<str>,
    /// The folder from which relative paths start; empty for the working directory.
    pub(super) folder: PathBuf,
}

impl Lexer {
    pub(super) fn new(bytes: Vec<u8>, name: &str, folder: PathBuf) -> Self {
        Self {
            last_close: bytes.iter().rposition(|byte| *byte == b'}'),
            bytes,
            at: 0,
            line: 1,
            name: name.into(),
            folder,
        }
    }

    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        if byte == b'\n' {
            self.line += 1;
        }
        Some(byte)
    }

    fn starts_with(&self, text: &[u8]) -> bool {
        self.bytes[self.at..].starts_with(text)
    }

    pub(super) fn token(&mut self, definitions: &Definitions) -> Result<Token, Problem> {
        loop {
            let Some(byte) = self.peek() else {
                return Ok(Token::End);
            };
            let mark = match byte {
                b'{' => Token::Open,
                b'}' => Token::Close,
                b'(' => Token::OpenCall,
                b')' => Token::CloseCall,
                b'=' => Token::Equals,
                b',' => Token::Comma,
                b'+' if self.starts_with(b"+=") => {
                    self.at += 2;
                    return Ok(Token::Append);
                }
                b'#' => {
                    self.skip_line();
                    continue;
                }
                b'/' if self.starts_with(b"//") => {
                    self.skip_line();
                    continue;
                }
                b'/' if self.starts_with(b"/*") => {
                    self.skip_comment()?;
                    continue;
                }
                b'"' => return self.double_quoted(definitions),
                b'\'' => return self.single_quoted(),
                b'$' if self.variable_end().is_some() => {
                    let mut text = Vec::new();
                    self.variable(definitions, &mut text)?;
                    return finish(text);
                }
                _ if is_word(byte) => return self.word(),
                // White space, and single `+` and `*`, which libconfuse also skips.
                _ => {
                    self.take();
                    continue;
                }
            };
            self.at += 1;
            return Ok(mark);
        }
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }

    fn skip_comment(&mut self) -> Result<(), Problem> {
        self.at += 2;
        while !self.starts_with(b"*/") {
            self.take().ok_or(Problem::UnclosedComment)?;
        }
        self.at += 2;
        Ok(())
    }

    /// Reads a bare word, which ends before `/*`.
    fn word(&mut self) -> Result<Token, Problem> {
        let start = self.at;
        while self.peek().is_some_and(is_word) && !self.starts_with(b"/*") {
            self.at += 1;
        }
        finish(self.bytes[start..self.at].to_vec())
    }

    /// Returns the offset of the `}` if a `${…}` starts here.
    fn variable_end(&self) -> Option<usize> {
        if !self.starts_with(b"${") || self.last_close.is_none_or(|last| self.at > last) {
            return None;
        }
        let length = self.bytes[self.at..]
            .iter()
            .position(|byte| *byte == b'}')?;
        Some(self.at + length)
    }

    /// Reads `${NAME}` or `${NAME:-default}`. The default applies only if the variable is not set.
    fn variable(&mut self, definitions: &Definitions, out: &mut Vec<u8>) -> Result<(), Problem> {
        let end = self.variable_end().unwrap_or(self.at);
        let inside = self.bytes[self.at + 2..end].to_vec();
        while self.at <= end {
            self.take();
        }
        let colon = inside.iter().position(|byte| *byte == b':');
        let (name, default) = match colon {
            Some(at) if inside.get(at + 1) == Some(&b'-') => (&inside[..at], &inside[at + 2..]),
            _ => (&inside[..], &b""[..]),
        };
        let value = std::str::from_utf8(name)
            .ok()
            .and_then(|name| definitions.get(name));
        out.extend_from_slice(value.map_or(default, str::as_bytes));
        if out.len() > LONGEST {
            return Err(Problem::TooLong);
        }
        Ok(())
    }

    fn double_quoted(&mut self, definitions: &Definitions) -> Result<Token, Problem> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            if self.variable_end().is_some() {
                self.variable(definitions, &mut text)?;
                continue;
            }
            match self.take().ok_or(Problem::UnclosedText)? {
                b'"' => return finish(text),
                b'\\' => self.escape(&mut text)?,
                byte => text.push(byte),
            }
        }
    }

    /// Reads an escape in double quotes, after its backslash.
    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), Problem> {
        let byte = match self.take().ok_or(Problem::UnclosedText)? {
            b'\n' => return Ok(()),
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'f' => 12,
            b'a' => 7,
            b'e' => 27,
            b'v' => 11,
            b'x' if self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) => {
                self.number(16, 2)?
            }
            b'0'..=b'9' => {
                self.at -= 1;
                self.number(8, 3)?
            }
            byte => byte,
        };
        text.push(byte);
        Ok(())
    }

    /// Reads a byte as up to `most` octal or hexadecimal digits.
    fn number(&mut self, radix: u32, most: usize) -> Result<u8, Problem> {
        let digits = self.bytes[self.at..]
            .iter()
            .map_while(|byte| char::from(*byte).to_digit(if radix == 8 { 10 } else { radix }));
        let digits: Vec<u32> = digits.take(most + usize::from(radix == 8)).collect();
        let escape =
            String::from_utf8_lossy(&self.bytes[self.at..self.at + digits.len()]).into_owned();
        self.at += digits.len();
        let value = digits.iter().try_fold(0, |value, digit| {
            (*digit < radix).then(|| value * radix + digit)
        });
        value
            .filter(|_| digits.len() <= most)
            .and_then(|value| u8::try_from(value).ok())
            .ok_or(Problem::Escape(escape))
    }

    fn single_quoted(&mut self) -> Result<Token, Problem> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            match self.take().ok_or(Problem::UnclosedText)? {
                b'\'' => return finish(text),
                b'\\' => match self.take().ok_or(Problem::UnclosedText)? {
                    b'\n' => {}
                    byte @ (b'\\' | b'\'') => text.push(byte),
                    byte => text.extend([b'\\', byte]),
                },
                byte => text.push(byte),
            }
        }
    }
}

/// Whether a byte can be in a bare word.
fn is_word(byte: u8) -> bool {
    !b" #\"'\t\n\r={}()+,*".contains(&byte)
}

fn finish(text: Vec<u8>) -> Result<Token, Problem> {
    if text.len() > LONGEST {
        return Err(Problem::TooLong);
    }
    if text.contains(&0) {
        return Err(Problem::Nul);
    }
    Ok(String::from_utf8(text).map_or_else(|error| Token::Bytes(error.into_bytes()), Token::Text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<String> {
        let definitions = Definitions::from_iter([("A", "value"), ("EMPTY", "")]);
        let mut lexer = Lexer::new(source.into(), "test", PathBuf::new());
        let mut found = Vec::new();
        loop {
            match lexer.token(&definitions).expect("a token") {
                Token::End => return found,
                Token::Text(text) => found.push(text),
                mark => found.push(mark.shown()),
            }
        }
    }

    fn problem(source: &[u8]) -> Problem {
        let mut lexer = Lexer::new(source.into(), "test", PathBuf::new());
        loop {
            match lexer.token(&Definitions::empty()) {
                Ok(Token::End) => panic!("no problem"),
                Ok(_) => {}
                Err(problem) => return problem,
            }
        }
    }

    #[test]
    fn words_end_at_punctuation_marks() {
        assert_eq!(
            texts("a-b={c, d.e}+=f(1)/usr/x"),
            [
                "a-b", "'='", "'{'", "c", "','", "d.e", "'}'", "'+='", "f", "'('", "1", "')'",
                "/usr/x"
            ]
        );
    }

    #[test]
    fn comments_are_skipped() {
        assert_eq!(
            texts("a # x\nb //y\nc /* z\n** } */ d /**/ e//f\n# end"),
            ["a", "b", "c", "d", "e//f"]
        );
    }

    #[test]
    fn double_quotes_resolve_and_single_quotes_do_not() {
        assert_eq!(
            texts(r#""${A} ${EMPTY:-x} ${B:-d e} ${B} $A ${A""#),
            ["value  d e  $A ${A"]
        );
        assert_eq!(texts(r#""\${A}""#), ["${A}"]);
        assert_eq!(texts("'${A}'"), ["${A}"]);
        assert_eq!(texts("${A} ${B:-x}"), ["value", "x"]);
    }

    #[test]
    fn escapes_are_those_of_c() {
        assert_eq!(texts(r#""a\tb\n\x41\101\"\\\q\e""#), ["a\tb\nAA\"\\q\x1b"]);
        assert_eq!(texts("\"a\\\nb\nc\""), ["ab\nc"]);
        assert_eq!(texts(r"'a\tb\'c\\d'"), [r"a\tb'c\d"]);
        assert_eq!(texts(r#""\303\251""#), ["é"]);
    }

    #[test]
    fn invalid_texts_are_refused() {
        assert_eq!(problem(b"\"abc"), Problem::UnclosedText);
        assert_eq!(problem(b"'abc\\"), Problem::UnclosedText);
        assert_eq!(problem(b"/* abc"), Problem::UnclosedComment);
        assert_eq!(problem(b"\"\\777\""), Problem::Escape("777".into()));
        assert_eq!(problem(b"\"\\1234\""), Problem::Escape("1234".into()));
        assert_eq!(problem(b"\"\\8\""), Problem::Escape("8".into()));
        assert_eq!(problem(b"\"\\0\""), Problem::Nul);
    }

    #[test]
    fn texts_that_are_not_utf_8_are_bytes() {
        for source in [&b"\xff"[..], b"'\xff'", br#""\xff""#, br#""\377""#] {
            let mut lexer = Lexer::new(source.into(), "test", PathBuf::new());
            assert_eq!(
                lexer.token(&Definitions::empty()),
                Ok(Token::Bytes(vec![0xff]))
            );
        }
    }

    #[test]
    fn lines_are_counted_through_texts_and_comments() {
        let mut lexer = Lexer::new(
            b"/*\n\n*/ \"\n\\\n${A\n}\" x".to_vec(),
            "test",
            PathBuf::new(),
        );
        lexer.token(&Definitions::empty()).expect("the text");
        assert_eq!(lexer.line, 6);
    }
}
