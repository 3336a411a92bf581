// SPDX-License-Identifier: MIT OR Apache-2.0

//! The data of a resource on the host, and the holes in its files.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use little_loader_core::units::BLOCK_SIZE;
use rustix::io::Errno;

use crate::blake2b::Hasher;
use crate::firmware::model::Resource;

/// The number of bytes read at once.
const PIECE: usize = 128 << 10;
/// The maximum number of lengths of a resource: fwup's. What follows is data, with its holes as
/// zeros.
const MOST_LENGTHS: usize = 255;

/// Why a resource cannot be packed. The first two messages are fwup's: scripts search for them.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file cannot be opened.
    #[error("can't open path '{path}' in file-resource '{resource}'")]
    Open {
        /// The path.
        path: String,
        /// The resource.
        resource: String,
        /// The system's error.
        source: io::Error,
    },
    /// A size assertion does not hold.
    #[error(
        "file size assertion failed on '{path}'. Size is {size} bytes. It must be {relation} {} bytes ({blocks} blocks)",
        blocks * BLOCK_SIZE
    )]
    Size {
        /// The path, or the resource's name if it has `contents`.
        path: String,
        /// The size in bytes.
        size: u64,
        /// `<=` or `>=`
        relation: &'static str,
        /// The limit in blocks of 512 bytes.
        blocks: u64,
    },
    /// A file cannot be read.
    #[error("cannot read '{path}' in file-resource '{resource}'")]
    Read {
        /// The path.
        path: String,
        /// The resource.
        resource: String,
        /// The system's error.
        source: io::Error,
    },
    /// A file changed after it had been hashed.
    #[error("file-resource '{0}' changed while it was packed; pack it again")]
    Changed(String),
}

