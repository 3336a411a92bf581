// SPDX-License-Identifier: MIT OR Apache-2.0

//! The actions on FAT file systems, with parsed arguments.

use super::call::{Arguments, CallError};

/// A FAT file system, by the offset in bytes at which it starts on the destination.
pub(crate) type VolumeOffset = u64;

/// A file or folder on a FAT file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FatPath<'a> {
    pub(crate) volume: VolumeOffset,
    pub(crate) path: &'a str,
}

/// Whether two paths on the same file system are those of the same file: FAT does not distinguish
/// capital letters.
pub(crate) fn is_same_path(one: &str, other: &str) -> bool {
    let plain = |path: &str| path.trim_start_matches('/').to_lowercase();
    plain(one) == plain(other)
}

/// An action on FAT file systems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FatAction<'a> {
    /// Makes an empty file system of `length` bytes.
    Format {
        volume: VolumeOffset,
        length: u64,
    },
    /// Sets the attributes R, H and S to those in `attributes`.
    SetAttributes {
        file: FatPath<'a>,
        attributes: &'a str,
    },
    /// Writes the resource's data to a file.
    Write(FatPath<'a>),
    Copy {
        from: FatPath<'a>,
        to: FatPath<'a>,
    },
    /// Renames a file within one file system. `replaces` allows the new name to exist.
    Rename {
        from: FatPath<'a>,
        to: &'a str,
        replaces: bool,
    },
    /// Removes a file, which may be missing unless `must_exist` is set.
    Remove {
        file: FatPath<'a>,
        must_exist: bool,
    },
    CreateFolder(FatPath<'a>),
    SetLabel {
        volume: VolumeOffset,
        label: &'a str,
    },
    /// Creates an empty file unless it exists.
    Touch(FatPath<'a>),
}

impl<'a> FatAction<'a> {
    /// Returns the action's name, and its file or label for messages.
    pub(crate) fn described(&self) -> (&'static str, &'a str) {
        match self {
            Self::Format { .. } => ("fat_mkfs", ""),
            Self::SetAttributes { file, .. } => ("fat_attrib", file.path),
            Self::Write(file) => ("fat_write", file.path),
            Self::Copy { from, .. } => ("fat_cp", from.path),
            Self::Rename {
                from,
                replaces: true,
                ..
            } => ("fat_mv!", from.path),
            Self::Rename { from, .. } => ("fat_mv", from.path),
            Self::Remove {
                file,
                must_exist: true,
            } => ("fat_rm!", file.path),
            Self::Remove { file, .. } => ("fat_rm", file.path),
            Self::CreateFolder(file) => ("fat_mkdir", file.path),
            Self::SetLabel { label, .. } => ("fat_setlabel", label),
            Self::Touch(file) => ("fat_touch", file.path),
        }
    }

    /// Reads a call whose name starts with `fat_`; the outer `None` for any other call, the inner
    /// one if only the device can resolve an argument.
    pub(super) fn parse(
        read: &Arguments<'a>,
        within: &str,
    ) -> Result<Option<Option<Self>>, CallError> {
        let volume = |text| read.blocks("first", text);
        let file = |text, path| -> Result<_, CallError> {
            Ok(volume(text)?.map(|volume| FatPath { volume, path }))
        };
        let all = read.all();
        let action = match (read.name(), all.as_slice()) {
            ("fat_mkfs", &[offset, length]) => {
                let place = volume(offset)?.zip(read.blocks("second", length)?);
                place.map(|(volume, length)| Self::Format { volume, length })
            }
            ("fat_mkfs", _) => return Err(read.wrong_count("a block and a count of blocks")),
            ("fat_attrib", &[offset, path, attributes]) => {
                if !attributes.chars().all(|letter| "RHSrhs".contains(letter)) {
                    return Err(CallError::Attributes(attributes.to_owned()));
                }
                file(offset, path)?.map(|file| Self::SetAttributes { file, attributes })
            }
            ("fat_attrib", _) => {
                return Err(read.wrong_count("a block, a path and attributes (of R, H and S)"));
            }
            ("fat_write", _) if within != "on-resource" => {
                return Err(read.wrong_section(within));
            }
            // The name of the resource is added when the configuration has been read.
            ("fat_write", &[offset]) if read.is_for_archive() => {
                volume(offset)?;
                None
            }
            ("fat_write", &[offset, path]) => file(offset, path)?.map(Self::Write),
            ("fat_write", _) => return Err(read.wrong_count("a block and perhaps a path")),
            ("fat_cp", &[offset, from, to]) => file(offset, from)?.map(|from| Self::Copy {
                from,
                to: FatPath { path: to, ..from },
            }),
            ("fat_cp", &[from_offset, from, to_offset, to]) => {
                let to_volume = read.blocks("third", to_offset)?;
                let places = file(from_offset, from)?.zip(to_volume);
                places.map(|(from, volume)| Self::Copy {
                    from,
                    to: FatPath { volume, path: to },
                })
            }
            ("fat_cp", _) => {
                return Err(read.wrong_count("a block, a path, perhaps another block, and a path"));
            }
            (name @ ("fat_mv" | "fat_mv!"), &[offset, from, to]) => {
                file(offset, from)?.map(|from| Self::Rename {
                    from,
                    to,
                    replaces: name.ends_with('!'),
                })
            }
            ("fat_mv" | "fat_mv!", _) => return Err(read.wrong_count("a block and two paths")),
            (name @ ("fat_rm" | "fat_rm!"), &[offset, path]) => {
                file(offset, path)?.map(|file| Self::Remove {
                    file,
                    must_exist: name.ends_with('!'),
                })
            }
            ("fat_mkdir", &[offset, path]) => file(offset, path)?.map(Self::CreateFolder),
            ("fat_touch", &[offset, path]) => file(offset, path)?.map(Self::Touch),
            ("fat_rm" | "fat_rm!" | "fat_mkdir" | "fat_touch", _) => {
                return Err(read.wrong_count("a block and a path"));
            }
            ("fat_setlabel", &[offset, label]) => {
                volume(offset)?.map(|volume| Self::SetLabel { volume, label })
            }
            ("fat_setlabel", _) => return Err(read.wrong_count("a block and a label")),
            _ => return Ok(None),
        };
        Ok(Some(action))
    }
}
