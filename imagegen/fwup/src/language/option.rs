// SPDX-License-Identifier: MIT OR Apache-2.0

//! Options and their values.

use super::check;
use super::error::Problem;
use super::lexer::Token;
use super::parser::Parser;
use super::schema::{Entry, Kind};
use super::tree::{Tree, TreeValue};
use super::version;
use crate::firmware::integer;
use crate::firmware::model::{Stage, Value};

impl Parser<'_> {
    /// Reads an option after its name.
    pub(super) fn option(
        &mut self,
        at: usize,
        entry: &'static Entry,
        tree: &mut Tree,
    ) -> Result<(), Problem> {
        let is_list = matches!(entry.kind, Kind::Integers | Kind::Texts);
        let append = match self.token()? {
            Token::Equals => false,
            Token::Append if is_list => true,
            Token::Append => return Err(Problem::NoList(entry.name.to_owned())),
            other => {
                return Err(Problem::NoEquals {
                    name: entry.name.to_owned(),
                    found: other.shown(),
                });
            }
        };
        let is_bytes = matches!(entry.kind, Kind::Bytes);
        let token = if is_bytes {
            self.sources.token(self.definitions)?
        } else {
            self.token()?
        };
        let value = match token {
            Token::Text(text) if is_bytes => TreeValue::Bytes(text.into_bytes()),
            Token::Bytes(bytes) if is_bytes => TreeValue::Bytes(bytes),
            Token::Text(text) if is_list => TreeValue::List(vec![self.value(entry, text)?]),
            Token::Text(text) => TreeValue::One(self.value(entry, text)?),
            Token::Open if is_list => TreeValue::List(self.list(entry)?),
            other => {
                return Err(Problem::NoValue {
                    name: entry.name.to_owned(),
                    found: other.shown(),
                });
            }
        };
        if let TreeValue::One(Value::Text(text)) = &value {
            if entry.name == "require-fwup-version" {
                match version::is_supported(text) {
                    Some(true) => {}
                    Some(false) => return Err(Problem::NewerVersion(text.clone())),
                    None => return Err(Problem::BadVersion(text.clone())),
                }
            }
            if self.stage == Stage::Create && !entry.host_only {
                check::text(text)?;
            }
        }
        match (tree.values.get_mut(&at), value) {
            (Some(TreeValue::List(old)), TreeValue::List(new)) if append => old.extend(new),
            (_, value) => {
                tree.values.insert(at, value);
            }
        }
        Ok(())
    }

    /// Reads a list, after its `{`.
    fn list(&mut self, entry: &Entry) -> Result<Vec<Value>, Problem> {
        let mut values = Vec::new();
        loop {
            match self.token()? {
                Token::Close => return Ok(values),
                Token::Comma if !values.is_empty() => {}
                Token::Text(text) => values.push(self.value(entry, text)?),
                other => {
                    return Err(Problem::NoValue {
                        name: entry.name.to_owned(),
                        found: other.shown(),
                    });
                }
            }
        }
    }

    /// Parses the value of an option.
    fn value(&self, entry: &Entry, text: String) -> Result<Value, Problem> {
        let name = || entry.name.to_owned();
        match entry.kind {
            Kind::Integer(_) | Kind::Integers => match integer::parse(&text) {
                Some(value) => Ok(Value::Integer(value)),
                None => Err(Problem::Integer {
                    name: name(),
                    value: text,
                }),
            },
            Kind::Boolean(_) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => Ok(Value::Boolean(true)),
                "false" | "no" | "off" => Ok(Value::Boolean(false)),
                _ => Err(Problem::Boolean {
                    name: name(),
                    value: text,
                }),
            },
            Kind::Paths => {
                let paths = text.split(';').filter(|path| !path.is_empty());
                let mut paths: Vec<_> = paths.map(|path| self.sources.resolve(path)).collect();
                if paths.is_empty() {
                    // An empty path, which cannot be opened.
                    paths.push(String::new());
                }
                Ok(Value::Paths(paths))
            }
            _ => Ok(Value::Text(text)),
        }
    }
}
