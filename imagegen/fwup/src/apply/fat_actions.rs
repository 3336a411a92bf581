// SPDX-License-Identifier: MIT OR Apache-2.0

//! The actions on FAT file systems, except `fat_write`.

use fat_volume::{Error, Session, Storage};
use little_loader_core::units::BLOCK_SIZE;

use super::error::FatActionError;
use super::fat_device::volume_start;
use crate::firmware::fat_action::{FatAction, FatPath};

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
    change(session, disk, action).map_err(|error| FatActionError::new(name, path, error))
}

fn change(
    session: &mut Session,
    disk: &mut dyn Storage,
    action: &FatAction<'_>,
) -> Result<(), Error> {
    match *action {
        FatAction::Write(_) => Ok(()),
        FatAction::Format { volume, length } => {
            session.make_file_system(disk, volume_start(volume)?, length / BLOCK_SIZE)
        }
        FatAction::SetAttributes {
            file: FatPath { volume, path },
            attributes,
        } => session.set_attributes(disk, volume_start(volume)?, path, attributes),
        FatAction::Copy { from, to } => {
            let [source, target] = [volume_start(from.volume)?, volume_start(to.volume)?];
            session.copy(disk, (source, from.path), (target, to.path))
        }
        FatAction::Rename { from, to, replaces } => {
            let start = volume_start(from.volume)?;
            match replaces {
                true => session.replace(disk, start, from.path, to),
                false => session.rename(disk, start, from.path, to),
            }
        }
        FatAction::Remove {
            file: FatPath { volume, path },
            must_exist,
        } => match session.remove(disk, volume_start(volume)?, path) {
            Err(Error::NotFound { .. } | Error::NoDirectory { .. }) if !must_exist => Ok(()),
            result => result,
        },
        FatAction::CreateFolder(FatPath { volume, path }) => {
            session.make_directory(disk, volume_start(volume)?, path)
        }
        FatAction::SetLabel { volume, label } => {
            session.set_label(disk, volume_start(volume)?, label)
        }
        FatAction::Touch(FatPath { volume, path }) => {
            session.touch(disk, volume_start(volume)?, path)
        }
    }
}
