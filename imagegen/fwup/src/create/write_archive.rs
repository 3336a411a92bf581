// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use super::source::{Source, SourceError};
use crate::archive::date;
use crate::archive::entry_of;
use crate::archive::identity::Identity;
use crate::archive::sign::add_meta_conf;
use crate::archive::write::{Level, Writer};
use crate::blake2b::Hasher;
use crate::firmware::integer;
use crate::firmware::model::Firmware;
use crate::keys::PrivateKey;
use crate::language::{Definitions, META_CONF_SIZE, to_meta_conf};

/// Why no archive was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A resource cannot be packed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// `meta.conf` would be too large or too small for readers.
    #[error("meta.conf would have {0} bytes, it must have {min} to {max}", min = META_CONF_SIZE.start(), max = META_CONF_SIZE.end())]
    MetaConf(usize),
    /// A resource's name cannot be that of an entry, or two resources have it.
    #[error("'{0}' cannot be the name of a resource, or two resources have it")]
    Name(String),
    /// `SOURCE_DATE_EPOCH` is not a number of seconds.
    #[error("SOURCE_DATE_EPOCH is '{0}', it must be a number of seconds since 1970, below 2^32")]
    Date(String),
    /// The archive cannot be written.
    #[error("cannot write the archive")]
    Output(#[from] io::Error),
}

/// How to pack an archive. A [`Level`] is one without a signature.
#[derive(Clone, Copy, Debug, Default)]
pub struct Packing<'a> {
    /// The compression level.
    pub level: Level,
    /// The key that signs the archive.
    pub key: Option<&'a PrivateKey>,
}

impl From<Level> for Packing<'_> {
    fn from(level: Level) -> Self {
        Self { level, key: None }
    }
}

/// An archive that was made.
#[derive(Clone, Debug)]
pub struct Created {
    /// UUID and nickname.
    pub identity: Identity,
    /// The size of the resources in bytes, before compression.
    pub data: u64,
    /// The size of `meta.conf` in bytes, which fwup limits to
    /// [`FWUP_META_CONF_LIMIT`](crate::language::FWUP_META_CONF_LIMIT).
    pub meta_conf: usize,
}

/// Returns the date of a new archive in seconds since 1970: `SOURCE_DATE_EPOCH`, else `NOW` if it
/// is a date such as `2023-11-14T22:13:20Z`, or else now.
///
/// # Errors
///
/// [`CreateError::Date`].
pub fn creation_date(definitions: &Definitions) -> Result<u32, CreateError> {
    if let Some(text) = definitions.get("SOURCE_DATE_EPOCH") {
        let seconds = integer::unsigned(text).and_then(|seconds| u32::try_from(seconds).ok());
        return seconds.ok_or_else(|| CreateError::Date(text.to_owned()));
    }
    let now = definitions.get("NOW").and_then(date::from_timestamp);
    Ok(now
        .or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
            u32::try_from(now.as_secs()).ok()
        })
        .unwrap_or(0))
}

