// SPDX-License-Identifier: MIT OR Apache-2.0

//! A reader of flattened device trees (DTB): all of it is checked once, then nodes and properties are walked over.
//!
//! It knows tokens and nothing else. What the crate dtoolkit does for the same tree took two thirds of the instructions of
//! a boot and a sixth of the loader's size; it is the judge in the tests, which read the same trees with both.
//!
//! Source: Devicetree Specification 0.4, chapter 5 (the flattened format) and 2.3.5 (`#address-cells`, `#size-cells`).

use thiserror::Error;

use crate::display::{Hex, Word};

/// The size in bytes of the header.
pub const HEADER_SIZE: usize = 40;

/// What a DTB starts with.
pub const MAGIC: u32 = 0xd00d_feed;

/// Offsets of header fields (5.2).
pub(crate) const TOTALSIZE: usize = 4;
pub(crate) const OFF_DT_STRUCT: usize = 8;
pub(crate) const OFF_DT_STRINGS: usize = 12;
const OFF_MEM_RSVMAP: usize = 16;
const VERSION: usize = 20;
const LAST_COMP_VERSION: usize = 24;
pub(crate) const SIZE_DT_STRINGS: usize = 32;
pub(crate) const SIZE_DT_STRUCT: usize = 36;

/// The version of the format that is read.
const READ_VERSION: u32 = 17;

/// The tokens of the structure block (5.4.1).
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
pub(crate) const PROP: u32 = 3;
pub(crate) const NOP: u32 = 4;
const END: u32 = 9;

/// What stands in front of a property's value: the token, the value's length, and where its name is, in bytes.
pub(crate) const PROPERTY_HEADER: usize = 12;

/// The bytes of an entry of the memory reservation block: address and size (5.3).
const RESERVATION: usize = 16;

/// Why a DTB cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{} at byte {}", Word(what), Hex(*at as u64, 1))]
pub struct FdtError {
    /// Where in the DTB, in bytes from its start.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// A DTB.
#[derive(Clone, Copy, Debug)]
pub struct Fdt<'a> {
    bytes: &'a [u8],
    /// Where the structure block starts, in bytes.
    start: usize,
    structure: &'a [u8],
    strings: &'a [u8],
}

/// How many cells of 32 bits an address and a size have in the `reg` of a node's children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cells {
    /// `#address-cells`
    pub address: u32,
    /// `#size-cells`
    pub size: u32,
}

/// A property.
#[derive(Clone, Copy, Debug)]
pub struct Property<'a> {
    /// The strings block from its name on.
    names: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

impl<'a> Property<'a> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        until_nul(self.names)
    }
}

/// A node.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    fdt: Fdt<'a>,
    /// Its name, with the unit address.
    pub name: &'a [u8],
    /// Where in the structure block its properties start, in bytes.
    at: usize,
    /// The form of its `reg`.
    pub cells: Cells,
}

