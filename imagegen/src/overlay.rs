// SPDX-License-Identifier: MIT OR Apache-2.0

//! Creates qcow2 overlays: images that start with the contents of a read-only backing file and
//! store only what is written to them, so that many guests share one image.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use fwup::destination::Storage;
use imago::file::File;
use imago::qcow2::{Qcow2, Qcow2CreateBuilder};
use imago::{FormatCreateBuilder, StorageOpenOptions};

use crate::image::{Image, ImageError};

/// Why an overlay cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// The backing file cannot be opened.
    #[error(transparent)]
    Backing(#[from] ImageError),
    /// The path of the backing file cannot be stored.
    #[error(
        "the path of the backing file {} is not UTF-8 or has more than 1023 bytes; move the file",
        .0.display()
    )]
    BackingName(PathBuf),
    /// The overlay is smaller than its backing file.
    #[error(
        "the overlay would have {size} bytes, less than the {backing_size} bytes of {}",
        .backing.display()
    )]
    TooSmall {
        /// The size of the overlay in bytes.
        size: u64,
        /// The backing file.
        backing: PathBuf,
        /// The size of the backing file in bytes.
        backing_size: u64,
    },
    /// The overlay cannot be written.
    #[error("cannot create {}: {error}", .path.display())]
    Create {
        /// The overlay.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

/// Creates overlays over one backing file.
///
/// ```no_run
/// # use std::path::Path;
/// # use imagegen::overlay::OverlayBuilder;
/// let overlays = OverlayBuilder::new(Path::new("disk.img"))?;
/// for number in 1..=1000 {
///     overlays.create(Path::new(&format!("guest-{number}.qcow2")))?;
/// }
/// # Ok::<(), imagegen::overlay::OverlayError>(())
/// ```
#[derive(Clone, Debug)]
pub struct OverlayBuilder {
    /// The backing file as the overlays record it.
    backing: PathBuf,
    backing_size: u64,
    format: &'static str,
    size: u64,
    replaces: bool,
}

impl OverlayBuilder {
    /// Examines the backing file, a raw or a qcow2 image. Overlays record its absolute path, its
    /// format, and its size as theirs.
    ///
    /// # Errors
    ///
    /// When the backing file cannot be opened or is in use for writing.
    pub fn new(backing: &Path) -> Result<Self, OverlayError> {
        let image = Image::open(backing, false)?;
        let absolute = backing.canonicalize().map_err(|error| ImageError::Open {
            path: backing.to_owned(),
            error,
        })?;
        Ok(Self {
            backing: absolute,
            backing_size: image.length(),
            format: image.format().name(),
            size: image.length().next_multiple_of(512),
            replaces: false,
        })
    }

    /// Records this path of the backing file instead of the absolute one. A relative path starts in
    /// the folder of the overlay, so that both can be moved together.
    #[must_use]
    pub fn backing_path(mut self, path: &Path) -> Self {
        self.backing = path.to_owned();
        self
    }

    /// Sets the size of the disk in bytes, rounded up to whole blocks of 512 bytes. What is beyond
    /// the backing file reads as zeroes.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = bytes.next_multiple_of(512);
        self
    }

    /// Sets whether an existing file is replaced; by default it is an error.
    #[must_use]
    pub fn replace(mut self, replaces: bool) -> Self {
        self.replaces = replaces;
        self
    }

    /// Creates an overlay, complete or not at all. It is not synced to the disk.
    ///
    /// # Errors
    ///
    /// When the recorded backing file does not exist or is larger than the overlay, or the overlay
    /// exists or cannot be written.
    pub fn create(&self, path: &Path) -> Result<(), OverlayError> {
        let failed = |error| OverlayError::Create {
            path: path.to_owned(),
            error,
        };
        if self.size < self.backing_size {
            return Err(OverlayError::TooSmall {
                size: self.size,
                backing: self.backing.clone(),
                backing_size: self.backing_size,
            });
        }
        // The limit is that of QEMU, docs/interop/qcow2.txt.
        let name = self.backing.to_str().filter(|name| name.len() <= 1023);
        let name = name.ok_or_else(|| OverlayError::BackingName(self.backing.clone()))?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let backing = folder.join(&self.backing);
        fs::metadata(&backing).map_err(|error| ImageError::Open {
            path: backing,
            error,
        })?;
        let temporary = tempfile::Builder::new()
            .prefix(".overlay-")
            .make_in(folder, |path| {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create_new(true).open(path)
            })
            .map_err(failed)?;
        let file = temporary.as_file().try_clone().map_err(failed)?;
        let options = StorageOpenOptions::new()
            .write(true)
            .filename(temporary.path());
        let storage = File::from_open_file(file, options).map_err(failed)?;
        let builder: Qcow2CreateBuilder<File> = Qcow2::create_builder(storage);
        builder
            .size(self.size)
            .backing(name.to_owned(), self.format.to_owned())
            .create()
            .map_err(failed)?;
        let kept = match self.replaces {
            true => temporary.persist(path),
            false => temporary.persist_noclobber(path),
        };
        kept.map_err(|error| failed(error.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::image::Format;

    /// A folder with a raw image of 1 MiB plus one block, without any zero byte.
    fn folder() -> (tempfile::TempDir, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..(1 << 20) + 512_u32)
            .map(|number| (number % 251 + 1) as u8)
            .collect();
        fs::write(folder.path().join("base.img"), &bytes).unwrap();
        (folder, bytes)
    }

    fn contents(path: &Path) -> Vec<u8> {
        let mut image = Image::open(path, false).unwrap();
        let mut bytes = vec![0; image.length() as usize];
        image.read_exact_at(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn an_overlay_starts_with_the_contents_of_its_backing_file_and_is_small() {
        let (folder, bytes) = folder();
        let at = |name: &str| folder.path().join(name);
        let overlays = OverlayBuilder::new(&at("base.img")).unwrap();
        overlays.create(&at("one.qcow2")).unwrap();
        assert_eq!(Format::Qcow2, {
            Image::open(&at("one.qcow2"), false).unwrap().format()
        });
        assert!(contents(&at("one.qcow2")) == bytes);
        assert!(fs::metadata(at("one.qcow2")).unwrap().len() < 300 << 10);
        let larger = overlays.clone().size(3 << 20);
        larger.create(&at("large.qcow2")).unwrap();
        let found = contents(&at("large.qcow2"));
        assert!(found[..bytes.len()] == bytes && found.len() == 3 << 20);
        assert!(found[bytes.len()..].iter().all(|byte| *byte == 0));
        // An overlay over an overlay.
        let second = OverlayBuilder::new(&at("one.qcow2")).unwrap();
        second.create(&at("two.qcow2")).unwrap();
        assert!(contents(&at("two.qcow2")) == bytes);
        // Nothing but the images is left.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    }

    #[test]
    fn a_relative_path_starts_in_the_folder_of_the_overlay() {
        let (folder, bytes) = folder();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("guests")).unwrap();
        let overlays = OverlayBuilder::new(&at("base.img")).unwrap();
        let relative = overlays.backing_path(Path::new("../base.img"));
        relative.create(&at("guests/one.qcow2")).unwrap();
        let moved = tempfile::tempdir().unwrap();
        fs::rename(at("guests"), moved.path().join("guests")).unwrap();
        fs::rename(at("base.img"), moved.path().join("base.img")).unwrap();
        assert!(contents(&moved.path().join("guests/one.qcow2")) == bytes);
        let error = relative.create(&at("two.qcow2")).unwrap_err().to_string();
        assert!(error.contains("../base.img: No such file"), "{error}");
    }

    #[test]
    fn what_cannot_be_an_overlay_is_refused() {
        let (folder, _) = folder();
        let at = |name: &str| folder.path().join(name);
        let missing = OverlayBuilder::new(&at("missing")).unwrap_err().to_string();
        assert!(missing.contains("missing: No such file"), "{missing}");
        let overlays = OverlayBuilder::new(&at("base.img")).unwrap();
        let error = overlays.clone().size(512).create(&at("small.qcow2"));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("would have 512 bytes, less than the 1049088 bytes"));
        fs::write(at("there"), "kept").unwrap();
        assert!(overlays.create(&at("there")).is_err());
        assert_eq!(fs::read(at("there")).unwrap(), b"kept");
        overlays.clone().replace(true).create(&at("there")).unwrap();
        assert!(fs::read(at("there")).unwrap().starts_with(b"QFI\xfb"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn an_image_in_use_is_refused() {
        let (folder, _) = folder();
        let at = |name: &str| folder.path().join(name);
        let overlays = OverlayBuilder::new(&at("base.img")).unwrap();
        overlays.create(&at("one.qcow2")).unwrap();
        let open = |name: &str, is_writable| Image::open(&at(name), is_writable);
        let used = open("one.qcow2", true).unwrap();
        for is_writable in [false, true] {
            let error = open("one.qcow2", is_writable).unwrap_err().to_string();
            assert!(
                error.contains("one.qcow2 is in use: a running QEMU"),
                "{error}"
            );
        }
        drop(used);
        // Readers do not exclude each other, nor does a writer of the overlay the backing file's.
        let readers = (open("one.qcow2", false), open("one.qcow2", true));
        assert!(readers.0.is_ok() && readers.1.is_ok());
        assert!(open("base.img", false).is_ok());
        let used = open("base.img", true).unwrap();
        assert!(open("base.img", true).is_err());
        assert!(open("base.img", false).is_ok());
        drop(used);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn an_overlay_reads_as_it_was_written(
            writes in proptest::collection::vec((0_usize..2049, 1_usize..400, any::<u8>(), any::<bool>()), 1..12)
        ) {
            let (folder, bytes) = folder();
            let at = |name: &str| folder.path().join(name);
            OverlayBuilder::new(&at("base.img")).unwrap().create(&at("one.qcow2")).unwrap();
            let mut model = bytes.clone();
            let mut image = Image::open(&at("one.qcow2"), true).unwrap();
            for (block, blocks, byte, reopens) in writes {
                let start = block * 512;
                let end = (start + blocks * 512).min(model.len());
                image.write_at(start as u64, &vec![byte; end - start]).unwrap();
                model[start..end].fill(byte);
                if reopens {
                    image.sync().unwrap();
                    drop(image);
                    image = Image::open(&at("one.qcow2"), true).unwrap();
                }
            }
            let mut found = vec![0; model.len()];
            image.read_exact_at(0, &mut found).unwrap();
            prop_assert!(found == model);
            drop(image);
            prop_assert!(contents(&at("one.qcow2")) == model);
            prop_assert!(fs::read(at("base.img")).unwrap() == bytes);
        }
    }
}