/// The data of a resource.
#[derive(Debug)]
pub(super) struct Source {
    name: String,
    parts: Vec<Part>,
    /// The lengths of data and holes, alternating, in bytes.
    pub(super) lengths: Vec<u64>,
    /// BLAKE2b-256 of the data without the holes.
    pub(super) hash: [u8; 32],
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
    /// Finds the data and the holes of a resource, checks its asserts, and hashes the data.
    ///
    /// # Errors
    ///
    /// Every [`SourceError`].
    pub(super) fn survey(resource: &Resource) -> Result<Self, SourceError> {
        let mut source = Self {
            name: resource.name.clone(),
            parts: Vec::new(),
            lengths: vec![0],
            hash: [0; 32],
        };
        let options = &resource.options;
        let paths = options.paths("host-path");
        if let Some(paths) = paths {
            let skip_holes = options.boolean("skip-holes") == Some(true);
            for path in paths {
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
            // A negative number means "not set".
            let blocks = options
                .integer(name)
                .and_then(|blocks| u64::try_from(blocks).ok());
            if let Some(blocks) =
                blocks.filter(|blocks| !is_kept(&size, &blocks.saturating_mul(BLOCK_SIZE)))
            {
                return Err(SourceError::Size {
                    path: paths.map_or_else(|| resource.name.clone(), |paths| paths.join(";")),
                    size,
                    relation,
                    blocks,
                });
            }
        }
        let mut hash = Hasher::new();
        source.read(&mut |piece| {
            hash.update(piece);
            Ok::<_, SourceError>(())
        })?;
        source.hash = hash.finalize();
        Ok(source)
    }

    /// Returns the length of the data in bytes, without the holes.
    pub(super) fn data(&self) -> u64 {
        self.lengths.iter().step_by(2).sum()
    }

    /// Passes the data to `take`, piece by piece.
    ///
    /// # Errors
    ///
    /// [`SourceError::Read`], [`SourceError::Changed`], and the errors of `take`.
    pub(super) fn read<E: From<SourceError>>(
        &self,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffer = Vec::new();
        for part in &self.parts {
            match part {
                Part::Contents(contents) => take(contents)?,
                Part::File { path, runs } => {
                    let failed = |source| SourceError::Read {
                        path: path.display().to_string(),
                        resource: self.name.clone(),
                        source,
                    };
                    let mut file = File::open(path).map_err(failed)?;
                    let longest = runs.iter().map(|(_, length)| *length).max();
                    let size = usize::try_from(longest.unwrap_or(0))
                        .unwrap_or(PIECE)
                        .min(PIECE);
                    if buffer.len() < size {
                        buffer = vec![0; size];
                    }
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
                                return Err(SourceError::Changed(self.name.clone()).into());
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

    /// Returns the error for data whose hash has changed.
    pub(super) fn changed(&self) -> SourceError {
        SourceError::Changed(self.name.clone())
    }

    fn add_file(&mut self, path: &str, skip_holes: bool) -> Result<(), SourceError> {
        let resource = self.name.clone();
        let open = |source| SourceError::Open {
            path: path.to_owned(),
            resource: resource.clone(),
            source,
        };
        // Opening a pipe would block until a writer opens it.
        let kind = fs::metadata(path).map_err(open)?.file_type();
        if !kind.is_file() && !kind.is_block_device() && !kind.is_char_device() {
            return Err(open(io::Error::other("not a regular file or a device")));
        }
        let mut file = File::open(path).map_err(open)?;
        // Of a device too: /dev/null and /dev/zero are empty.
        let length = file.seek(SeekFrom::End(0)).map_err(open)?;
        let mut runs = Vec::new();
        let mut end = 0;
        while end < length {
            let found = match skip_holes {
                true => next_run(&file, end, length).map_err(open)?,
                false => Some((0, length)),
            };
            let is_full = self.lengths.len() == MOST_LENGTHS;
            let (start, run) = match found {
                Some((start, _)) if is_full && start > end => (end, length - end),
                None if is_full => (end, length - end),
                Some(found) => found,
                None => break,
            };
            self.add(start - end, run);
            runs.push((start, run));
            end = start + run;
        }
        self.add(length - end, 0);
        self.parts.push(Part::File {
            path: path.into(),
            runs,
        });
        Ok(())
    }

    /// Appends a hole and the data after it to the lengths.
    fn add(&mut self, hole: u64, data: u64) {
        if hole > 0 {
            // If the number of lengths is odd, the last one is for data.
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

/// Returns the start and length of the first run of data from `at` on; `None` if only a hole
/// follows.
fn next_run(file: &File, at: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    use rustix::fs::{SeekFrom, seek};

    let start = match seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        // The file system does not report holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((at, length - at))),
        Err(error) => return Err(error.into()),
    };
    let end = seek(file, SeekFrom::Hole(start))?.min(length);
    Ok((start < end).then(|| (start, end - start)))
}

/// Returns whether a file in this folder can have a hole of `size` bytes, tested with a temporary
/// file.
///
/// # Errors
///
/// When no file can be created there.
pub fn has_holes(folder: &std::path::Path, size: u64) -> io::Result<bool> {
    let mut file = tempfile::tempfile_in(folder)?;
    file.seek(SeekFrom::Start(size))?;
    io::Write::write_all(&mut file, b"end")?;
    file.sync_all()?;
    Ok(next_run(&file, 0, size + 3)?.is_some_and(|(start, _)| start > 0))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    use super::*;
    use crate::firmware::model::{SectionOptions, Value};

    fn paths(paths: &[&Path]) -> (&'static str, Value) {
        let paths = paths.iter().map(|path| path.display().to_string());
        ("host-path", Value::Paths(paths.collect()))
    }

    fn resource(options: &[(&str, Value)]) -> Resource {
        Resource {
            name: "r".to_owned(),
            options: SectionOptions(
                options
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), value.clone()))
                    .collect(),
            ),
            ..Resource::default()
        }
    }

    #[test]
    fn holes_are_left_out_if_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (sparse, plain) = (folder.path().join("sparse"), folder.path().join("plain"));
        let file = File::create(&sparse).unwrap();
        file.set_len(3 << 20).unwrap();
        file.write_all_at(&[7; 4096], 1 << 20).unwrap();
        std::fs::write(&plain, "data").unwrap();
        let paths = paths(&[&sparse, &plain, &sparse]);
        let skipping = [paths.clone(), ("skip-holes", Value::Boolean(true))];
        let source = Source::survey(&resource(&skipping)).unwrap();
        let (before, after) = (1 << 20, (2 << 20) - 4096);
        assert_eq!(
            source.lengths,
            [0, before, 4096, after, 4, before, 4096, after]
        );
        assert_eq!(source.data(), 2 * 4096 + 4);
        for options in [
            vec![paths.clone()],
            vec![paths, ("skip-holes", Value::Boolean(false))],
        ] {
            let source = Source::survey(&resource(&options)).unwrap();
            assert_eq!(source.lengths, [(6 << 20) + 4]);
        }
    }

    /// As many as fwup writes, whose last one counts the holes after it too.
    #[test]
    fn a_resource_has_at_most_255_lengths() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse");
        let file = File::create(&path).unwrap();
        let step = 64 << 10;
        for number in 0..140 {
            file.write_all_at(&[b'x'; 4096], number * step).unwrap();
        }
        file.set_len(140 * step).unwrap();
        let options = |times: usize| {
            [
                paths(&vec![path.as_path(); times]),
                ("skip-holes", Value::Boolean(true)),
            ]
        };
        let size = 140 * step;
        for times in [1, 2] {
            let source = Source::survey(&resource(&options(times))).unwrap();
            assert_eq!(source.lengths.len(), 255);
            assert_eq!(source.lengths[..4], [4096, step - 4096, 4096, step - 4096]);
            assert_eq!(source.lengths[254], times as u64 * size - 127 * step);
            let mut data = 0;
            source
                .read(&mut |piece| {
                    data += piece.len() as u64;
                    Ok::<_, SourceError>(())
                })
                .unwrap();
            assert_eq!(data, source.data());
        }
    }

    #[test]
    fn devices_without_a_size_are_empty_and_pipes_are_refused() {
        for path in ["/dev/null", "/dev/zero"] {
            for skip in [true, false] {
                let options = [
                    paths(&[Path::new(path)]),
                    ("skip-holes", Value::Boolean(skip)),
                ];
                let source = Source::survey(&resource(&options)).unwrap();
                assert_eq!(source.lengths, [0]);
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let error = Source::survey(&resource(&[paths(&[folder.path()])])).unwrap_err();
        assert!(
            error.to_string().starts_with("can't open path '"),
            "{error}"
        );
    }

    #[test]
    fn asserts_count_in_blocks() {
        let contents = vec![b'x'; 1025];
        for ((name, blocks), expected) in [
            (("assert-size-lte", 3), None),
            (
                ("assert-size-lte", 2),
                Some(
                    "file size assertion failed on 'r'. Size is 1025 bytes. It must be <= 1024 bytes (2 blocks)",
                ),
            ),
            (("assert-size-gte", 2), None),
            (
                ("assert-size-gte", 3),
                Some(
                    "file size assertion failed on 'r'. Size is 1025 bytes. It must be >= 1536 bytes (3 blocks)",
                ),
            ),
        ] {
            let found = Source::survey(&Resource {
                contents: Some(contents.clone()),
                ..resource(&[(name, Value::Integer(blocks))])
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
        let source = Source::survey(&resource(&[paths(&[&path])])).unwrap();
        std::fs::write(&path, "b").unwrap();
        let error = source.read(&mut |_| Ok::<_, SourceError>(())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "file-resource 'r' changed while it was packed; pack it again"
        );
    }
}