enum Token<'a> {
    Begin(&'a [u8]),
    End,
    Property(Property<'a>),
    Finish,
}

impl<'a> Fdt<'a> {
    /// A DTB, with every token checked.
    ///
    /// # Errors
    ///
    /// When the header, a block or a token is not as the format wants it.
    pub fn new(bytes: &'a [u8]) -> Result<Self, FdtError> {
        let bad = |at, what| Err(FdtError { at, what });
        let field = |offset| word(bytes, offset) as usize;
        if bytes.len() < HEADER_SIZE || field(TOTALSIZE) != bytes.len() {
            return bad(TOTALSIZE, "a size that is not the tree's");
        }
        if word(bytes, 0) != MAGIC {
            return bad(0, "no magic number");
        }
        if word(bytes, VERSION) < READ_VERSION || word(bytes, LAST_COMP_VERSION) > READ_VERSION {
            return bad(VERSION, "a version that is not 17");
        }
        let fdt = Self::checked_before(bytes);
        let reservations = field(OFF_MEM_RSVMAP);
        if reservations < HEADER_SIZE || !reservations.is_multiple_of(8) {
            return bad(OFF_MEM_RSVMAP, "a bad place for the reservations");
        }
        let end = reservations + (fdt.reservations().count() + 1) * RESERVATION;
        if fdt.start < end || !fdt.start.is_multiple_of(4) {
            return bad(OFF_DT_STRUCT, "a bad place for the structure block");
        }
        if fdt.structure.len() != field(SIZE_DT_STRUCT) {
            return bad(SIZE_DT_STRUCT, "a bad size of the structure block");
        }
        if field(OFF_DT_STRINGS) < fdt.start + fdt.structure.len() {
            return bad(OFF_DT_STRINGS, "a bad place for the strings block");
        }
        if fdt.strings.len() != field(SIZE_DT_STRINGS) || fdt.strings.last() != Some(&0) {
            return bad(SIZE_DT_STRINGS, "a bad size of the strings block");
        }
        fdt.check_structure()?;
        Ok(fdt)
    }

    /// A DTB that [`Fdt::new`] has checked before. Of another one, nodes and properties may be missing.
    #[must_use]
    pub fn checked_before(bytes: &'a [u8]) -> Self {
        let block = |offset, size| {
            let from = bytes.get(word(bytes, offset) as usize..);
            let from = from.unwrap_or_default();
            from.get(..word(bytes, size) as usize).unwrap_or_default()
        };
        Self {
            bytes,
            start: word(bytes, OFF_DT_STRUCT) as usize,
            structure: block(OFF_DT_STRUCT, SIZE_DT_STRUCT),
            strings: block(OFF_DT_STRINGS, SIZE_DT_STRINGS),
        }
    }

    /// Walks over all tokens: one node is around all, and its end is followed by the end of the block.
    fn check_structure(self) -> Result<(), FdtError> {
        let (mut at, mut depth) = (0, 0_u32);
        loop {
            let (token, next) = self.token(at)?;
            match token {
                Token::Begin(_) if depth > 0 || at == 0 => depth += 1,
                Token::Property(_) if depth > 0 => {}
                Token::End if depth > 0 => depth -= 1,
                Token::Finish if depth == 0 && at > 0 && next == self.structure.len() => {
                    return Ok(());
                }
                _ => return Err(self.bad(at, "a token in the wrong place")),
            }
            at = next;
        }
    }

    /// Where a value of this tree lies in it, in bytes.
    pub(crate) fn offset(self, value: &[u8]) -> usize {
        value.as_ptr().addr() - self.bytes.as_ptr().addr()
    }

    fn bad(self, at: usize, what: &'static str) -> FdtError {
        let at = self.start + at;
        FdtError { at, what }
    }

    /// The token at an offset, and the offset of the next one.
    fn token(self, mut at: usize) -> Result<(Token<'a>, usize), FdtError> {
        while word(self.structure, at) == NOP {
            at += 4;
        }
        let next = at + 4;
        Ok(match word(self.structure, at) {
            BEGIN_NODE => {
                let rest = self.structure.get(next..).unwrap_or_default();
                let name = until_nul(rest);
                if name.len() == rest.len() {
                    return Err(self.bad(at, "a node's name without an end"));
                }
                (Token::Begin(name), next + padded(name.len() + 1))
            }
            PROP => {
                let (length, name) = (
                    word(self.structure, next) as usize,
                    word(self.structure, next + 4) as usize,
                );
                let rest = self.structure.get(at + PROPERTY_HEADER..);
                let value = rest.and_then(|rest| rest.get(..length));
                let (Some(value), Some(names @ [_, ..])) = (value, self.strings.get(name..)) else {
                    return Err(self.bad(at, "a property with a bad length or name"));
                };
                let property = Property { names, value };
                let next = at + PROPERTY_HEADER + padded(length);
                (Token::Property(property), next)
            }
            END_NODE => (Token::End, next),
            END => (Token::Finish, next),
            _ if at == self.structure.len() => {
                return Err(self.bad(at, "no end of the structure block"));
            }
            _ => return Err(self.bad(at, "an unknown token")),
        })
    }

    /// The entries of the memory reservation block up to its end: addresses and sizes in bytes.
    pub fn reservations(self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let block = self.bytes.get(word(self.bytes, OFF_MEM_RSVMAP) as usize..);
        let (entries, _) = block.unwrap_or_default().as_chunks::<RESERVATION>();
        let entry = |entry: &[u8; RESERVATION]| (number(&entry[..8]), number(&entry[8..]));
        entries
            .iter()
            .map(entry)
            .take_while(|entry| *entry != (0, 0))
    }

    /// The root.
    #[must_use]
    pub fn root(self) -> Node<'a> {
        Node {
            fdt: self,
            name: b"",
            // Behind its token and its empty name.
            at: match self.token(0) {
                Ok((Token::Begin(_), next)) => next,
                _ => self.structure.len(),
            },
            cells: Cells::DEFAULT,
        }
    }

    /// The node of a path such as `/soc/serial@9000000`; unit addresses may be left out.
    #[must_use]
    pub fn find(self, path: &[u8]) -> Option<Node<'a>> {
        let mut node = self.root();
        for part in path.strip_prefix(b"/")?.split(|byte| *byte == b'/') {
            node = node
                .children()
                .find(|child| child.name == part || child.name_without_address() == part)?;
        }
        Some(node)
    }
}

