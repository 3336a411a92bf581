// SPDX-License-Identifier: MIT OR Apache-2.0

//! Makes an archive from a configuration.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use blake2::{Blake2b256, Digest};

use super::archive::entry_of;
use super::archive::write::{Level, Writer};
use super::identity::Identity;
use super::language::Environment;
use super::meta;
use super::model::Firmware;
use super::resource::{ResourceError, Source};

/// Why no archive was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A resource cannot be packed.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// `meta.conf` would be larger or smaller than what readers take.
    #[error("meta.conf would have {0} bytes, it must have {min} to {max}", min = meta::SIZE.start(), max = meta::SIZE.end())]
    MetaConf(usize),
    /// Two resources would be one entry of the archive, or a name cannot be one.
    #[error("'{0}' cannot be the name of a resource, or is that of two")]
    Name(String),
    /// `SOURCE_DATE_EPOCH` is no number of seconds.
    #[error("SOURCE_DATE_EPOCH is '{0}', it must be a number of seconds since 1970, below 2^32")]
    Date(String),
    /// The archive cannot be written.
    #[error("cannot write the archive")]
    Output(#[from] io::Error),
}

/// An archive that was made.
#[derive(Clone, Debug)]
pub struct Created {
    /// UUID and nickname.
    pub identity: Identity,
    /// The bytes of data in it, before they were compressed.
    pub data: u64,
}

/// When an archive is made, in seconds since 1970: what `SOURCE_DATE_EPOCH` says, else now.
///
/// # Errors
///
/// [`CreateError::Date`]
pub fn date(environment: &Environment) -> Result<u32, CreateError> {
    match environment.get("SOURCE_DATE_EPOCH") {
        Some(text) => text.parse().map_err(|_| CreateError::Date(text.to_owned())),
        None => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            Ok(now
                .ok()
                .and_then(|now| u32::try_from(now.as_secs()).ok())
                .unwrap_or(0))
        }
    }
}

/// Writes the archive of a configuration: `meta.conf` first, then the resources in the order of their declaration. What was
/// found out about the resources is put into `firmware`. `progress` is told how many bytes of how many are done.
///
/// # Errors
///
/// Every [`CreateError`]. What is wrong with the resources is found before anything is written.
pub fn create(
    firmware: &mut Firmware,
    out: impl Write,
    level: Level,
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
    let meta_conf = meta::write(firmware);
    if !meta::SIZE.contains(&meta_conf.len()) {
        return Err(CreateError::MetaConf(meta_conf.len()));
    }
    let total = sources.iter().map(|(_, source)| source.data()).sum();
    let mut done = 0;
    let mut writer = Writer::new(out, level);
    writer.entry::<CreateError>("meta.conf", Some(date), meta_conf.len() as u64, |take| {
        take(meta_conf.as_bytes())
    })?;
    for (name, source) in &sources {
        // No date: it would be one more thing in which two archives of the same content could differ.
        writer.entry::<CreateError>(name, None, source.data(), |take| {
            let mut hash = Blake2b256::new();
            source.read(&mut |piece| {
                hash.update(piece);
                done += piece.len() as u64;
                progress(done, total);
                take(piece)
            })?;
            if hash.finalize()[..] == source.hash {
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
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::language;
    use crate::model::Resource;

    fn archive(text: &str) -> Result<Vec<u8>, CreateError> {
        let environment = &mut Environment::empty();
        let mut firmware =
            language::configuration(text.into(), "fwup.conf", PathBuf::new(), environment).unwrap();
        let mut bytes = Vec::new();
        create(
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
    fn what_no_reader_would_take_is_refused() {
        assert_eq!(
            archive("").unwrap_err().to_string(),
            "meta.conf would have 0 bytes, it must have 10 to 49999"
        );
        let long = format!("meta-misc = \"{}\"", "x".repeat(50_000));
        assert!(
            archive(&long)
                .unwrap_err()
                .to_string()
                .contains("meta.conf would have 50")
        );
    }

    /// The language does not let such names pass; who makes a firmware without it is told here.
    #[test]
    fn names_that_cannot_be_are_refused() {
        for names in [&["../a"][..], &["/meta.conf"], &["/data/a"], &["a", "a"]] {
            let resources = names.iter().map(|name| Resource {
                name: (*name).to_owned(),
                ..Resource::default()
            });
            let mut firmware = Firmware {
                resources: resources.collect(),
                ..Firmware::default()
            };
            let error = create(&mut firmware, Vec::new(), Level::default(), 0, |_, _| {});
            assert_eq!(
                error.unwrap_err().to_string(),
                format!(
                    "'{}' cannot be the name of a resource, or is that of two",
                    names[0]
                )
            );
        }
    }

    #[test]
    fn the_date_is_what_the_environment_says() {
        let environment = |value: &str| Environment::from_iter([("SOURCE_DATE_EPOCH", value)]);
        assert_eq!(date(&environment("1700000000")).unwrap(), 1_700_000_000);
        assert!(date(&environment("today")).is_err());
        assert!(date(&Environment::empty()).unwrap() > 1_700_000_000);
    }
}
