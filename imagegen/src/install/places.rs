// SPDX-License-Identifier: MIT OR Apache-2.0

//! The places of a slot's parts, according to the variables and the partition table of an image.

use fwup::destination::Storage;
use little_loader_core::env::place::EnvCopy;
use little_loader_core::slots::slot::Slot;
use little_loader_core::slots::variables::SlotContents;

use super::copy::{Part, read};
use super::error::InstallError;
use super::root::Root;
use super::source::{Source, kernel};
use crate::env_file::EnvFile;
use crate::image::Image;
use crate::layout::{Blocks, index};
use crate::mbr::{self, Mbr};
use crate::size::Size;
use crate::slots::with_loader_variables;
use crate::variables::Variables;

/// The contents of a slot according to its variables.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    pub(super) kernel_lba: u64,
    pub(super) args: Vec<u8>,
    /// Whether the arguments name the partition of the root file system by its number.
    pub(super) names_root: bool,
    /// The first block and the size in bytes.
    pub(super) initrd: Option<(u64, u64)>,
}

/// Reads the variables of a slot.
pub(super) fn slot_contents(
    image: &Image,
    variables: &Variables,
    slot: Slot,
) -> Result<Contents, InstallError> {
    let contents = with_loader_variables(variables, |all| {
        SlotContents::read(all.of(slot)).map(|contents| Contents {
            kernel_lba: contents.kernel_lba.0,
            args: contents.kernel_args.to_vec(),
            names_root: Root::find(contents.kernel_args).is_some(),
            initrd: contents
                .initrd
                .map(|initrd| (initrd.lba.0, initrd.length.0)),
        })
    })?;
    contents.map_err(|error| InstallError::Slot {
        path: image.path().to_owned(),
        slot,
        error,
    })
}

/// Returns the number of the partition with the root file system of a slot: the one that the kernel
/// arguments name, or else 1 for slot a and 2 for slot b.
pub(super) fn root_number(args: &[u8], slot: Slot) -> u8 {
    // At most 2.
    Root::find(args).map_or(index(slot) as u8 + 1, |root| root.number)
}

/// Returns the blocks of a partition, from 1 on.
pub(super) fn partition(image: &mut Image, number: u8) -> Result<Option<Blocks>, InstallError> {
    let partitions = partitions(image)?;
    Ok(partitions
        .get(usize::from(number.saturating_sub(1)))
        .copied()
        .flatten())
}

fn partitions(image: &mut Image) -> Result<[Option<Blocks>; 4], InstallError> {
    let mut block = [0; mbr::SIZE];
    read(image, 0, &mut block)?;
    let table = Mbr::parse(&block).unwrap_or_default();
    Ok(table.partitions.map(|partition| {
        partition.map(|partition| Blocks {
            start: partition.start.into(),
            count: partition.blocks.into(),
        })
    }))
}

/// The blocks of an image that a slot's kernel and initrd must not use, with their names.
fn taken(
    file: &mut EnvFile,
    variables: &Variables,
    running: Slot,
) -> Result<Vec<(Blocks, String)>, InstallError> {
    let place = *file.place();
    let second = place.redundant_lba.map(|_| EnvCopy::Second);
    let copies = [Some(EnvCopy::First), second].into_iter().flatten();
    let mut taken = vec![(Blocks { start: 0, count: 1 }, "the MBR".to_owned())];
    taken.extend(copies.map(|copy| {
        let (start, count) = (place.lba_of(copy).0, place.size.blocks());
        (Blocks { start, count }, "the environment".to_owned())
    }));
    let image = file.image();
    for (number, partition) in (1..).zip(partitions(image)?) {
        taken.extend(partition.map(|blocks| (blocks, format!("partition {number}"))));
    }
    let contents = slot_contents(image, variables, running)?;
    let kernel = kernel(image, running, contents.kernel_lba)?;
    taken.push((kernel, format!("the kernel of slot {running}")));
    if let Some((start, length)) = contents.initrd {
        let count = Size(length).blocks();
        let name = format!("the initrd of slot {running}");
        taken.push((Blocks { start, count }, name));
    }
    Ok(taken)
}

/// Finds the places for the parts of a new slot, and checks that they fit. `running` is the other
/// slot.
pub(super) fn place(
    file: &mut EnvFile,
    slot: Slot,
    running: Slot,
    source: &Source,
) -> Result<Vec<Part>, InstallError> {
    let variables = file.variables();
    let taken = taken(file, &variables, running)?;
    let image = file.image();
    let contents = slot_contents(image, &variables, slot)?;
    let length = image.length() / 512;
    let no_room = |image: &Image, what, needed: u64, room: u64| InstallError::NoRoom {
        what,
        length: Size(needed.saturating_mul(512)),
        path: image.path().to_owned(),
        slot,
        room: Size(room.saturating_mul(512)),
    };
    // The number of free blocks from `start` on.
    let room = |start: u64| {
        let inside = |blocks: &Blocks| blocks.start <= start && start < blocks.end();
        if taken.iter().any(|(blocks, _)| inside(blocks)) {
            return 0;
        }
        let starts = taken.iter().map(|(blocks, _)| blocks.start);
        let next = starts.filter(|next| *next > start).min();
        next.unwrap_or(length).min(length).saturating_sub(start)
    };
    let start = contents.kernel_lba;
    let inside = |(blocks, _): &&(Blocks, String)| blocks.start <= start && start < blocks.end();
    if let Some((_, other)) = taken.iter().find(inside) {
        return Err(InstallError::Inside {
            slot,
            lba: start,
            other: other.clone(),
        });
    }
    let kernel_end = start.saturating_add(source.kernel.count);
    if source.kernel.count > room(start) {
        let needed = source.kernel.count;
        return Err(no_room(image, "the kernel", needed, room(start)));
    }
    let mut parts = vec![Part {
        what: "the kernel",
        from: source.kernel,
        to: start,
    }];
    if let Some((blocks, _)) = source.initrd {
        // The place that the variables name, or else after the kernel, aligned to 4 KiB.
        let after = kernel_end.next_multiple_of(8);
        let named = contents.initrd.map(|(lba, _)| lba);
        let named = named.filter(|lba| *lba >= kernel_end && room(*lba) >= blocks.count);
        let to = named.unwrap_or(after);
        if blocks.count > room(to) {
            let needed = to - start + blocks.count;
            let what = "the kernel with its initrd";
            return Err(no_room(image, what, needed, room(start)));
        }
        parts.push(Part {
            what: "the initrd",
            from: blocks,
            to,
        });
    }
    if let Some(blocks) = source.rootfs {
        let number = root_number(&contents.args, slot);
        let running_args = slot_contents(image, &variables, running)?.args;
        if number == root_number(&running_args, running) {
            return Err(InstallError::SharedPartition { slot, number });
        }
        let found = partition(image, number)?;
        let found = found.ok_or_else(|| InstallError::NoPartition {
            path: image.path().to_owned(),
            slot,
            number,
        })?;
        let available = found.count.min(length.saturating_sub(found.start));
        if blocks.count > available {
            let what = "the root file system";
            return Err(no_room(image, what, blocks.count, available));
        }
        parts.push(Part {
            what: "the root file system",
            from: blocks,
            to: found.start,
        });
    }
    Ok(parts)
}