/// Writes the archive of a configuration: with a key the signature, `meta.conf`, then the resources in the order of their
/// declaration. Adds the lengths and hashes of the resources to `firmware`. `progress` receives the
/// number of bytes written and the total.
///
/// # Errors
///
/// Every [`CreateError`]. The resources are checked before anything is written.
pub fn write_archive<'a>(
    firmware: &mut Firmware,
    out: impl Write,
    packing: impl Into<Packing<'a>>,
    date: u32,
    mut progress: impl FnMut(u64, u64),
) -> Result<Created, CreateError> {
    let mut names = BTreeSet::new();
    let mut sources = Vec::new();
    for resource in &mut firmware.resources {
        let name = entry_of(&resource.name)
            .ok()
            .filter(|name| names.insert(name.clone()))
            .ok_or_else(|| CreateError::Name(resource.name.clone()))?;
        let source = Source::survey(resource)?;
        resource.length.clone_from(&source.lengths);
        resource.hash = Some(source.hash);
        sources.push((name, source));
    }
    let meta_conf = to_meta_conf(firmware);
    if !META_CONF_SIZE.contains(&meta_conf.len()) {
        return Err(CreateError::MetaConf(meta_conf.len()));
    }
    let total = sources.iter().map(|(_, source)| source.data()).sum();
    let mut done = 0;
    let packing = packing.into();
    let mut writer = Writer::new(BufWriter::new(out), packing.level);
    add_meta_conf(&mut writer, meta_conf.as_bytes(), packing.key, date)?;
    for (name, source) in &sources {
        // No date, so that archives with the same contents are identical.
        writer.entry::<CreateError>(name, None, source.data(), |take| {
            let mut hash = Hasher::new();
            source.read(&mut |piece| {
                hash.update(piece);
                done += piece.len() as u64;
                progress(done, total);
                take(piece)
            })?;
            if hash.finalize() == source.hash {
                Ok(())
            } else {
                Err(source.changed().into())
            }
        })?;
    }
    writer.finish()?;
    Ok(Created {
        identity: Identity::of(meta_conf.as_bytes()),
        data: total,
        meta_conf: meta_conf.len(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::firmware::model::Resource;
    use crate::language;

    fn archive(text: &str) -> Result<Vec<u8>, CreateError> {
        let definitions = &mut Definitions::empty();
        let mut firmware =
            language::configuration(text.into(), "fwup.conf", PathBuf::new(), definitions).unwrap();
        let mut bytes = Vec::new();
        write_archive(
            &mut firmware,
            &mut bytes,
            Level::default(),
            1_700_000_000,
            |_, _| {},
        )
        .map(|_| bytes)
    }

    #[test]
    fn the_same_configuration_gives_the_same_bytes() {
        let text = "meta-product = x file-resource a { contents = hello } file-resource /b { contents = \"\" }";
        assert_eq!(archive(text).unwrap(), archive(text).unwrap());
    }

    #[test]
    fn a_meta_conf_that_no_reader_accepts_is_refused() {
        // fwup's text for an empty configuration is long enough.
        assert!(archive("").is_ok());
        let lines = format!(
            "meta-misc = \"{0}\" meta-author = \"{0}\"",
            "x".repeat(530_000)
        );
        assert_eq!(
            archive(&lines).unwrap_err().to_string(),
            "meta.conf would have 1060024 bytes, it must have 10 to 1048576"
        );
    }

    /// The parser refuses such names; this tests a [`Firmware`] that is built without the parser.
    #[test]
    fn invalid_names_are_refused() {
        for names in [&["../a"][..], &["/meta.conf"], &["/data/a"], &["a", "a"]] {
            let resources = names.iter().map(|name| Resource {
                name: (*name).to_owned(),
                ..Resource::default()
            });
            let mut firmware = Firmware {
                resources: resources.collect(),
                ..Firmware::default()
            };
            let error = write_archive(&mut firmware, Vec::new(), Level::default(), 0, |_, _| {});
            assert_eq!(
                error.unwrap_err().to_string(),
                format!(
                    "'{}' cannot be the name of a resource, or two resources have it",
                    names[0]
                )
            );
        }
    }

    #[test]
    fn the_date_comes_from_the_environment() {
        let definitions = |value: &str| Definitions::from_iter([("SOURCE_DATE_EPOCH", value)]);
        assert_eq!(
            creation_date(&definitions("1700000000")).unwrap(),
            1_700_000_000
        );
        assert!(creation_date(&definitions("today")).is_err());
        let now = |value: &str| creation_date(&Definitions::from_iter([("NOW", value)])).unwrap();
        assert_eq!(now("2023-11-14T22:13:20Z"), 1_700_000_000);
        for ignored in [
            "yesterday",
            "2023-02-30T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "",
        ] {
            assert!(now(ignored) > 1_700_000_000, "{ignored}");
        }
        assert!(creation_date(&Definitions::empty()).unwrap() > 1_700_000_000);
    }
}
