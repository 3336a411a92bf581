// SPDX-License-Identifier: MIT OR Apache-2.0

//! The data of resources on the host: where the data of files is and where their holes are, and reading it.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use blake2::{Blake2b256, Digest};
use rustix::io::Errno;

use super::model::Resource;

/// The size of a block, in bytes: asserts count in it.
const BLOCK: u64 = 512;
/// How much is read at once, in bytes.
const PIECE: usize = 256 << 10;

/// Why a resource cannot be packed. The first two are worded as fwup words them, for scripts that look for them.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// A file cannot be opened.
    #[error("can't open path '{path}' in file-resource '{resource}'")]
    Open {
        /// The path.
        path: String,
        /// The resource.
        resource: String,
        /// What the system said.
        source: io::Error,
    },
    /// An assert does not hold.
    #[error(
        "file size assertion failed on '{path}'. Size is {size} bytes. It must be {relation} {} bytes ({blocks} blocks)",
        blocks * BLOCK
    )]
    Size {
        /// The path, or the resource where it has contents.
        path: String,
        /// The size in bytes.
        size: u64,
        /// `<=` or `>=`
        relation: &'static str,
        /// What it is compared with, in blocks of 512 bytes.
        blocks: u64,
    },
    /// A file cannot be read.
    #[error("cannot read '{path}' in file-resource '{resource}'")]
    Read {
        /// The path.
        path: String,
        /// The resource.
        resource: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what it was a moment ago.
    #[error("file-resource '{0}' was changed while it was packed; pack it again")]
    Changed(String),
}

/// What a resource is made of.
#[derive(Debug)]
pub struct Source {
    name: String,
    parts: Vec<Part>,
    /// Lengths of data and holes in turn, in bytes.
    pub lengths: Vec<u64>,
    /// The hash of the data.
    pub hash: [u8; 32],
}

#[derive(Debug)]
enum Part {
    Contents(Vec<u8>),
    File {
        path: PathBuf,
        /// Start and length of each run of data, in bytes.
        runs: Vec<(u64, u64)>,
    },
}

impl Source {
    /// Looks at what a resource is made of, checks its asserts, and hashes it.
    ///
    /// # Errors
    ///
    /// Every [`ResourceError`].
    pub fn survey(resource: &Resource) -> Result<Self, ResourceError> {
        let mut source = Self {
            name: resource.name.clone(),
            parts: Vec::new(),
            lengths: vec![0],
            hash: [0; 32],
        };
        let path = resource.option("host-path");
        if let Some(paths) = path {
            let skip_holes = resource.option("skip-holes") != Some("false");
            for path in paths.split(';') {
                source.add_file(path, skip_holes)?;
            }
        } else {
            let contents = resource.contents.clone().unwrap_or_default();
            source.add(0, contents.len() as u64);
            source.parts.push(Part::Contents(contents));
        }
        let size = source.lengths.iter().sum();
        for (name, relation, is_kept) in [
            ("assert-size-lte", "<=", u64::le as fn(&u64, &u64) -> bool),
            ("assert-size-gte", ">=", u64::ge),
        ] {
            let blocks = resource
                .option(name)
                .and_then(|blocks| blocks.parse::<u64>().ok());
            if let Some(blocks) =
                blocks.filter(|blocks| !is_kept(&size, &blocks.saturating_mul(BLOCK)))
            {
                return Err(ResourceError::Size {
                    path: path.unwrap_or(&resource.name).to_owned(),
                    size,
                    relation,
                    blocks,
                });
            }
        }
        let mut hash = Blake2b256::new();
        source.read(&mut |piece| {
            hash.update(piece);
            Ok::<_, ResourceError>(())
        })?;
        source.hash = hash.finalize().into();
        Ok(source)
    }

    /// How many bytes of data there are, without the holes.
    #[must_use]
    pub fn data(&self) -> u64 {
        self.lengths.iter().step_by(2).sum()
    }

