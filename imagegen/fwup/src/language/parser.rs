// SPDX-License-Identifier: MIT OR Apache-2.0

//! From words and marks to a tree of sections, as the schema says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::lexer::{Lexer, Token};
use super::schema::{self, Entry, Kind};
use super::{
    Environment, LARGEST, LanguageError, Problem, arithmetic, check, convert, integer, read_limited,
};
use crate::model::{Call, Firmware};

/// How deep includes may be nested.
const DEPTH: usize = 10;
/// How many includes there may be.
const INCLUDES: usize = 1000;

/// What a configuration is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// To make an archive: what is not known or cannot work is an error.
    Create,
    /// To apply it: what is not known is skipped.
    Apply,
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// With numbers in decimal, and `true` or `false`.
    One(String),
    /// In a list.
    Many(Vec<String>),
    /// As it stands there.
    Bytes(Vec<u8>),
}

/// A section: its options and sections by their place in the schema.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) values: BTreeMap<usize, Value>,
    pub(super) sections: Vec<(usize, String, Tree)>,
    /// The titles of the sections, to find one that is there twice.
    titles: BTreeSet<(usize, String)>,
    pub(super) calls: Vec<Call>,
}

/// What has been declared so far, for the checks.
#[derive(Debug, Default)]
pub(super) struct Declared(BTreeSet<(&'static str, String)>);

impl Declared {
    pub(super) fn has(&self, kind: &'static str, title: &str) -> bool {
        self.0.contains(&(kind, title.to_owned()))
    }
}

/// Reads a configuration and what it includes.
pub(super) struct Parser<'a> {
    /// The file that is being read is the last.
    sources: Vec<Lexer>,
    mode: Mode,
    environment: &'a mut Environment,
    declared: Declared,
    /// Where the token that was read last ended.
    place: (String, usize),
    /// The same for each section at the top.
    ends: Vec<(String, usize)>,
    includes: usize,
    /// Bytes that may still be read.
    budget: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(source: Lexer, mode: Mode, environment: &'a mut Environment) -> Self {
        Self {
            place: (source.name.to_string(), 1),
            budget: LARGEST.saturating_sub(source.length()),
            sources: vec![source],
            mode,
            environment,
            declared: Declared::default(),
            ends: Vec::new(),
            includes: 0,
        }
    }

    /// Reads all of it.
    pub(super) fn run(mut self) -> Result<Firmware, LanguageError> {
        let mut tree = Tree::default();
        let read = self.section(schema::TOP, &mut tree, None);
        let at = |(file, line), problem| LanguageError {
            file,
            line,
            problem,
        };
        match read {
            Ok(()) => convert::firmware(tree).map_err(|(section, problem)| {
                at(
                    self.ends.get(section).cloned().unwrap_or(self.place),
                    problem,
                )
            }),
            Err(problem) => Err(at(self.place, problem)),
        }
    }

    /// The next token, where texts must be UTF-8.
    fn token(&mut self) -> Result<Token, Problem> {
        match self.any_token()? {
            Token::Bytes(_) => Err(Problem::NotUtf8),
            token => Ok(token),
        }
    }

    /// The next token. At the end of an included file, what follows is in the file that includes it.
    fn any_token(&mut self) -> Result<Token, Problem> {
        loop {
            let Some(source) = self.sources.last_mut() else {
                return Ok(Token::End);
            };
            let token = source.token(self.environment);
            if source.name.as_ref() != self.place.0 {
                self.place.0 = source.name.to_string();
            }
            self.place.1 = source.line;
            match token? {
                Token::End if self.sources.len() > 1 => {
                    self.sources.pop();
                }
                token => {
                    let cost = match &token {
                        Token::Text(text) => text.len(),
                        Token::Bytes(bytes) => bytes.len(),
                        _ => 1,
                    };
                    self.budget = self.budget.checked_sub(cost).ok_or(Problem::TooLarge)?;
                    return Ok(token);
                }
            }
        }
    }

    /// The inside of a section; `within` is its name, or `None` at the top.
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
            // The lists that calls become are no words of configurations.
            let known = schema::find(schema, &name).filter(|(_, entry)| {
                self.mode == Mode::Apply || !matches!(entry.kind, Kind::Texts)
            });
            match known {
                Some((at, entry)) => self.entry(at, entry, tree, within)?,
                None if self.mode == Mode::Create => return Err(Problem::UnknownOption(name)),
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
            Kind::Define { anew, evaluate } => self.define(entry, anew, evaluate),
            Kind::Action | Kind::Requirement => {
                let call = Call {
                    name: entry.name.to_owned(),
                    arguments: self.arguments(entry.name)?,
                };
                if self.mode == Mode::Create {
                    check::call(
                        &call,
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
                if self.mode == Mode::Create {
                    check::before(entry.name, &title, &self.declared)?;
                }
                let mut section = Tree::default();
                self.section(inner, &mut section, Some(entry.name))?;
                if self.mode == Mode::Create {
                    check::after(entry.name, &title, inner, &mut section, self.environment)?;
                    self.declared.0.insert((entry.name, title.clone()));
                }
                tree.sections.push((at, title, section));
                if within.is_none() {
                    self.ends.push(self.place.clone());
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
            self.any_token()?
        } else {
            self.token()?
        };
        let value = match token {
            Token::Text(text) if is_bytes => Value::Bytes(text.into_bytes()),
            Token::Bytes(bytes) if is_bytes => Value::Bytes(bytes),
            Token::Text(text) if is_list => Value::Many(vec![self.value(entry, text)?]),
            Token::Text(text) => Value::One(self.value(entry, text)?),
            Token::Open if is_list => Value::Many(self.list(entry)?),
            other => {
                return Err(Problem::NoValue {
                    name: entry.name.to_owned(),
                    found: other.shown(),
                });
            }
        };
        if let (Value::One(version), "require-fwup-version") = (&value, entry.name) {
            check::version(version)?;
        }
        if let (Value::One(text), Mode::Create, false) = (&value, self.mode, entry.host_only) {
            check::text(text)?;
        }
        match (tree.values.get_mut(&at), value) {
            (Some(Value::Many(old)), Value::Many(new)) if append => old.extend(new),
            (_, value) => {
                tree.values.insert(at, value);
            }
        }
        Ok(())
    }

    /// What stands behind `{` of a list.
    fn list(&mut self, entry: &Entry) -> Result<Vec<String>, Problem> {
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

    /// A value in the form in which it is kept.
    fn value(&self, entry: &Entry, text: String) -> Result<String, Problem> {
        let name = || entry.name.to_owned();
        match entry.kind {
            Kind::Integer(_) | Kind::Integers => match integer::parse(&text) {
                Some(value) => Ok(value.to_string()),
                None => Err(Problem::Integer {
                    name: name(),
                    value: text,
                }),
            },
            Kind::Boolean(_) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => Ok("true".to_owned()),
                "false" | "no" | "off" => Ok("false".to_owned()),
                _ => Err(Problem::Boolean {
                    name: name(),
                    value: text,
                }),
            },
            Kind::Paths => Ok(text
                .split(';')
                .filter(|path| !path.is_empty())
                .map(|path| self.in_folder(path))
                .collect::<Vec<_>>()
                .join(";")),
            _ => Ok(text),
        }
    }

    /// A path from the folder of the file that names it.
    fn in_folder(&self, path: &str) -> String {
        self.sources.last().map_or_else(
            || path.to_owned(),
            |source| source.folder.join(path).to_string_lossy().into_owned(),
        )
    }

    /// What stands in the parentheses of a call.
    fn arguments(&mut self, name: &str) -> Result<Vec<String>, Problem> {
        if self.token()? != Token::OpenCall {
            return Err(Problem::NoCall(name.to_owned()));
        }
        let mut arguments = Vec::new();
        loop {
            match self.token()? {
                Token::CloseCall => return Ok(arguments),
                Token::Text(text) => arguments.push(text),
                _ => return Err(Problem::Call(name.to_owned())),
            }
            match self.token()? {
                Token::CloseCall => return Ok(arguments),
                Token::Comma => {}
                _ => return Err(Problem::Call(name.to_owned())),
            }
        }
    }

    fn define(&mut self, entry: &Entry, anew: bool, evaluate: bool) -> Result<(), Problem> {
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
        if anew || self.environment.get(&name).is_none() {
            self.environment.set(name, value);
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
        let failed = |reason: String| Problem::Include {
            path: path.clone(),
            reason,
        };
        // An archive must not read files of the device.
        if self.mode == Mode::Apply {
            return Err(failed("an archive cannot include files".to_owned()));
        }
        self.includes += 1;
        if self.sources.len() > DEPTH {
            return Err(Problem::IncludeDepth);
        }
        if self.includes > INCLUDES {
            return Err(Problem::Includes);
        }
        let file = self.in_folder(path);
        let file = Path::new(&file);
        let bytes = read_limited(file).map_err(|error| failed(error.to_string()))?;
        self.budget = self
            .budget
            .checked_sub(bytes.len())
            .ok_or(Problem::TooLarge)?;
        let folder = file.parent().map(Path::to_owned).unwrap_or_default();
        self.sources
            .push(Lexer::new(bytes, &file.to_string_lossy(), folder));
        Ok(())
    }

    /// Skips what stands behind a name that is not known: a value, a list, a call, or a section with all that is in it.
    fn skip(&mut self, name: &str) -> Result<(), Problem> {
        let mut token = self.token()?;
        // A title.
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
