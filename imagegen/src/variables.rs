// SPDX-License-Identifier: MIT OR Apache-2.0

//! The variables of an environment, and the block that holds them.

use std::collections::BTreeMap;

use little_loader::env::{Env, EnvError, EnvMut, Format, SetError};

/// The variables that the loader reads and writes on its own, in the order in which they are written. They come first, so
/// that what the loader changes stays in the first sector, together with the checksum: one sector is written as a whole or
/// not at all.
pub const FIRST: [&str; 6] = [
    "nerves_fw_active",
    "upgrade_available",
    "bootcount",
    "bootlimit",
    "nerves_fw_validated",
    "nerves_fw_booted",
];

/// Why variables cannot become a block.
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
        /// What is wrong.
        error: SetError,
    },
}

/// Variables by name. Values are bytes, as the environment stores them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, Vec<u8>>);

impl Variables {
    /// No variables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The variables of a valid block. Names that are no UTF-8 are kept as close as possible.
    #[must_use]
    pub fn from_env(env: &Env<'_>) -> Self {
        Self(
            env.iter()
                .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
                .collect(),
        )
    }

    /// Sets a variable.
    pub fn set(&mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> &mut Self {
        self.0.insert(name.into(), value.as_ref().to_vec());
        self
    }

    /// Removes a variable; tells whether there was one.
    pub fn unset(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// The variables in the order in which they are written: [`FIRST`], then the rest by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let first = FIRST.iter().filter_map(|name| self.0.get_key_value(*name));
        let rest = self
            .0
            .iter()
            .filter(|(name, _)| !FIRST.contains(&name.as_str()));
        first
            .chain(rest)
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// A sealed block of `size` bytes with these variables; `flags` is the counter of a redundant copy.
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
        for (name, value) in self.iter() {
            env.set(name, value).map_err(|error| VariablesError::Set {
                name: name.to_owned(),
                error,
            })?;
        }
        env.set_flags(flags);
        env.seal();
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
            ["nerves_fw_active", "bootcount", "a.kernel_lba", "zebra"]
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
}
