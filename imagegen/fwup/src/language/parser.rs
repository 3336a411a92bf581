// SPDX-License-Identifier: MIT OR Apache-2.0

//! Parses tokens into a tree of sections, according to the schema.

use super::arithmetic;
use super::check;
use super::convert;
use super::definitions::Definitions;
use super::error::{LanguageError, Problem};
use super::lexer::{Lexer, Token};
use super::schema::{self, Entry, Kind};
use super::sources::Sources;
use super::tree::Tree;
use crate::firmware::model::{Call, Firmware, Stage};

pub(super) struct Parser<'a> {
    pub(super) sources: Sources,
    pub(super) stage: Stage,
    pub(super) definitions: &'a mut Definitions,
    /// The sections declared so far that actions can refer to, for the checks.
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

    /// Reads a configuration and all files that it includes.
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

    /// Returns the next token, whose text must be UTF-8.
    pub(super) fn token(&mut self) -> Result<Token, Problem> {
        match self.sources.token(self.definitions)? {
            Token::Bytes(_) => Err(Problem::NotUtf8),
            token => Ok(token),
        }
    }

    /// Reads the contents of a section; `within` is its name, or `None` at the top level.
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
                // libconfuse closes the sections that are open at the end of a configuration.
                (Token::End, Some(_)) if self.stage == Stage::Create => return Ok(()),
                (Token::End, Some(_)) => return Err(Problem::PrematureEnd),
                (Token::Close, None) => return Err(Problem::UnexpectedClose),
                (other, _) => return Err(Problem::Unexpected(other.shown())),
            };
            // Only archives contain calls as flat lists.
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

    /// Reads the arguments of a call, in parentheses.
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

    /// Skips the value, list, call, or section with its contents that follows an unknown name.
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
