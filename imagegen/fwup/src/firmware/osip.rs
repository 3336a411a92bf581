// SPDX-License-Identifier: MIT OR Apache-2.0

//! The operating system image profile (OSIP) of an `mbr` section: the table that Intel's Medfield
//! and Merrifield boot ROMs read in place of boot code.

use super::model::{Section, Stage, Value};
use super::table_option::{number, title};

/// The maximum number of images.
const MOST_IMAGES: usize = 15;

/// The table: its version, and the images from 0 to the last one defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Osip {
    pub(crate) minor: u8,
    pub(crate) major: u8,
    pub(crate) pointers: u8,
    /// An image that is not defined is all zeroes.
    pub(crate) images: Vec<OsImage>,
}

/// An `osii` section: an image of an operating system. Offsets and lengths are in blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OsImage {
    pub(crate) minor: u16,
    pub(crate) major: u16,
    pub(crate) start: u32,
    /// The address in memory to which the image is loaded.
    pub(crate) load_address: u32,
    pub(crate) entry_point: u32,
    pub(crate) blocks: u32,
    pub(crate) attribute: u8,
}

impl Osip {
    /// Reads the table from an `mbr` section; `None` if `include-osip` is not set.
    ///
    /// # Errors
    ///
    /// Invalid numbers, and a table without images.
    pub(super) fn parse(section: &Section, stage: Stage) -> Result<Option<Self>, String> {
        if section.options.boolean("include-osip") != Some(true) {
            return Ok(None);
        }
        let mut osip = Self {
            minor: field(section, "osip-minor", 0, stage)?,
            major: field(section, "osip-major", 1, stage)?,
            pointers: field(section, "osip-num-pointers", 1, stage)?,
            images: Vec::new(),
        };
        let mut found = [false; MOST_IMAGES];
        for inner in section.sections.iter().filter(|inner| inner.kind == "osii") {
            let (at, image) = OsImage::parse(inner, stage)
                .map_err(|what| format!("osii '{}': {what}", inner.title))?;
            if std::mem::replace(&mut found[at], true) {
                return Err(format!("osii {at} is defined twice"));
            }
            if osip.images.len() <= at {
                osip.images.resize(at + 1, OsImage::default());
            }
            osip.images[at] = image;
        }
        if osip.images.is_empty() {
            return Err("include-osip needs at least one osii section".to_owned());
        }
        Ok(Some(osip))
    }
}

impl OsImage {
    fn parse(section: &Section, stage: Stage) -> Result<(usize, Self), String> {
        let image = Self {
            minor: field(section, "os-minor", 0, stage)?,
            major: field(section, "os-major", 0, stage)?,
            start: field(section, "start-block-offset", 0, stage)?,
            load_address: field(section, "ddr-load-address", 0, stage)?,
            entry_point: field(section, "entry-point", 0, stage)?,
            blocks: field(section, "image-size-blocks", 0, stage)?,
            attribute: field(section, "attribute", 0xf, stage)?,
        };
        Ok((title(section, "an osii", MOST_IMAGES)?, image))
    }
}

/// Reads a number that fills `T`, an unsigned integer of at most 32 bits. As in fwup, a negative
/// number stands for its two's complement.
fn field<T: TryFrom<u32>>(
    section: &Section,
    name: &str,
    default: u32,
    stage: Stage,
) -> Result<T, String> {
    let bits = 8 * size_of::<T>() as u32;
    let most = (1_i64 << bits) - 1;
    let found = match section.options.get(name) {
        Some(Value::Integer(negative)) if (-(most / 2) - 1..0).contains(negative) => {
            u32::try_from(negative & most).ok()
        }
        _ => number(section, name, most, Some(default), stage)?,
    };
    found
        .and_then(|found| T::try_from(found).ok())
        .ok_or_else(|| format!("{name} must be a number of {bits} bits"))
}
