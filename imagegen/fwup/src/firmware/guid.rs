// SPDX-License-Identifier: MIT OR Apache-2.0

//! GUIDs of disks, partitions and partition types.

use crate::hex;

/// The length of a GUID's text in characters.
const TEXT: usize = 36;
/// The digits of each group of a GUID's text, and whether the group's bytes are swapped on disk.
const GROUPS: [(usize, usize, bool); 5] = [
    (0, 8, true),
    (9, 13, true),
    (14, 18, true),
    (19, 23, false),
    (24, 36, false),
];

/// A GUID as it is stored on a disk: the first three groups of its text are little-endian numbers
/// (UEFI 2.10, appendix A).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guid(pub(crate) [u8; 16]);

impl Guid {
    /// Parses a text such as `c12a7328-f81f-11d2-ba4b-00a0c93ec93b`. As in fwup, anything after the
    /// first 36 characters is ignored. `None` if they are not a GUID.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.get(..TEXT)?;
        let has_hyphens = [8, 13, 18, 23]
            .iter()
            .all(|at| text.as_bytes()[*at] == b'-');
        if !has_hyphens {
            return None;
        }
        let mut bytes = Vec::with_capacity(16);
        for (start, end, is_swapped) in GROUPS {
            let mut group = hex::decode(text.get(start..end)?)?;
            if is_swapped {
                group.reverse();
            }
            bytes.extend(group);
        }
        bytes.try_into().ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";

    #[test]
    fn the_first_three_groups_are_swapped() {
        let bytes = [
            0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e,
            0xc9, 0x3b,
        ];
        for text in [ESP, &ESP.to_uppercase(), &format!("{ESP}\n")] {
            assert_eq!(Guid::parse(text), Some(Guid(bytes)), "{text}");
        }
        for text in [
            "",
            &ESP[1..],
            &ESP[..35],
            &format!("{{{ESP}}}"),
            &ESP.replace('-', "_"),
            &ESP.replace('c', "g"),
            &ESP.replace('c', "é"),
        ] {
            assert_eq!(Guid::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in ".{0,40}|[0-9a-fA-F-]{30,40}") {
            let _ = Guid::parse(&text);
        }

        #[test]
        fn any_bytes_can_be_written_as_a_guid(bytes: [u8; 16]) {
            let mut text = String::new();
            for (at, byte) in [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]
                .into_iter()
                .enumerate()
            {
                if [4, 6, 8, 10].contains(&at) {
                    text.push('-');
                }
                text += &format!("{:02x}", bytes[byte]);
            }
            prop_assert_eq!(Guid::parse(&text), Some(Guid(bytes)));
        }
    }
}
