// SPDX-License-Identifier: MIT OR Apache-2.0

//! The root file system: a squashfs file, or a folder that is packed into a squashfs.

use std::fs::{self, File};
use std::io::{self, Cursor};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use backhand::compression::Compressor;
use backhand::{BackhandError, FilesystemCompressor, FilesystemWriter, NodeHeader};

/// The first bytes of a squashfs (Linux, `fs/squashfs/squashfs_fs.h`, `SQUASHFS_MAGIC`,
/// little-endian).
pub const MAGIC: &[u8; 4] = b"hsqs";

/// The size of the superblock in bytes.
const SUPERBLOCK: u64 = 96;

/// The offset of `bytes_used` in the superblock: the size of the squashfs in bytes, little-endian
/// (same source).
const BYTES_USED: usize = 40;

/// Why a root file system cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The file is not a squashfs.
    #[error("{} is not a squashfs (it starts with \"{}\"): give a squashfs or a folder", .path.display(), .start.escape_ascii())]
    NoSquashfs {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        start: Vec<u8>,
    },
    /// The file ends before the squashfs does.
    #[error("{} has {length} bytes, but the squashfs in it has {expected}: a truncated file?", .path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        length: u64,
        /// The size in bytes according to the superblock, or that of a whole superblock.
        expected: u64,
    },
    /// The folder cannot be packed.
    #[error("cannot pack {}: {error}", .path.display())]
    Pack {
        /// The path that cannot be packed.
        path: PathBuf,
        /// The squashfs writer's error.
        error: BackhandError,
    },
}

/// Reads a squashfs, or packs a folder into one. All packed files belong to root, as on the target,
/// and keep their modification times.
///
/// # Errors
///
/// When the file is not a complete squashfs, or a file cannot be read or packed.
pub fn load(path: &Path) -> Result<Vec<u8>, RootfsError> {
    let read = |error| RootfsError::Read {
        path: path.to_owned(),
        error,
    };
    if fs::metadata(path).map_err(read)?.is_dir() {
        return pack(path);
    }
    let bytes = fs::read(path).map_err(read)?;
    if !bytes.starts_with(MAGIC) {
        return Err(RootfsError::NoSquashfs {
            path: path.to_owned(),
            start: bytes[..bytes.len().min(8)].to_vec(),
        });
    }
    let length = bytes.len() as u64;
    let expected = bytes
        .get(BYTES_USED..)
        .and_then(<[u8]>::first_chunk)
        .map_or(SUPERBLOCK, |field| u64::from_le_bytes(*field));
    if length < expected.max(SUPERBLOCK) {
        return Err(RootfsError::Truncated {
            path: path.to_owned(),
            length,
            expected,
        });
    }
    Ok(bytes)
}

fn pack(folder: &Path) -> Result<Vec<u8>, RootfsError> {
    let pack_error = |path: &Path, error| RootfsError::Pack {
        path: path.to_owned(),
        error,
    };
    let mut writer = FilesystemWriter::default();
    let gzip = FilesystemCompressor::new(Compressor::Gzip, None)
        .map_err(|error| pack_error(folder, error))?;
    writer.set_compressor(gzip);
    writer.set_time(0);
    writer.set_root_mode(0o755);
    writer.set_only_root_id();
    add_folder(&mut writer, folder, Path::new("/"))?;
    let mut bytes = Cursor::new(Vec::new());
    writer
        .write(&mut bytes)
        .map_err(|error| pack_error(folder, error))?;
    Ok(bytes.into_inner())
}

/// Adds the contents of a folder, sorted by name so that the same folder always gives the same
/// bytes.
fn add_folder(
    writer: &mut FilesystemWriter<'_, '_, '_>,
    folder: &Path,
    inside: &Path,
) -> Result<(), RootfsError> {
    let read = |path: &Path, error| RootfsError::Read {
        path: path.to_owned(),
        error,
    };
    let mut entries = fs::read_dir(folder)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| read(folder, error))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let place = inside.join(entry.file_name());
        let metadata = fs::symlink_metadata(&path).map_err(|error| read(&path, error))?;
        let header = NodeHeader {
            permissions: (metadata.mode() & 0o7777) as u16,
            uid: 0,
            gid: 0,
            mtime: u32::try_from(metadata.mtime()).unwrap_or_default(),
        };
        let kind = metadata.file_type();
        let device = || u32::try_from(metadata.rdev()).unwrap_or_default();
        let added = if kind.is_dir() {
            writer.push_dir(&place, header)
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(|error| read(&path, error))?;
            writer.push_symlink(target, &place, header)
        } else if kind.is_char_device() {
            writer.push_char_device(device(), &place, header)
        } else if kind.is_block_device() {
            writer.push_block_device(device(), &place, header)
        } else if kind.is_fifo() {
            writer.push_fifo(&place, header)
        } else if kind.is_socket() {
            writer.push_socket(&place, header)
        } else {
            // Opening the file here reports an unreadable one by name. The writer opens it again
            // later, so that not all files are open at once.
            File::open(&path).map_err(|error| read(&path, error))?;
            writer.push_file_from_path(&path, &place, header)
        };
        added.map_err(|error| RootfsError::Pack {
            path: path.clone(),
            error,
        })?;
        if kind.is_dir() {
            add_folder(writer, &path, &place)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_folder_becomes_the_same_squashfs_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::write(root.join("bin/tool"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(root.join("bin/tool"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("bin/tool", root.join("init")).unwrap();
        let bytes = load(root).unwrap();
        assert!(bytes.starts_with(MAGIC));
        assert_eq!(bytes, load(root).unwrap());
        let reader = backhand::FilesystemReader::from_reader(Cursor::new(bytes)).unwrap();
        let node = |path: &str| {
            reader
                .files()
                .find(|node| node.fullpath == Path::new(path))
                .unwrap()
        };
        assert_eq!(node("/bin/tool").header.permissions, 0o755);
        assert_eq!(node("/bin/tool").header.uid, 0);
        assert!(
            matches!(&node("/init").inner, backhand::InnerNode::Symlink(link) if link.link == Path::new("bin/tool"))
        );
    }

    #[test]
    fn a_truncated_squashfs_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("root")).unwrap();
        fs::write(folder.path().join("root/file"), "text").unwrap();
        let bytes = load(&folder.path().join("root")).unwrap();
        let path = folder.path().join("squashfs");
        fs::write(&path, &bytes).unwrap();
        assert_eq!(load(&path).unwrap(), bytes);
        for length in [4, 95, 100] {
            fs::write(&path, &bytes[..length]).unwrap();
            let error = load(&path).unwrap_err().to_string();
            assert!(
                error.contains(&format!(
                    "squashfs has {length} bytes, but the squashfs in it has"
                )),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_squashfs_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "ustar...").unwrap();
        let error = load(file.path()).unwrap_err().to_string();
        assert!(
            error.contains("is not a squashfs (it starts with \"ustar...\")"),
            "{error}"
        );
        assert!(
            load(Path::new("/nonexistent"))
                .unwrap_err()
                .to_string()
                .starts_with("cannot read /nonexistent")
        );
    }
}
