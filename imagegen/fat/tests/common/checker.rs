// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reads a whole volume and checks it, independently of the crate.

use std::collections::{BTreeMap, BTreeSet};

use fat_volume::BLOCK;

use super::Disk;

/// A file with its attributes and data, or a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    File { attributes: u8, data: Vec<u8> },
    Directory,
}

pub(crate) struct Checker<'a> {
    disk: &'a Disk,
    start: u64,
    boot: Vec<u8>,
    bits: u32,
    table: u64,
    table_sectors: u64,
    root: u64,
    root_entries: u64,
    data: u64,
    per_cluster: u64,
    end: u32,
    used: BTreeSet<u32>,
    /// Long names without a short one, and clusters without a file, are what a cut may leave.
    after_cut: bool,
    nodes: BTreeMap<String, Node>,
}

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes[at..at + length].iter().rev();
    bytes.fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// All files and directories by their paths.
pub(crate) fn check(disk: &Disk, start: u64, after_cut: bool) -> BTreeMap<String, Node> {
    let mut checker = Checker::new(disk, start, after_cut);
    checker.run();
    checker.nodes
}

impl<'a> Checker<'a> {
    fn new(disk: &'a Disk, start: u64, after_cut: bool) -> Self {
        let boot = disk.blocks[&start].to_vec();
        let table = number(&boot, 14, 2);
        let fat32 = number(&boot, 22, 2) == 0;
        let table_sectors = if fat32 {
            number(&boot, 36, 4)
        } else {
            number(&boot, 22, 2)
        };
        let root = table + 2 * table_sectors;
        let root_entries = number(&boot, 17, 2);
        let data = root + root_entries / 16;
        let sectors = number(&boot, 19, 2).max(number(&boot, 32, 4));
        let per_cluster = number(&boot, 13, 1);
        let clusters = (sectors - data) / per_cluster;
        let bits = match clusters {
            0..=4085 => 12,
            4086..=65525 => 16,
            _ => 32,
        };
        assert_eq!(fat32, bits == 32);
        Self {
            disk,
            start,
            bits,
            table,
            table_sectors,
            root,
            root_entries,
            data,
            per_cluster,
            end: clusters as u32 + 2,
            used: BTreeSet::new(),
            after_cut,
            nodes: BTreeMap::new(),
            boot,
        }
    }

    fn sector(&self, sector: u64) -> [u8; BLOCK] {
        let block = self.disk.blocks.get(&(self.start + sector));
        block.copied().unwrap_or([0; BLOCK])
    }

    fn entry(&self, cluster: u32) -> u32 {
        let at = u64::from(cluster) * u64::from(self.bits) / 8;
        let sector = self.table + at / BLOCK as u64;
        let bytes = [self.sector(sector), self.sector(sector + 1)].concat();
        let at = at as usize % BLOCK;
        match self.bits {
            12 => number(&bytes, at, 2) as u32 >> (cluster % 2 * 4) & 0xfff,
            16 => number(&bytes, at, 2) as u32,
            _ => number(&bytes, at, 4) as u32 & 0x0fff_ffff,
        }
    }

    fn chain(&mut self, first: u64, path: &str) -> Vec<u64> {
        let mut sectors = Vec::new();
        let mut cluster = first as u32;
        loop {
            assert!(
                (2..self.end).contains(&cluster),
                "{path}: cluster {cluster}"
            );
            assert!(
                self.used.insert(cluster),
                "{path}: cluster {cluster} is used twice"
            );
            let sector = self.data + u64::from(cluster - 2) * self.per_cluster;
            sectors.extend(sector..sector + self.per_cluster);
            cluster = self.entry(cluster);
            let end = if self.bits == 32 {
                0x0fff_fff8
            } else {
                (1 << self.bits) - 8
            };
            if cluster >= end {
                return sectors;
            }
        }
    }

    fn run(&mut self) {
        assert_eq!(self.boot[510..], [0x55, 0xaa]);
        if !self.after_cut {
            for sector in self.table..self.table + self.table_sectors {
                let copy = self.sector(sector + self.table_sectors);
                assert_eq!(self.sector(sector), copy, "the tables differ in {sector}");
            }
        }
        let root = match self.bits {
            32 => self.chain(number(&self.boot, 44, 4), "/"),
            _ => (self.root..self.root + self.root_entries / 16).collect(),
        };
        self.directory(&root, "", 0, 0);
        if self.after_cut {
            return;
        }
        let allocated = (2..self.end).filter(|&cluster| self.entry(cluster) != 0);
        let allocated: BTreeSet<u32> = allocated.collect();
        let lost: Vec<_> = allocated.difference(&self.used).collect();
        assert!(lost.is_empty(), "clusters {lost:?} belong to no file");
        if self.bits == 32 {
            let free = self.end as usize - 2 - allocated.len();
            assert_eq!(number(&self.sector(1), 488, 4), free as u64);
        }
    }

