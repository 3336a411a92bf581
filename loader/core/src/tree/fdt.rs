// SPDX-License-Identifier: MIT OR Apache-2.0

//! A reader of flattened device trees (DTB): it checks a whole tree once, then reads it token by
//! token.
//!
//! The crate dtoolkit does the same, but would need two thirds of the instructions of a boot and a
//! sixth of the loader's size. The tests read the same trees with both.
//!
//! The time to read a tree is proportional to its size, regardless of its content: property names
//! are read only up to the length that the specification allows, since any number of properties can
//! share one long string.
//!
//! Source: Devicetree Specification 0.4, chapter 5 (the flattened format).

use thiserror::Error;

use crate::display::{Hex, Word};
use crate::tree::format::{
    BEGIN_NODE, END, END_NODE, HEADER_SIZE, LAST_COMP_VERSION, MAGIC, MAX_PROPERTY_NAME, NOP,
    OFF_DT_STRINGS, OFF_DT_STRUCT, OFF_MEM_RSVMAP, PROP, PROPERTY_HEADER, RESERVATION,
    SIZE_DT_STRINGS, SIZE_DT_STRUCT, TOTALSIZE, VERSION, number, padded, until_nul, word,
};

/// The supported version of the format.
const READ_VERSION: u32 = 17;

/// A violation of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{} at byte {}", Word(what), Hex(*at as u64, 1))]
pub struct FdtError {
    /// The offset in the DTB in bytes.
    pub at: usize,
    /// The fault.
    pub what: &'static str,
}

/// A DTB whose format has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Fdt<'a> {
    bytes: &'a [u8],
    /// The offset of the structure block in bytes.
    pub(super) start: usize,
    structure: &'a [u8],
    strings: &'a [u8],
}

/// A property of a node.
#[derive(Clone, Copy, Debug)]
pub struct Property<'a> {
    /// The strings block from the property's name on.
    names: &'a [u8],
    /// The value without padding.
    pub value: &'a [u8],
}

impl<'a> Property<'a> {
    /// Returns the name, or `None` if it is longer than the 31 bytes that the specification allows.
    #[must_use]
    pub fn name(&self) -> Option<&'a [u8]> {
        let limit = self.names.len().min(MAX_PROPERTY_NAME + 1);
        let name = until_nul(&self.names[..limit]);
        (name.len() <= MAX_PROPERTY_NAME).then_some(name)
    }
}

