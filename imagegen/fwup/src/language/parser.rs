// SPDX-License-Identifier: MIT OR Apache-2.0

//! From tokens to a tree of sections, as the schema has them.

use super::arithmetic;
use super::check;
use super::convert;
use super::definitions::Definitions;
use super::error::{LanguageError, Problem};
use super::lexer::{Lexer, Token};
use super::schema::{self, Entry, Kind};
use super::sources::Sources;
use super::tree::{Tree, TreeValue};
use super::version;
use crate::firmware::integer;
use crate::firmware::model::{Call, Firmware, Stage, Value};

pub(super) struct Parser<'a> {
    sources: Sources,
    stage: Stage,
    definitions: &'a mut Definitions,
    /// The sections that actions can refer to so far, for the checks.
    declared: Firmware,
    /// File and line at the end of each titled top-level section.
    ends: Vec<(String, usize)>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(source: Lexer, stage: Stage, definitions: &'a mut Definitions) -> Self {
        Self {
            sources: Sources::new(source),
            stage,
            definitions,
            declared: Firmware::default(),
            ends: Vec::new(),
        }
    }

    /// Reads a configuration and all that it includes.
    pub(super) fn run(mut self) -> Result<Firmware, LanguageError> {
        let mut tree = Tree::default();
        let read = self.section(schema::TOP, &mut tree, None);
        let at = |(file, line), problem| LanguageError {
            file,
            line,
            problem,
        };
        read.map_err(|problem| at(self.sources.place(), problem))?;
        convert::firmware(&tree).map_err(|(section, problem)| {
            let end = self.ends.get(section).cloned();
            at(end.unwrap_or_else(|| self.sources.place()), problem)
        })
    }

    /// The next token, whose text must be UTF-8.
    fn token(&mut self) -> Result<Token, Problem> {
        match self.sources.token(self.definitions)? {
            Token::Bytes(_) => Err(Problem::NotUtf8),
            token => Ok(token),
        }
    }

    /// The contents of a section; `within` is its name, or `None` at the top level.
    fn section(
        &mut self,
        schema: &'static [Entry],
        tree: &mut Tree,
        within: Option<&'static str>,
    ) -> Result<(), Problem> {
        loop {
            let name = match (self.token()?, within) {
                (Token::Text(name), _) => name,
                (Token::End, None) | (Token::Close, Some(_)) => return Ok(()),
                (Token::End, Some(_)) => return Err(Problem::PrematureEnd),
                (Token::Close, None) => return Err(Problem::UnexpectedClose),
                (other, _) => return Err(Problem::Unexpected(other.shown())),
            };
            // Only archives have calls as flat lists.
            let known = schema::find(schema, &name).filter(|(_, entry)| {
                self.stage == Stage::Apply || !matches!(entry.kind, Kind::Texts)
            });
            match known {
                Some((at, entry)) => self.entry(at, entry, tree, within)?,
                None if self.stage == Stage::Create => return Err(Problem::UnknownOption(name)),
                None => self.skip(&name)?,
            }
        }
    }

    fn entry(
        &mut self,
        at: usize,
        entry: &'static Entry,
        tree: &mut Tree,
        within: Option<&'static str>,
    ) -> Result<(), Problem> {
        match entry.kind {
            Kind::Include => self.include(entry),
            Kind::Define {
                overrides,
                evaluate,
            } => self.define(entry, overrides, evaluate),
            Kind::Action | Kind::Requirement => {
                let call = Call {
                    name: entry.name.to_owned(),
                    arguments: self.arguments(entry.name)?,
                };
                if self.stage == Stage::Create {
                    check::call(
                        &call,
                        entry.kind,
                        &tree.calls,
                        within.unwrap_or_default(),
                        &self.declared,
                    )?;
                }
                tree.calls.push(call);
                Ok(())
            }
            Kind::Section(inner) => {
                self.brace(entry.name)?;
                let place = tree.sections.iter().position(|(other, _, _)| *other == at);
                let place = place.unwrap_or_else(|| {
                    tree.sections.push((at, String::new(), Tree::default()));
                    tree.sections.len() - 1
                });
                self.section(inner, &mut tree.sections[place].2, Some(entry.name))
            }
            Kind::Titled(inner) => {
                let Token::Text(title) = self.token()? else {
                    return Err(Problem::NoTitle(entry.name.to_owned()));
                };
                self.brace(entry.name)?;
                if !tree.titles.insert((at, title.clone())) {
                    return Err(Problem::Duplicate {
                        section: entry.name.to_owned(),
                        title,
                    });
                }
                if self.stage == Stage::Create {
                    check::before(entry.name, &title, &self.declared)?;
                }
                let mut section = Tree::default();
                self.section(inner, &mut section, Some(entry.name))?;
                if self.stage == Stage::Create {
                    check::after(
                        entry,
                        &title,
                        &mut section,
                        &mut self.declared,
                        self.definitions,
                    )?;
                }
                tree.sections.push((at, title, section));
                if within.is_none() {
                    self.ends.push(self.sources.place());
                }
                Ok(())
            }
            _ => self.option(at, entry, tree),
        }
    }

    fn brace(&mut self, section: &str) -> Result<(), Problem> {
        match self.token()? {
            Token::Open => Ok(()),
            _ => Err(Problem::NoBrace(section.to_owned())),
        }
    }

    fn option(&mut self, at: usize, entry: &'static Entry, tree: &mut Tree) -> Result<(), Problem> {
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

    /// A list, after its `{`.
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

    /// The value of an option.
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
                    // A path that cannot be opened.
                    paths.push(String::new());
                }
                Ok(Value::Paths(paths))
            }
            _ => Ok(Value::Text(text)),
        }
    }

    /// The arguments of a call in parentheses.
    fn arguments(&mut self, name: &str) -> Result<Vec<String>, Problem> {
        if self.token()? != Token::OpenCall {
            return Err(Problem::NoCall(name.to_owned()));
        }
        let mut arguments = Vec::new();
        loop {
            match self.token()? {
                Token::CloseCall => return Ok(arguments),
                Token::Text(text) => arguments.push(text),
                _ => return Err(Problem::CallSyntax(name.to_owned())),
            }
            match self.token()? {
                Token::CloseCall => return Ok(arguments),
                Token::Comma => {}
                _ => return Err(Problem::CallSyntax(name.to_owned())),
            }
        }
    }

    fn define(&mut self, entry: &Entry, overrides: bool, evaluate: bool) -> Result<(), Problem> {
        let arguments = self.arguments(entry.name)?;
        let [name, value] =
            <[String; 2]>::try_from(arguments).map_err(|found| Problem::Arguments {
                name: entry.name.to_owned(),
                expected: "a name and a value",
                found: found.len(),
            })?;
        let value = if evaluate {
            arithmetic::evaluate(&value)
                .map_err(|error| Problem::Arithmetic {
                    text: arithmetic::start_of(&value),
                    error,
                })?
                .to_string()
        } else {
            value
        };
        if overrides || self.definitions.get(&name).is_none() {
            self.definitions.set(name, value);
        }
        Ok(())
    }

    fn include(&mut self, entry: &Entry) -> Result<(), Problem> {
        let arguments = self.arguments(entry.name)?;
        let [path] = arguments.as_slice() else {
            return Err(Problem::Arguments {
                name: entry.name.to_owned(),
                expected: "one path",
                found: arguments.len(),
            });
        };
        if path.is_empty() {
            return Err(Problem::EmptyInclude);
        }
        // An archive must not read files of the device.
        if self.stage == Stage::Apply {
            return Err(Problem::Include {
                path: path.clone(),
                reason: "an archive cannot include files".to_owned(),
            });
        }
        self.sources.include(path)
    }

    /// Skips what follows an unknown name: a value, a list, a call, or a section with its contents.
    fn skip(&mut self, name: &str) -> Result<(), Problem> {
        let mut token = self.token()?;
        // The title of a section.
        if matches!(token, Token::Text(_)) {
            token = self.token()?;
            if token != Token::Open {
                return Err(Problem::NoBrace(name.to_owned()));
            }
        }
        let end = match token {
            Token::OpenCall => Token::CloseCall,
            Token::Open => Token::Close,
            Token::Equals | Token::Append => match self.token()? {
                Token::Text(_) => return Ok(()),
                Token::Open => Token::Close,
                other => {
                    return Err(Problem::NoValue {
                        name: name.to_owned(),
                        found: other.shown(),
                    });
                }
            },
            other => return Err(Problem::Unexpected(other.shown())),
        };
        let mut depth = 1_usize;
        while depth > 0 {
            match self.token()? {
                Token::End => return Err(Problem::PrematureEnd),
                Token::Open if end == Token::Close => depth += 1,
                token if token == end => depth -= 1,
                _ => {}
            }
        }
        Ok(())
    }
}