    fn directory(&mut self, sectors: &[u64], path: &str, this: u64, parent: u64) {
        let mut long: Vec<(u8, u8, Vec<u16>)> = Vec::new();
        let mut shorts = BTreeSet::new();
        let mut entries = Vec::new();
        for &sector in sectors {
            entries.extend(self.sector(sector).chunks(32).map(<[u8]>::to_vec));
        }
        if let Some(last) = entries.iter().position(|entry| entry[0] == 0) {
            let rest = &entries[last..];
            assert!(
                rest.iter().all(|entry| entry[0] == 0),
                "{path}: entries after the end"
            );
            entries.truncate(last);
        }
        for entry in entries {
            if entry[0] == 0xe5 {
                assert!(
                    self.after_cut || long.is_empty(),
                    "{path}: a long name is left over"
                );
                long.clear();
                continue;
            }
            if entry[11] == 0x0f {
                let units = [1..11, 14..26, 28..32].map(|range| {
                    entry[range]
                        .chunks(2)
                        .map(|unit| number(unit, 0, 2) as u16)
                        .collect::<Vec<_>>()
                });
                if entry[0] & 0x40 != 0 {
                    assert!(self.after_cut || long.is_empty());
                    long.clear();
                }
                long.push((entry[0], entry[13], units.concat()));
                continue;
            }
            if entry[11] & 0x08 != 0 {
                assert!(path.is_empty() && long.is_empty());
                continue;
            }
            let short = entry[..11].to_vec();
            assert!(
                shorts.insert(short.clone()),
                "{path}: {short:?} is there twice"
            );
            let cluster = number(&entry, 26, 2) | number(&entry, 20, 2) << 16;
            let attributes = entry[11];
            if entry[0] == b'.' {
                let expected = if entry[1] == b'.' { parent } else { this };
                assert_eq!(cluster, expected, "{path}: {short:?}");
                continue;
            }
            let name = match long_name(&long, &short) {
                Some(name) => name,
                None => {
                    assert!(
                        self.after_cut || long.is_empty(),
                        "{path}: a wrong long name"
                    );
                    short_name(&entry)
                }
            };
            long.clear();
            let path = format!("{path}/{name}");
            let node = self.node(&path, attributes, cluster, number(&entry, 28, 4), this);
            assert!(
                self.nodes.insert(path.clone(), node).is_none(),
                "{path} is there twice"
            );
        }
        assert!(
            self.after_cut || long.is_empty(),
            "{path}: a long name at the end"
        );
    }

    fn node(&mut self, path: &str, attributes: u8, first: u64, size: u64, parent: u64) -> Node {
        if attributes & 0x10 != 0 {
            let sectors = self.chain(first, path);
            self.directory(&sectors, path, first, parent);
            return Node::Directory;
        }
        let mut data = Vec::new();
        if size > 0 {
            let sectors = self.chain(first, path);
            let clusters = sectors.len() as u64 / self.per_cluster;
            assert_eq!(
                clusters,
                size.div_ceil(self.per_cluster * BLOCK as u64),
                "{path}"
            );
            sectors
                .iter()
                .for_each(|&sector| data.extend(self.sector(sector)));
        } else {
            assert_eq!(first, 0, "{path} is empty and has a cluster");
        }
        data.truncate(size as usize);
        Node::File { attributes, data }
    }
}

fn long_name(parts: &[(u8, u8, Vec<u16>)], short: &[u8]) -> Option<String> {
    let sum = short.iter().fold(0_u8, |sum, &byte| {
        ((sum & 1) << 7).wrapping_add(sum >> 1).wrapping_add(byte)
    });
    let count = parts.len() as u8;
    let mut name = Vec::new();
    for (index, (number, checksum, units)) in parts.iter().enumerate() {
        let mark = if index == 0 { 0x40 } else { 0 };
        if *number != (count - index as u8) | mark || *checksum != sum {
            return None;
        }
        name.splice(0..0, units.iter().copied());
    }
    let end = name
        .iter()
        .position(|&unit| unit == 0)
        .unwrap_or(name.len());
    (!parts.is_empty()).then(|| String::from_utf16(&name[..end]).unwrap())
}

fn short_name(entry: &[u8]) -> String {
    let part = |bytes: &[u8], lower: bool| {
        let text = String::from_utf8(bytes.to_vec())
            .unwrap()
            .trim_end()
            .to_owned();
        if lower { text.to_lowercase() } else { text }
    };
    let body = part(&entry[..8], entry[12] & 8 != 0);
    let extension = part(&entry[8..11], entry[12] & 16 != 0);
    if extension.is_empty() {
        body
    } else {
        format!("{body}.{extension}")
    }
}
