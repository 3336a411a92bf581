// SPDX-License-Identifier: MIT OR Apache-2.0

//! The variables of an environment, and the block that holds them.

use std::collections::BTreeMap;

use little_loader_core::env::block::{Env, EnvError, EnvMut, Format, SetError, seal};

/// The variables that the loader itself reads and writes. They come first in the block, in this
/// order, so that the loader changes only the first sector, which also contains the checksum: a
/// disk writes a sector completely or not at all.
pub const FIRST: [&str; 6] = [
    "nerves_fw_active",
    "upgrade_available",
    "bootcount",
    "bootlimit",
    "nerves_fw_validated",
    "nerves_fw_booted",
];

/// Why variables cannot be stored in a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VariablesError {
    /// The block itself is too small.
    #[error("environment: {0}")]
    Block(EnvError),
    /// A variable cannot be stored.
    #[error("environment variable \"{name}\": {error}")]
    Set {
        /// The variable.
        name: String,
        /// The reason.
        error: SetError,
    },
}

/// Variables by name. Names and values are bytes, as in the environment, so that those that are not
/// UTF-8 are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<Vec<u8>, Vec<u8>>);

impl Variables {
    /// Creates an empty set of variables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies the variables of a valid block.
    #[must_use]
    pub fn from_env(env: &Env<'_>) -> Self {
        Self(
            env.iter()
                .map(|(name, value)| (name.to_vec(), value.to_vec()))
                .collect(),
        )
    }

    /// Sets a variable. An invalid name or value is an error of [`to_block`](Self::to_block).
    pub fn set(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        self.0
            .insert(name.as_ref().to_vec(), value.as_ref().to_vec());
        self
    }

    /// Removes a variable. Returns whether it was set.
    pub fn unset(&mut self, name: &str) -> bool {
        self.0.remove(name.as_bytes()).is_some()
    }

    /// Returns the value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name.as_bytes()).map(Vec::as_slice)
    }

    /// Iterates over the variables in the order of the block: [`FIRST`], then the rest by name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let first = FIRST
            .iter()
            .filter_map(|name| self.0.get_key_value(name.as_bytes()));
        let rest = self.0.iter().filter(|(name, _)| {
            let name = name.as_slice();
            FIRST.iter().all(|first| first.as_bytes() != name)
        });
        first
            .chain(rest)
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// Returns a block of `size` bytes with these variables and the matching CRC. `flags` is the
    /// counter of a redundant copy.
    ///
    /// # Errors
    ///
    /// When the block is too small, or a name or value cannot be stored.
    pub fn to_block(
        &self,
        size: usize,
        format: Format,
        flags: u8,
    ) -> Result<Vec<u8>, VariablesError> {
        let mut block = vec![0xff; size];
        let mut env = EnvMut::clear(&mut block, format).map_err(VariablesError::Block)?;
        env.set_flags(flags);
        let start = format.data_offset();
        let available = size - start;
        let mut data = Vec::new();
        for (name, value) in self.iter() {
            data.extend([name, b"=", value, b"\0"].concat());
            let needed = data.len() + 1;
            let error = if name.is_empty() || name.iter().any(|byte| matches!(byte, b'=' | 0)) {
                SetError::BadName
            } else if value.contains(&0) {
                SetError::BadValue
            } else if needed > available {
                SetError::Full { needed, available }
            } else {
                continue;
            };
            return Err(VariablesError::Set {
                name: String::from_utf8_lossy(name).into_owned(),
                error,
            });
        }
        if !data.is_empty() {
            data.push(0);
            block[start..start + data.len()].copy_from_slice(&data);
        }
        seal(&mut block, format);
        Ok(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_variables_come_first_and_the_rest_is_sorted() {
        let mut variables = Variables::new();
        variables
            .set("zebra", "1")
            .set("a.kernel_lba", "2")
            .set("bootcount", "0")
            .set("nerves_fw_active", "a");
        let names: Vec<_> = variables.iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                &b"nerves_fw_active"[..],
                b"bootcount",
                b"a.kernel_lba",
                b"zebra"
            ]
        );
        let block = variables.to_block(1024, Format::Redundant, 7).unwrap();
        let env = Env::parse(&block, Format::Redundant).unwrap();
        assert_eq!(env.flags(), Some(7));
        assert_eq!(Variables::from_env(&env), variables);
    }

    #[test]
    fn what_does_not_fit_names_the_variable() {
        let mut variables = Variables::new();
        variables.set("long", vec![b'x'; 600]);
        let error = variables.to_block(512, Format::Single, 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment variable \"long\": the variables need 607 bytes, the block has 508"
        );
    }

    #[test]
    fn names_that_are_not_utf8_are_kept_and_two_that_look_alike_stay_two() {
        let mut variables = Variables::new();
        variables.set(b"x\xff", "1").set(b"x\xfe", b"\x80");
        let block = variables.to_block(512, Format::Single, 0).unwrap();
        assert!(block[4..].starts_with(b"x\xfe=\x80\0x\xff=1\0\0\xff"));
        let env = Env::parse(&block, Format::Single).unwrap();
        assert_eq!(Variables::from_env(&env), variables);
    }

    #[test]
    fn an_empty_environment_ends_with_two_nuls() {
        let block = Variables::new().to_block(16, Format::Single, 0).unwrap();
        assert!(Env::parse(&block, Format::Single).is_ok());
        assert_eq!(block[4..], *b"\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    }

    #[test]
    fn what_cannot_be_stored_names_the_variable() {
        for (name, value, error) in [
            ("", "1", SetError::BadName),
            ("a=b", "1", SetError::BadName),
            ("a\0", "1", SetError::BadName),
            ("a", "1\x002", SetError::BadValue),
        ] {
            let mut variables = Variables::new();
            variables.set(name, value);
            let name = name.to_owned();
            assert_eq!(
                variables.to_block(512, Format::Single, 0),
                Err(VariablesError::Set { name, error })
            );
        }
    }
}
