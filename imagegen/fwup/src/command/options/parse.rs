// SPDX-License-Identifier: MIT OR Apache-2.0

use super::error::OptionsError;
use super::known::{HelpEntry, find_long, find_short};
use super::options::{Operation, Options};
use crate::firmware::integer;
use crate::keys::KeySource;

impl Options {
    /// Reads the arguments that follow the program's name. Options before an error are still set:
    /// they determine how to report it.
    ///
    /// # Errors
    ///
    /// Every [`OptionsError`].
    pub(crate) fn read(
        &mut self,
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<(), OptionsError> {
        let options = self;
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                options.arguments.extend(arguments);
                break;
            }
            if let Some(long) = argument.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (long, None),
                };
                let known = find_long(name)?;
                let shown = format!("--{}", known.long.unwrap_or_default());
                let value = match (known.value.is_some(), value) {
                    (false, Some(_)) => return Err(OptionsError::ExtraValue(shown)),
                    (true, None) => Some(
                        arguments
                            .next()
                            .ok_or_else(|| OptionsError::NoValue(shown.clone()))?,
                    ),
                    (_, value) => value,
                };
                options.set(known, &shown, value.unwrap_or_default())?;
                continue;
            }
            match argument.strip_prefix('-').filter(|rest| !rest.is_empty()) {
                Some(joined) => options.short(joined, &mut arguments)?,
                None => options.arguments.push(argument),
            }
        }
        if options.is_numeric && options.is_quiet {
            return Err(OptionsError::NumericAndQuiet);
        }
        if options.is_framed && options.is_json {
            return Err(OptionsError::FramedAndJson);
        }
        // A single argument without a command is an archive to apply.
        if options.operation.is_none()
            && options.input.is_none()
            && let [input] = options.arguments.as_slice()
        {
            options.operation = Some(Operation::Apply);
            options.input = Some(input.clone());
            options.task.get_or_insert_with(|| "complete".to_owned());
            options.arguments.clear();
        }
        Ok(())
    }

    /// Reads the short options after one `-`. A value is the rest of the argument, or else the next
    /// one.
    fn short(
        &mut self,
        joined: &str,
        arguments: &mut impl Iterator<Item = String>,
    ) -> Result<(), OptionsError> {
        for (at, letter) in joined.char_indices() {
            let known = find_short(letter).ok_or(OptionsError::UnknownShort(letter))?;
            let shown = format!("-{letter}");
            if known.value.is_some() {
                let rest = &joined[at + letter.len_utf8()..];
                let value = if rest.is_empty() {
                    arguments
                        .next()
                        .ok_or_else(|| OptionsError::NoValue(shown.clone()))?
                } else {
                    rest.to_owned()
                };
                return self.set(known, &shown, value);
            }
            self.set(known, &shown, String::new())?;
        }
        Ok(())
    }

    fn set(&mut self, known: &HelpEntry, shown: &str, value: String) -> Result<(), OptionsError> {
        let number = |value: &str, low, high| {
            let found = integer::unsigned(value);
            found
                .filter(|found| (low..=high).contains(found))
                .ok_or_else(|| OptionsError::Number {
                    option: shown.to_owned(),
                    low,
                    high,
                    value: value.to_owned(),
                })
        };
        // At most 100.
        let percent = |value: &str| number(value, 0, 100).map(|number| number as u8);
        let operation = match (
            known.short.unwrap_or_default(),
            known.long.unwrap_or_default(),
        ) {
            ('a', _) => Operation::Apply,
            ('c', _) => Operation::Create,
            ('D', _) => Operation::Detect,
            ('g', _) => Operation::GenerateKeys,
            ('h', _) => Operation::Help,
            ('l', _) => Operation::List,
            ('m', _) => Operation::Metadata,
            ('S', _) => Operation::Sign,
            ('V', _) => Operation::Verify,
            ('z', _) => Operation::ShowDetected,
            (_, "create-delta") => Operation::CreateDelta,
            (_, "version") => Operation::Version,
            (_, "sparse-check") => {
                self.sparse_check = Some(value);
                Operation::SparseCheck
            }
            (letter, name) => {
                match (letter, name) {
                    ('d', _) => self.destination = Some(value),
                    ('E', _) => self.may_eject = Some(false),
                    ('f', _) => self.configuration = value,
                    ('F', _) => self.is_framed = true,
                    (_, "json") => self.is_json = true,
                    ('i', _) => self.input = Some(value),
                    ('n', _) => self.is_numeric = true,
                    ('o', _) => self.output = Some(value),
                    ('p', _) => self.public_keys.push(KeySource::File(value)),
                    (_, "public-key") => self.public_keys.push(KeySource::Text(value.into())),
                    ('q', _) => self.is_quiet = true,
                    ('s', _) => self.private_key = Some(KeySource::File(value)),
                    (_, "private-key") => self.private_key = Some(KeySource::Text(value.into())),
                    ('t', _) => self.task = Some(value),
                    ('u', _) => self.may_unmount = Some(true),
                    ('U', _) => self.may_unmount = Some(false),
                    ('v', _) => self.is_verbose = true,
                    ('y', _) => self.accepts_detected = true,
                    (level @ '1'..='9', _) => self.level = Some(level as u8 - b'0'),
                    (_, "eject") => self.may_eject = Some(true),
                    (_, "enable-trim") => self.may_trim = true,
                    (_, "exit-handshake") => self.has_exit_handshake = true,
                    (_, "max-size") => self.max_size = Some(number(&value, 1, u64::MAX / 512)?),
                    (_, "metadata-key") => self.metadata_key = Some(value),
                    (_, "minimize-writes") => self.minimizes_writes = Some(true),
                    (_, "no-minimize-writes") => self.minimizes_writes = Some(false),
                    (_, "verify-writes") => self.verifies_writes = Some(true),
                    (_, "no-verify-writes") => self.verifies_writes = Some(false),
                    (_, "progress-high") => self.progress_high = percent(&value)?,
                    (_, "progress-low") => self.progress_low = percent(&value)?,
                    (_, "reboot-param-path") => self.reboot_param_path = Some(value),
                    (_, "sparse-check-size") => {
                        self.sparse_check_size = number(&value, 1, 1 << 40)?;
                    }
                    _ => self.is_unsafe = true,
                }
                return Ok(());
            }
        };
        self.operation = Some(operation);
        Ok(())
    }
}
