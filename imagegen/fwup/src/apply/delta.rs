// SPDX-License-Identifier: MIT OR Apache-2.0

//! The data of a resource that is a delta (VCDIFF, RFC 3284): the entry in the archive has another
//! length than `meta.conf` says, and a source on the destination that the delta changes.

use std::io::{self, Read};

use fat_volume::FileMap;
use vcdiff_stream::decode::{DecodeOptions, DeltaError, Patched};
use vcdiff_stream::source::Source;

use super::error::ApplyError;
use super::fat_device::FatDevice;
use super::resource_data::ResourceData;
use crate::archive::read::{Archive, EntryReader};
use crate::destination::storage::Storage;
use crate::destination::view::{DeviceView, SharedDevice};
use crate::disk_cipher::{CIPHER_BLOCK, DiskCipher};
use crate::firmware::delta_source::DeltaSource;
use crate::firmware::model::Handler;

/// The cache for the source in bytes: few blocks, because the destination has a cache of its own.
const SOURCE_CACHE: usize = 256 << 10;

/// Returns the source that an `on-resource` section names, if any.
pub(super) fn source_of(handler: &Handler) -> Result<Option<DeltaSource<'_>>, ApplyError> {
    DeltaSource::parse(&handler.options).map_err(|error| ApplyError::DeltaOptions {
        resource: handler.resource.clone(),
        error,
    })
}

/// The source of a delta, opened.
pub(super) enum OpenSource<'a, 'd, S> {
    /// A part of the destination.
    Raw {
        view: DeviceView<'a, 'd, S>,
        cipher: Option<&'a DiskCipher>,
    },
    /// A file on a FAT file system.
    File {
        device: &'a SharedDevice<'d, S>,
        map: FileMap,
    },
}

impl<S: Storage> Source for OpenSource<'_, '_, S> {
    fn length(&self) -> u64 {
        match self {
            Self::Raw { view, .. } => view.length(),
            Self::File { map, .. } => map.length().into(),
        }
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Raw { view, cipher } => {
                view.read(offset, out).map_err(io::Error::other)?;
                if let Some(cipher) = cipher {
                    // The decoder reads whole blocks, and the view has whole ones.
                    let (blocks, _) = out.as_chunks_mut::<CIPHER_BLOCK>();
                    cipher.decrypt(offset / CIPHER_BLOCK as u64, blocks);
                }
                Ok(())
            }
            Self::File { device, map } => {
                let offset = u32::try_from(offset).map_err(io::Error::other)?;
                let read = map.read_at(&mut FatDevice(device), offset, out);
                match read.map_err(io::Error::other)? {
                    length if length == out.len() => Ok(()),
                    _ => Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
        }
    }
}

/// The data that a delta makes.
pub(super) struct DeltaData<'a, 'd, R, S> {
    resource: &'a str,
    patched: Patched<EntryReader<'a, R>, OpenSource<'a, 'd, S>>,
}

impl<'a, 'd, R: Read, S: Storage> DeltaData<'a, 'd, R, S> {
    /// Uses the current entry of an archive as the delta of `resource`.
    pub(super) fn new(
        resource: &'a str,
        archive: &'a mut Archive<R>,
        source: OpenSource<'a, 'd, S>,
    ) -> Self {
        let options = DecodeOptions {
            cache_length: SOURCE_CACHE,
            ..DecodeOptions::default()
        };
        Self {
            resource,
            patched: Patched::new(EntryReader(archive), source, options),
        }
    }
}

impl<R: Read, S: Storage> ResourceData for DeltaData<'_, '_, R, S> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, ApplyError> {
        let mut filled = 0;
        while filled < out.len() {
            match self.patched.read(&mut out[filled..]) {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(error) => {
                    let resource = self.resource.to_owned();
                    return Err(match error.downcast::<DeltaError>() {
                        Ok(error) => ApplyError::Delta {
                            resource,
                            error: Box::new(error),
                        },
                        Err(error) => ApplyError::DeltaSource { resource, error },
                    });
                }
            }
        }
        Ok(filled)
    }
}