impl Cells {
    /// What counts where a node says nothing.
    const DEFAULT: Self = Self {
        address: 2,
        size: 1,
    };
}

impl<'a> Node<'a> {
    /// The name up to the unit address.
    #[must_use]
    pub fn name_without_address(&self) -> &'a [u8] {
        let end = self.name.iter().position(|byte| *byte == b'@');
        &self.name[..end.unwrap_or(self.name.len())]
    }

    /// Where in the DTB its properties start, in bytes.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.fdt.start + self.at
    }

    /// Its properties.
    #[must_use]
    pub fn properties(&self) -> Properties<'a> {
        let (fdt, at) = (self.fdt, self.at);
        Properties { fdt, at }
    }

    /// The value of one of its properties.
    #[must_use]
    pub fn property(&self, name: &[u8]) -> Option<&'a [u8]> {
        let [value] = self.values([name]);
        value
    }

    /// The values of some of its properties, found in one walk. Of several of one name the first counts, as for the kernel.
    #[must_use]
    pub fn values<const N: usize>(&self, names: [&[u8]; N]) -> [Option<&'a [u8]>; N] {
        let mut values = [None; N];
        self.find_values(&names, &mut values);
        values
    }

    fn find_values(&self, names: &[&[u8]], values: &mut [Option<&'a [u8]>]) {
        for property in self.properties() {
            let name = property.name();
            if let Some(index) = names.iter().position(|wanted| *wanted == name) {
                values[index].get_or_insert(property.value);
            }
        }
    }

    /// The nodes directly below it.
    #[must_use]
    pub fn children(&self) -> Children<'a> {
        let [address, size] = self.values([b"#address-cells", b"#size-cells"]);
        let cells = |value: Option<&[u8]>, default| match value {
            Some(value) if value.len() == 4 => word(value, 0),
            _ => default,
        };
        Children {
            fdt: self.fdt,
            at: self.at,
            depth: 0,
            cells: Cells {
                address: cells(address, Cells::DEFAULT.address),
                size: cells(size, Cells::DEFAULT.size),
            },
        }
    }
}

/// The properties of a node.
#[derive(Clone, Debug)]
pub struct Properties<'a> {
    fdt: Fdt<'a>,
    at: usize,
}

impl<'a> Iterator for Properties<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Property<'a>> {
        let (Token::Property(property), next) = self.fdt.token(self.at).ok()? else {
            return None;
        };
        self.at = next;
        Some(property)
    }
}

/// The children of a node.
#[derive(Clone, Debug)]
pub struct Children<'a> {
    fdt: Fdt<'a>,
    at: usize,
    /// How far below the node the walk is.
    depth: u32,
    cells: Cells,
}

impl<'a> Iterator for Children<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        loop {
            let (token, next) = self.fdt.token(self.at).ok()?;
            match token {
                Token::Begin(name) => {
                    self.at = next;
                    self.depth += 1;
                    if self.depth == 1 {
                        return Some(Node {
                            fdt: self.fdt,
                            name,
                            at: next,
                            cells: self.cells,
                        });
                    }
                }
                Token::End => self.depth = self.depth.checked_sub(1)?,
                Token::Property(_) => {}
                Token::Finish => return None,
            }
            self.at = next;
        }
    }
}

