// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::{self, Metadata};
use std::io::Read;
use std::path::Path;

use super::error::ApplyError;
use super::execution::{Applied, apply};
use super::observer::Observer;
use crate::archive::firmware_archive::{FirmwareArchive, OpenError};
use crate::destination::options::{DestinationOptions, OpenDestinationError};
use crate::destination::storage::Storage;
use crate::language::Definitions;
use crate::links;

/// Why an archive was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyFileError {
    /// The input is not a firmware archive.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The destination cannot be opened.
    #[error(transparent)]
    Destination(#[from] OpenDestinationError),
    /// The task failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Applies an archive to an image or a device. A missing image is created; if it is still empty
/// after an error, it is removed again.
///
/// # Errors
///
/// When the archive or the destination cannot be opened, or the task fails.
pub fn apply_to(
    input: impl Read + Send,
    destination: &Path,
    task: &str,
    definitions: &mut Definitions,
    observer: &mut dyn Observer,
) -> Result<Applied, ApplyFileError> {
    let options = &DestinationOptions::default();
    apply_with(input, destination, task, definitions, options, observer)
}

/// Applies an archive like [`apply_to`], with options for the destination.
///
/// # Errors
///
/// When the archive or the destination cannot be opened, or the task fails.
pub fn apply_with(
    input: impl Read + Send,
    destination: &Path,
    task: &str,
    definitions: &mut Definitions,
    options: &DestinationOptions,
    observer: &mut dyn Observer,
) -> Result<Applied, ApplyFileError> {
    let input = FirmwareArchive::read(input, definitions)?;
    apply_opened(input, destination, task, options, observer)
}

/// Applies an archive like [`apply_with`], after its start was read.
///
/// # Errors
///
/// When the destination cannot be opened, or the task fails.
pub fn apply_opened<R: Read + Send>(
    mut input: FirmwareArchive<R>,
    destination: &Path,
    task: &str,
    options: &DestinationOptions,
    observer: &mut dyn Observer,
) -> Result<Applied, ApplyFileError> {
    input.firmware.is_unsafe = options.is_unsafe;
    let is_new = !destination.exists();
    let mut device = options.open(destination, |message| observer.warning(message))?;
    let result = apply(
        &mut input.entries,
        &input.firmware,
        task,
        &mut device,
        observer,
    );
    if let Some(error) = device.discard_error() {
        observer.warning(&format!(
            "the disk did not discard the trimmed blocks, which is harmless: {error}"
        ));
    }
    if result.is_err() && is_new && device.into_storage().length() == 0 {
        remove_created(destination);
    }
    Ok(result?)
}

/// Removes an image that was created for a task that failed: the file itself, not a link to it.
fn remove_created(destination: &Path) {
    let Some(created) = links::target(destination) else {
        return;
    };
    // Another program may have used the file since then.
    let is_empty = |found: Metadata| found.is_file() && found.len() == 0;
    if fs::symlink_metadata(&created).is_ok_and(is_empty) {
        // The first error is the one to report.
        let _ = fs::remove_file(created);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;
    use crate::archive::write::Level;
    use crate::create::write_archive;
    use crate::language::configuration;

    /// Ignores all reports.
    struct Silent;

    impl Observer for Silent {
        fn progress(&mut self, _: u64, _: u64) {}

        fn info(&mut self, _: &str) {}
    }

    fn packed(text: &str) -> Vec<u8> {
        let definitions = &mut Definitions::empty();
        let firmware = configuration(text.into(), "test", PathBuf::new(), definitions);
        let mut archive = Vec::new();
        let level = Level::default();
        write_archive(&mut firmware.unwrap(), &mut archive, level, 0, |_, _| {}).unwrap();
        archive
    }

    #[test]
    fn a_task_that_fails_leaves_neither_a_new_image_nor_a_link_to_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("images")).unwrap();
        symlink("disk.img", at("link")).unwrap();
        symlink("../images/disk.img", at("images/second")).unwrap();
        symlink("images/second", at("first")).unwrap();
        let archive = packed(
            "uboot-environment e { block-offset = 0 block-count = 1 }\n\
             task needs { require-partition-offset(0, 99) }\n\
             task says { on-init { info(hello) error(no) } }\n\
             task unsafe { on-init { execute(true) } }\n\
             task damaged { on-init { uboot_setenv(e, a, 1) } }\n\
             task partly { on-init { raw_memset(0, 1, 1) error(no) } on-error { info(sorry) } }\n\
             task undone { on-init { error(no) } on-error { raw_memset(0, 1, 7) } }\n",
        );
        let apply = |input: &[u8], destination: &str, task: &str| {
            let definitions = &mut Definitions::empty();
            apply_to(input, &at(destination), task, definitions, &mut Silent).unwrap_err();
            for link in ["link", "first", "images/second"] {
                assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink());
            }
        };
        for destination in ["link", "disk.img", "first", "images/disk.img"] {
            let file = match destination {
                "first" => "images/disk.img",
                "link" => "disk.img",
                file => file,
            };
            for task in ["unknown", "needs", "says", "unsafe", "damaged", "partly"] {
                apply(&archive, destination, task);
                assert!(!at(file).exists(), "{destination} {task}");
            }
            // Inputs that are not archives.
            apply(&archive[..40], destination, "says");
            apply(b"", destination, "says");
            assert!(!at(file).exists());
            // What on-error writes is kept, and so is an image that the user made.
            apply(&archive, destination, "undone");
            assert_eq!(fs::read(at(file)).unwrap()[..3], [7, 7, 7]);
            fs::write(at(file), "").unwrap();
            apply(&archive, destination, "says");
            assert!(at(file).exists());
            fs::remove_file(at(file)).unwrap();
        }
    }
}