    /// Hands over all data, piece by piece.
    ///
    /// # Errors
    ///
    /// [`ResourceError::Read`] and [`ResourceError::Changed`], and those of `take`.
    pub fn read<E: From<ResourceError>>(
        &self,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffer = Vec::new();
        for part in &self.parts {
            match part {
                Part::Contents(contents) => take(contents)?,
                Part::File { path, runs } => {
                    let failed = |source| ResourceError::Read {
                        path: path.display().to_string(),
                        resource: self.name.clone(),
                        source,
                    };
                    let mut file = File::open(path).map_err(failed)?;
                    buffer.resize(PIECE, 0);
                    for (start, length) in runs {
                        file.seek(SeekFrom::Start(*start)).map_err(failed)?;
                        let mut left = *length;
                        while left > 0 {
                            let most = buffer
                                .len()
                                .min(usize::try_from(left).unwrap_or(usize::MAX));
                            let count = match file.read(&mut buffer[..most]) {
                                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                                    continue;
                                }
                                count => count.map_err(failed)?,
                            };
                            if count == 0 {
                                return Err(ResourceError::Changed(self.name.clone()).into());
                            }
                            take(&buffer[..count])?;
                            left -= count as u64;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The error for data that is not what was hashed.
    pub(super) fn changed(&self) -> ResourceError {
        ResourceError::Changed(self.name.clone())
    }

    fn add_file(&mut self, path: &str, skip_holes: bool) -> Result<(), ResourceError> {
        let open = |source| ResourceError::Open {
            path: path.to_owned(),
            resource: self.name.clone(),
            source,
        };
        // Opening a pipe would wait for somebody to write into it.
        if !fs::metadata(path).map_err(open)?.is_file() {
            return Err(open(io::Error::other("no regular file")));
        }
        let file = File::open(path).map_err(open)?;
        let length = file.metadata().map_err(open)?.len();
        let runs = if skip_holes {
            runs(&file, length).map_err(open)?
        } else {
            vec![(0, length)]
        };
        let mut end = 0;
        for (start, run) in &runs {
            self.add(start - end, *run);
            end = start + run;
        }
        self.add(length - end, 0);
        self.parts.push(Part::File {
            path: path.into(),
            runs,
        });
        Ok(())
    }

    /// Adds a hole and data behind it to the lengths.
    fn add(&mut self, hole: u64, data: u64) {
        if hole > 0 {
            // The last length is of data where there is an odd number of them.
            if self.lengths.len() % 2 == 1 {
                self.lengths.push(0);
            }
            if let Some(last) = self.lengths.last_mut() {
                *last += hole;
            }
        }
        if data > 0 {
            if self.lengths.len().is_multiple_of(2) {
                self.lengths.push(0);
            }
            if let Some(last) = self.lengths.last_mut() {
                *last += data;
            }
        }
    }
}

/// Start and length of each run of data in a file.
fn runs(file: &File, length: u64) -> io::Result<Vec<(u64, u64)>> {
    use rustix::fs::{SeekFrom, seek};

    let mut runs = Vec::new();
    let mut at = 0;
    while at < length {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Only a hole follows.
            Err(Errno::NXIO) => break,
            // The file system does not tell.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(vec![(0, length)]),
            Err(error) => return Err(error.into()),
        };
        let end = seek(file, SeekFrom::Hole(start))?.min(length);
        if end <= start {
            break;
        }
        runs.push((start, end - start));
        at = end;
    }
    Ok(runs)
}

/// Whether a file in this folder can have a hole of `size` bytes. It is tried with a temporary file.
///
/// # Errors
///
/// When no file can be made there.
pub fn has_holes(folder: &std::path::Path, size: u64) -> io::Result<bool> {
    let mut file = tempfile::tempfile_in(folder)?;
    file.seek(SeekFrom::Start(size))?;
    io::Write::write_all(&mut file, b"end")?;
    file.sync_all()?;
    let length = size + 3;
    Ok(runs(&file, length)?
        .first()
        .is_some_and(|(start, _)| *start > 0))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn resource(options: &[(&str, &str)]) -> Resource {
        Resource {
            name: "r".to_owned(),
            options: options
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Resource::default()
        }
    }

    #[test]
    fn holes_are_left_out_unless_they_are_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let (sparse, plain) = (folder.path().join("sparse"), folder.path().join("plain"));
        let file = File::create(&sparse).unwrap();
        file.set_len(3 << 20).unwrap();
        file.write_all_at(&[7; 4096], 1 << 20).unwrap();
        std::fs::write(&plain, "data").unwrap();
        let paths = format!("{0};{1};{0}", sparse.display(), plain.display());
        let source = Source::survey(&resource(&[("host-path", &paths)])).unwrap();
        let (before, behind) = (1 << 20, (2 << 20) - 4096);
        assert_eq!(
            source.lengths,
            [0, before, 4096, behind, 4, before, 4096, behind]
        );
        assert_eq!(source.data(), 2 * 4096 + 4);
        let options = [("host-path", paths.as_str()), ("skip-holes", "false")];
        let source = Source::survey(&resource(&options)).unwrap();
        assert_eq!(source.lengths, [(6 << 20) + 4]);
    }

    #[test]
    fn asserts_count_in_blocks() {
        let contents = vec![b'x'; 1025];
        for (options, expected) in [
            (("assert-size-lte", "3"), None),
            (
                ("assert-size-lte", "2"),
                Some(
                    "file size assertion failed on 'r'. Size is 1025 bytes. It must be <= 1024 bytes (2 blocks)",
                ),
            ),
            (("assert-size-gte", "2"), None),
            (
                ("assert-size-gte", "3"),
                Some(
                    "file size assertion failed on 'r'. Size is 1025 bytes. It must be >= 1536 bytes (3 blocks)",
                ),
            ),
        ] {
            let found = Source::survey(&Resource {
                contents: Some(contents.clone()),
                ..resource(&[options])
            });
            assert_eq!(
                found.err().map(|error| error.to_string()).as_deref(),
                expected
            );
        }
    }

    #[test]
    fn a_file_that_shrinks_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "before").unwrap();
        let path = path.to_string_lossy();
        let source = Source::survey(&resource(&[("host-path", &path)])).unwrap();
        std::fs::write(&*path, "b").unwrap();
        let error = source
            .read(&mut |_| Ok::<_, ResourceError>(()))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "file-resource 'r' was changed while it was packed; pack it again"
        );
    }
}
