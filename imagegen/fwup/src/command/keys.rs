// SPDX-License-Identifier: MIT OR Apache-2.0

//! The keys of a command line, and the commands `-g` and `-S`.

use std::io::{Read, stdout};
use std::path::Path;

use anyhow::Context;

use super::options::Options;
use crate::archive::authenticate::MOST_KEYS;
use crate::archive::sign;
use crate::archive::write::Level;
use crate::create::creation_date;
use crate::keys::{KeyError, PrivateKey, PublicKey, generate};
use crate::language::Definitions;
use crate::output::Output;

/// The start of the names of new keys without `-o`.
const PREFIX: &str = "fwup-key";
/// The compression level of `-S` without a level: signing happens once, on the build host.
const SIGNED_LEVEL: u8 = 9;

/// The keys that a command line names.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) public: Vec<PublicKey>,
    pub(super) private: Option<PrivateKey>,
    /// Problems that do not prevent the command.
    pub(super) warnings: Vec<String>,
}

impl Keys {
    /// Reads the keys. As in fwup, public keys after the tenth are ignored with a warning, and a
    /// private key may be damaged.
    pub(super) fn read(options: &Options) -> Result<Self, KeyError> {
        let sources = options.public_keys.iter().take(MOST_KEYS);
        let mut keys = Self {
            public: sources.map(PublicKey::read).collect::<Result<_, _>>()?,
            private: options
                .private_key
                .as_ref()
                .map(PrivateKey::read)
                .transpose()?,
            warnings: Vec::new(),
        };
        let given = options.public_keys.len();
        if given > MOST_KEYS {
            keys.warnings.push(format!(
                "found {given} public keys; only the first {MOST_KEYS} are used"
            ));
        }
        if keys.private.as_ref().is_some_and(PrivateKey::is_damaged) {
            keys.warnings.push(
                "the private key is damaged: its two halves do not match, so its public key will not verify the signature; use a backup of the .priv file"
                    .to_owned(),
            );
        }
        Ok(keys)
    }
}

/// Makes a key pair and returns the text to print.
pub(super) fn generate_keys(options: &Options) -> anyhow::Result<String> {
    let prefix = options.output.as_deref().filter(|prefix| *prefix != "-");
    let pair = generate(prefix.unwrap_or(PREFIX))?;
    let [public, private] = [&pair.public, &pair.private].map(|path| {
        let name = Path::new(path).file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    });
    Ok(format!(
        "New keys are saved to '{public}' and '{private}'.\n\n\
         Distribute '{public}' with the devices: it authenticates updates.\n\
         Keep '{private}' secret, and make a backup of it: it signs updates.\n"
    ))
}

/// Writes a signed copy of an archive, which may replace it.
pub(super) fn sign_archive(
    options: &Options,
    input: impl Read,
    key: Option<&PrivateKey>,
) -> anyhow::Result<()> {
    let output = options
        .output
        .as_deref()
        .context("specify the signed archive: -o FILE, or -o - for stdout")?;
    let key = key.context("specify the private key: -s FILE, or --private-key KEY")?;
    let level = Level::new(options.level.unwrap_or(SIGNED_LEVEL)).unwrap_or_default();
    let date = creation_date(&Definitions::of_process())?;
    if output == "-" {
        return Ok(sign::sign(input, stdout().lock(), key, level, date)?);
    }
    let unwritable = || format!("cannot write '{output}'");
    let mut file = Output::create(Path::new(output)).with_context(unwritable)?;
    sign::sign(input, &mut file, key, level, date)?;
    file.finish().with_context(unwritable)?;
    Ok(())
}