/// A big-endian word; 0 where there is none.
#[inline(never)]
pub(crate) fn word(bytes: &[u8], offset: usize) -> u32 {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Changes a word that lies within the DTB.
pub(crate) fn put_word(dtb: &mut [u8], offset: usize, value: u32) {
    dtb[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
}

/// A big-endian number of any size up to 8 bytes; of a longer one the last 8.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The bytes in front of the first NUL; all where there is none.
#[inline(never)]
pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}

/// The length of a name or a value with its padding: tokens are aligned to 4 bytes.
pub(crate) fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use dtoolkit::{Node as _, Property as _};
    use proptest::prelude::*;

    use super::*;

    /// See tests/fixtures.
    const TREES: [&[u8]; 3] = [
        include_bytes!("../../tests/fixtures/virt.dtb"),
        include_bytes!("../../tests/fixtures/odd.dtb"),
        include_bytes!("../../tests/fixtures/gicv3.dtb"),
    ];

    /// Every node and property in order, as one list of bytes.
    fn ours(node: Node<'_>, list: &mut Vec<u8>) {
        list.extend(node.name);
        for property in node.properties() {
            list.extend(property.name());
            list.extend(property.value);
        }
        for child in node.children() {
            list.push(b'{');
            ours(child, list);
            list.push(b'}');
        }
    }

    fn theirs(node: dtoolkit::fdt::FdtNode<'_>, list: &mut Vec<u8>) {
        list.extend(node.name().as_bytes());
        for property in node.properties() {
            list.extend(property.name().as_bytes());
            list.extend(property.value());
        }
        for child in node.children() {
            list.push(b'{');
            theirs(child, list);
            list.push(b'}');
        }
    }

    fn is_read_alike(dtb: &[u8]) {
        let (Ok(own), Ok(other)) = (Fdt::new(dtb), dtoolkit::fdt::Fdt::new(dtb)) else {
            return;
        };
        let mut lists = [Vec::new(), Vec::new()];
        ours(own.root(), &mut lists[0]);
        theirs(other.root(), &mut lists[1]);
        assert_eq!(lists[0], lists[1]);
        let reservations: Vec<_> = other
            .memory_reservations()
            .map(|entry| (entry.address(), entry.size()))
            .collect();
        assert_eq!(own.reservations().collect::<Vec<_>>(), reservations);
    }

    #[test]
    fn whole_trees_are_read_as_another_reader_reads_them() {
        for tree in TREES {
            Fdt::new(tree).unwrap();
            dtoolkit::fdt::Fdt::new(tree).unwrap();
            is_read_alike(tree);
        }
    }

    #[test]
    fn paths_lead_to_nodes_with_or_without_their_addresses() {
        let fdt = Fdt::new(TREES[0]).unwrap();
        for path in ["/pl011@9000000", "/pl011", "/cpus/cpu@0", "/cpus/cpu"] {
            assert!(fdt.find(path.as_bytes()).is_some(), "{path}");
        }
        for path in ["", "pl011", "/pl011@9000001", "/pl01", "/cpus/cpu/x"] {
            assert!(fdt.find(path.as_bytes()).is_none(), "{path}");
        }
        let cpu = fdt.find(b"/cpus/cpu").unwrap();
        let cells = Cells {
            address: 1,
            size: 0,
        };
        assert_eq!(cpu.cells, cells);
    }

    #[test]
    fn what_is_corrupt_is_named_with_its_place() {
        let error = |offset: usize, value: u32| {
            let mut tree = Vec::from(TREES[1]);
            put_word(&mut tree, offset, value);
            Fdt::new(&tree).unwrap_err()
        };
        for (offset, value) in [
            (0, 0xd00d_fee0),
            (TOTALSIZE, 0x40),
            (VERSION, 16),
            (OFF_MEM_RSVMAP, 0x20),
            (OFF_DT_STRUCT, 0x28),
            (OFF_DT_STRINGS, 0x38),
            (SIZE_DT_STRINGS, u32::MAX),
            (SIZE_DT_STRUCT, u32::MAX),
        ] {
            assert_eq!(error(offset, value).at, offset, "{offset:#x} {value:#x}");
        }
        let root = Fdt::new(TREES[1]).unwrap().start;
        // In place of the first node, of the root's first property, and of its length and name.
        for (offset, value) in [
            (0, END),
            (0, 7),
            (8, END_NODE),
            (8, 0xffff),
            (12, u32::MAX),
            (16, u32::MAX),
        ] {
            error(root + offset, value);
        }
    }

    proptest! {
        #[test]
        fn damaged_trees_are_refused_or_read_alike(
            tree in 0_usize..3,
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut dtb = Vec::from(TREES[tree]);
            for (at, byte) in damage {
                let at = at.index(dtb.len());
                dtb[at] = byte;
            }
            is_read_alike(&dtb);
        }
    }
}