/// A token of the structure block.
pub(super) enum Token<'a> {
    Begin(&'a [u8]),
    End,
    Property(Property<'a>),
    Finish,
}

impl<'a> Fdt<'a> {
    /// Reads the header of a DTB and checks every token.
    ///
    /// # Errors
    ///
    /// When the header, a block or a token violates the format.
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

    /// Opens a DTB that [`Fdt::new`] has already accepted. In any other, nodes and properties may
    /// appear to be missing.
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

    /// Checks all tokens: one node must contain all others, and the block must end after it.
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

    /// Returns the offset in the DTB, in bytes, of one of its values.
    pub(super) fn offset(self, value: &[u8]) -> usize {
        value.as_ptr().addr() - self.bytes.as_ptr().addr()
    }

    fn bad(self, at: usize, what: &'static str) -> FdtError {
        let at = self.start + at;
        FdtError { at, what }
    }

    /// Returns the token at an offset in the structure block, and the offset of the next one.
    pub(super) fn token(self, mut at: usize) -> Result<(Token<'a>, usize), FdtError> {
        while word(self.structure, at) == NOP {
            #[cfg(test)]
            super::work::add(1);
            at += 4;
        }
        #[cfg(test)]
        super::work::add(1);
        let next = at + 4;
        Ok(match word(self.structure, at) {
            BEGIN_NODE => {
                let rest = self.structure.get(next..).unwrap_or_default();
                let name = until_nul(rest);
                if name.len() == rest.len() {
                    return Err(self.bad(at, "a node's name without a NUL"));
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

    /// Returns the entries of the memory reservation block: addresses and sizes in bytes.
    pub fn reservations(self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let block = self.bytes.get(word(self.bytes, OFF_MEM_RSVMAP) as usize..);
        let (entries, _) = block.unwrap_or_default().as_chunks::<RESERVATION>();
        let entry = |entry: &[u8; RESERVATION]| (number(&entry[..8]), number(&entry[8..]));
        entries
            .iter()
            .map(entry)
            .take_while(|entry| *entry != (0, 0))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;
    use std::vec::Vec;

    use dtoolkit::error::{FdtErrorKind, FdtParseError};
    use dtoolkit::fdt::{Fdt as Other, FdtNode};
    use dtoolkit::{Node as _, Property as _};
    use proptest::prelude::*;

    use super::*;
    use crate::tree::format::put_word;
    use crate::tree::node::Node;
    use crate::tree::sample_tree::SampleTree;

    /// See tests/fixtures.
    const TREES: [&[u8]; 3] = [
        include_bytes!("../../tests/fixtures/virt.dtb"),
        include_bytes!("../../tests/fixtures/odd.dtb"),
        include_bytes!("../../tests/fixtures/gicv3.dtb"),
    ];

    /// Appends every node and property in order to a list of bytes.
    fn ours(node: Node<'_>, list: &mut Vec<u8>) {
        list.extend(node.name);
        for property in node.properties() {
            list.extend(property.name().unwrap());
            list.extend(property.value);
        }
        for child in node.children() {
            list.push(b'{');
            ours(child, list);
            list.push(b'}');
        }
    }

    fn theirs(node: FdtNode<'_>, list: &mut Vec<u8>) {
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

    /// A rule that only one of the readers enforces.
    #[derive(Debug, PartialEq, Eq)]
    enum Difference {
        /// dtoolkit requires names of the specification's characters and length, and an empty one
        /// for the root. The loader accepts any bytes: it only compares names, and never shows
        /// them.
        Names,
        /// dtoolkit rejects a property after a child of its node. The loader ignores it, like
        /// Linux.
        PropertyAfterChild,
        /// dtoolkit rejects NOP tokens before the root and after its end, where the specification
        /// (5.4.1) allows them.
        NopAroundRoot,
        /// dtoolkit ignores the size of the structure block. The loader uses it, and requires that
        /// the block ends with its last token: the edit moves the block as a whole.
        StructureSize,
        /// dtoolkit requires a NUL only after the names in use. The loader requires one at the end
        /// of the strings block, and no other.
        LastNul,
    }

    /// Returns the rule by which only dtoolkit rejects a tree.
    fn only_theirs(dtb: &[u8], error: &FdtParseError) -> Option<Difference> {
        let text = error.to_string();
        let at = text.rsplit(' ').next().unwrap().parse().unwrap();
        match error.kind {
            FdtErrorKind::InvalidNodeName | FdtErrorKind::InvalidPropertyName => {
                Some(Difference::Names)
            }
            FdtErrorKind::InvalidString => str::from_utf8(until_nul(&dtb[at..]))
                .is_err()
                .then_some(Difference::Names),
            FdtErrorKind::BadToken(PROP) => Some(Difference::PropertyAfterChild),
            FdtErrorKind::BadToken(BEGIN_NODE | END) => {
                (word(dtb, at) == NOP).then_some(Difference::NopAroundRoot)
            }
            _ => None,
        }
    }

    /// Returns the rule by which only the loader rejects a tree whose tokens dtoolkit has accepted.
    fn only_ours(dtb: &[u8]) -> Option<Difference> {
        let field = |offset| word(dtb, offset) as usize;
        let strings = &dtb[field(OFF_DT_STRINGS)..][..field(SIZE_DT_STRINGS)];
        let mut at = field(OFF_DT_STRUCT);
        loop {
            at += match word(dtb, at) {
                BEGIN_NODE => 4 + padded(until_nul(&dtb[at + 4..]).len() + 1),
                PROP => PROPERTY_HEADER + padded(field(at + 4)),
                END_NODE | NOP => 4,
                _ => break,
            };
        }
        assert_eq!(word(dtb, at), END);
        if at + 4 != field(OFF_DT_STRUCT) + field(SIZE_DT_STRUCT) {
            Some(Difference::StructureSize)
        } else if strings.last() != Some(&0) {
            Some(Difference::LastNul)
        } else {
            None
        }
    }

    /// Reads a tree with both readers. Both must reject it, or read the same, or differ in a known
    /// way, which is returned.
    fn compare(dtb: &[u8]) -> Option<Difference> {
        let (own, other) = match (Fdt::new(dtb), Other::new(dtb)) {
            (Ok(own), Ok(other)) => (own, other),
            (Ok(_), Err(error)) => {
                let difference = only_theirs(dtb, &error);
                assert!(difference.is_some(), "only dtoolkit refuses: {error}");
                return difference;
            }
            (Err(error), Ok(_)) => {
                let difference = only_ours(dtb);
                assert!(difference.is_some(), "dtoolkit accepts: {error}");
                return difference;
            }
            (Err(_), Err(_)) => return None,
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
        None
    }

    #[test]
    fn whole_trees_are_read_as_another_reader_reads_them() {
        let sample = SampleTree::default()
            .begin(b"")
            .property(b"a", b"value")
            .begin(b"b@1")
            .end()
            .end();
        for tree in TREES.into_iter().chain([&sample.finish()[..]]) {
            Fdt::new(tree).unwrap();
            Other::new(tree).unwrap();
            assert_eq!(compare(tree), None);
        }
    }

    #[test]
    fn each_known_difference_to_another_reader_is_one() {
        let tree = SampleTree::default;
        let long = [b'x'; MAX_PROPERTY_NAME + 1];
        let root = || tree().begin(b"").property(b"a", b"");
        let sized = |mut dtb: Vec<u8>, change: i32| {
            let size = word(&dtb, SIZE_DT_STRUCT).wrapping_add_signed(change);
            put_word(&mut dtb, SIZE_DT_STRUCT, size);
            dtb
        };
        for (dtb, difference) in [
            (
                tree().begin(b"root").property(b"a", b"").end().finish(),
                Difference::Names,
            ),
            (root().begin(b"").end().end().finish(), Difference::Names),
            (
                root().begin(b"\xff").end().end().finish(),
                Difference::Names,
            ),
            (root().begin(&long).end().end().finish(), Difference::Names),
            (
                root().property(&long, b"").end().finish(),
                Difference::Names,
            ),
            (root().property(b"", b"").end().finish(), Difference::Names),
            (
                root().begin(b"a").end().property(b"b", b"").end().finish(),
                Difference::PropertyAfterChild,
            ),
            (
                tree()
                    .word(NOP)
                    .begin(b"")
                    .property(b"a", b"")
                    .end()
                    .finish(),
                Difference::NopAroundRoot,
            ),
            (
                root().property(b"a", b"").end().word(NOP).finish(),
                Difference::NopAroundRoot,
            ),
            (
                root()
                    .property(b"a", b"")
                    .end()
                    .word(END)
                    .word(0)
                    .finish_without_end(),
                Difference::StructureSize,
            ),
            (
                sized(root().property(b"a", b"").end().finish(), -4),
                Difference::StructureSize,
            ),
            (
                root().property(b"a", b"").strings(b"b").end().finish(),
                Difference::LastNul,
            ),
            (tree().begin(b"").end().finish(), Difference::LastNul),
        ] {
            assert_eq!(compare(&dtb), Some(difference), "{dtb:x?}");
        }
    }

    #[test]
    fn a_name_longer_than_the_specification_allows_is_not_read() {
        for (length, is_read) in [(MAX_PROPERTY_NAME, true), (MAX_PROPERTY_NAME + 1, false)] {
            let name = std::vec![b'x'; length];
            let dtb = SampleTree::default()
                .begin(b"")
                .property(&name, b"value")
                .property(b"after", b"1")
                .end()
                .finish();
            let root = Fdt::new(&dtb).unwrap().root();
            assert_eq!(root.property(&name).is_some(), is_read);
            assert_eq!(root.property(&[b'x'; MAX_PROPERTY_NAME + 2]), None);
            assert_eq!(root.property(b"after"), Some(&b"1"[..]));
        }
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
        // Replaces the token of the first node, that of the root's first property, and its length
        // and name.
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

    /// Generates damage to a tree: a byte anywhere, or a word that becomes a token or another small
    /// number.
    fn damage() -> impl Strategy<Value = (prop::sample::Index, bool, u8)> {
        (any::<prop::sample::Index>(), any::<bool>(), any::<u8>())
    }

    proptest! {
        #[test]
        fn damaged_trees_are_read_alike_or_differ_in_a_known_way(
            tree in 0_usize..3,
            damages in proptest::collection::vec(damage(), 1..4),
        ) {
            let mut dtb = Vec::from(TREES[tree]);
            for (at, is_word, byte) in damages {
                if is_word {
                    let at = 4 * at.index(dtb.len() / 4);
                    put_word(&mut dtb, at, u32::from(byte % 16));
                } else {
                    let at = at.index(dtb.len());
                    dtb[at] = byte;
                }
            }
            compare(&dtb);
        }
    }
}
