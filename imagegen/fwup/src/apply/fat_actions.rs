// SPDX-License-Identifier: MIT OR Apache-2.0

//! The actions on FAT file systems, except `fat_write`.

use fat_volume::{Error, Session, Start, Storage};
use little_loader_core::units::BLOCK_SIZE;

use super::error::FatActionError;
use crate::firmware::fat_action::{FatAction, FatPath, VolumeOffset};

/// Returns the start of a file system, by its offset in bytes.
pub(super) fn start_of(volume: VolumeOffset) -> Result<Start, Error> {
    Start::from_blocks(volume / BLOCK_SIZE)
}

/// Runs an action; `fat_write` needs a resource and does nothing here.
///
/// # Errors
///
/// When the action fails, with its name and its file.
pub(super) fn run(
    session: &mut Session,
    disk: &mut dyn Storage,
    action: &FatAction<'_>,
) -> Result<(), FatActionError> {
    let (name, path) = action.described();
    let result = match *action {
        FatAction::Write(_) => Ok(()),
        FatAction::Format { volume, length } => start_of(volume)
            .and_then(|start| session.make_file_system(disk, start, length / BLOCK_SIZE)),
        FatAction::SetAttributes {
            file: FatPath { volume, path },
            attributes,
        } => {
            start_of(volume).and_then(|start| session.set_attributes(disk, start, path, attributes))
        }
        FatAction::Copy { from, to } => start_of(from.volume).and_then(|from_start| {
            let to_start = start_of(to.volume)?;
            session.copy(disk, (from_start, from.path), (to_start, to.path))
        }),
        FatAction::Rename { from, to, replaces } => {
            start_of(from.volume).and_then(|start| match replaces {
                true => session.replace(disk, start, from.path, to),
                false => session.rename(disk, start, from.path, to),
            })
        }
        FatAction::Remove {
            file: FatPath { volume, path },
            must_exist,
        } => match start_of(volume).and_then(|start| session.remove(disk, start, path)) {
            Err(Error::NotFound { .. } | Error::NoDirectory { .. }) if !must_exist => Ok(()),
            result => result,
        },
        FatAction::CreateFolder(FatPath { volume, path }) => {
            start_of(volume).and_then(|start| session.make_directory(disk, start, path))
        }
        FatAction::SetLabel { volume, label } => {
            start_of(volume).and_then(|start| session.set_label(disk, start, label))
        }
        FatAction::Touch(FatPath { volume, path }) => {
            start_of(volume).and_then(|start| session.touch(disk, start, path))
        }
    };
    result.map_err(|error| FatActionError::new(name, path, error))
}
