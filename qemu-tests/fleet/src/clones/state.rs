// SPDX-License-Identifier: MIT OR Apache-2.0

//! Makes a saved state smaller.
//!
//! QEMU saves 128 MiB of empty flash as records that say that a page is zero. A clone's flash is
//! zero anyway, but loading such a record reads each page, which costs time and page tables.
//!
//! The format is that of QEMU's `migration/savevm.c` (`qemu_savevm_state_header`,
//! `save_section_header`, `save_section_footer`) and `migration/ram.c` (`ram_save_setup`,
//! `save_page_header`, the `RAM_SAVE_FLAG_` constants): big-endian numbers, a header, then sections.
//! The section `ram` appears as a start, parts and an end, each a series of records. A record begins
//! with the page's address and flags in its lowest 12 bits, and ends with the flag [`EOS`].

/// `QEVM`, version 3.
const HEADER: [u8; 8] = [b'Q', b'E', b'V', b'M', 0, 0, 0, 3];
/// The kinds of sections.
const START: u8 = 1;
const PART: u8 = 2;
const END: u8 = 3;
const FOOTER: u8 = 0x7e;
/// The flags of a record.
const ZERO: u64 = 0x02;
const MEM_SIZE: u64 = 0x04;
const PAGE: u64 = 0x08;
const EOS: u64 = 0x10;
const CONTINUE: u64 = 0x20;
const FLAGS: u64 = 0xfff;
/// The size of a page, in bytes.
const PAGE_SIZE: usize = 4096;
/// The blocks of memory that are zero when QEMU starts.
const FLASH: &[u8] = b"virt.flash";

/// A state without needless records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stripped {
    /// The state.
    pub state: Vec<u8>,
    /// The records left out.
    pub pages: u32,
}

/// Leaves out the records of the flash's pages that are zero. Returns `None` if the state has
/// anything that is not known, and then should be used as it is.
#[must_use]
pub fn strip(state: &[u8]) -> Option<Stripped> {
    if !state.starts_with(&HEADER) {
        return None;
    }
    let (start, section) = start_of_ram(state)?;
    let mut input = Input {
        bytes: state,
        at: start,
    };
    let mut output = Stripped {
        state: state[..start].to_vec(),
        pages: 0,
    };
    let mut has_started = false;
    let mut block: &[u8] = &[];
    loop {
        let begun = input.at;
        let kind = input.byte();
        let is_ram = input.u32() == Some(section);
        match kind {
            Some(START) if is_ram && !has_started => {
                // The name, the instance and the version.
                input.take(1 + 3 + 4 + 4)?;
                has_started = true;
            }
            Some(PART | END) if is_ram => {}
            _ => {
                output.state.extend_from_slice(&state[begun..]);
                return Some(output);
            }
        }
        output.state.extend_from_slice(&state[begun..input.at]);
        records(&mut input, &mut block, &mut output)?;
        if input.bytes.get(input.at) == Some(&FOOTER) {
            output.state.extend_from_slice(input.take(5)?);
        }
    }
}

/// Returns where the section `ram` starts, and its number.
fn start_of_ram(state: &[u8]) -> Option<(usize, u32)> {
    // The instance is 0, the version 4.
    let name = *b"\x03ram\0\0\0\0\0\0\0\x04";
    let mut places = state
        .windows(name.len())
        .enumerate()
        .filter(|(_, window)| *window == name);
    let start = places.next()?.0.checked_sub(5)?;
    let mut input = Input {
        bytes: state,
        at: start,
    };
    let is_unique = places.next().is_none() && input.byte()? == START;
    input.u32().filter(|_| is_unique).map(|id| (start, id))
}

/// Copies the records of one section. A record with the flag [`CONTINUE`] belongs to the `block` of
/// the record before it, which may be in an earlier section.
fn records<'a>(input: &mut Input<'a>, block: &mut &'a [u8], output: &mut Stripped) -> Option<()> {
    // The first record of each section that is written names its block.
    let mut written: Option<&[u8]> = None;
    loop {
        let begun = input.at;
        let header = input.u64()?;
        let flags = header & FLAGS;
        match flags & !CONTINUE {
            MEM_SIZE if flags & CONTINUE == 0 => {
                sizes(input, header & !FLAGS)?;
                output
                    .state
                    .extend_from_slice(&input.bytes[begun..input.at]);
                continue;
            }
            EOS if header == EOS => {
                output.state.extend_from_slice(&header.to_be_bytes());
                return Some(());
            }
            ZERO | PAGE => {}
            _ => return None,
        }
        if flags & CONTINUE == 0 {
            *block = input.name()?;
        } else if block.is_empty() {
            return None;
        }
        let contents = if flags & ZERO != 0 {
            let contents = input.take(1)?;
            if contents != [0] {
                return None;
            }
            if block.starts_with(FLASH) {
                output.pages += 1;
                continue;
            }
            contents
        } else {
            input.take(PAGE_SIZE)?
        };
        if written == Some(*block) {
            let header = (header | CONTINUE).to_be_bytes();
            output.state.extend_from_slice(&header);
        } else {
            let header = (header & !CONTINUE).to_be_bytes();
            output.state.extend_from_slice(&header);
            output.state.push(u8::try_from(block.len()).ok()?);
            output.state.extend_from_slice(block);
        }
        output.state.extend_from_slice(contents);
        written = Some(*block);
    }
}

/// Skips the names and sizes of the blocks, which are `total` bytes of memory together.
fn sizes(input: &mut Input, total: u64) -> Option<()> {
    let mut left = total;
    while left > 0 {
        input.name()?;
        left = left.checked_sub(input.u64()?)?;
        // The address of the block, which x-ignore-shared adds.
        input.u64()?;
    }
    Some(())
}

/// What is left to read.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.take(4)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes))
    }

    fn u64(&mut self) -> Option<u64> {
        let bytes = self.take(8)?.first_chunk()?;
        Some(u64::from_be_bytes(*bytes))
    }

    /// Reads a length in a byte, and a name of this length.
    fn name(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        self.take(length.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A block's name, and whether its record names it or continues the one before.
    type Page<'a> = (&'a str, bool, u64, Option<u8>);

    fn section(kind: u8, records: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, 0, 0, 0, 2];
        if kind == START {
            bytes.extend_from_slice(b"\x03ram\0\0\0\0\0\0\0\x04");
        }
        bytes.extend_from_slice(records);
        bytes.extend_from_slice(&EOS.to_be_bytes());
        bytes.extend_from_slice(&[FOOTER, 0, 0, 0, 2]);
        bytes
    }

    fn sizes() -> Vec<u8> {
        let blocks = [
            ("ram", 0x8000_u64),
            ("virt.flash0", 0x2000),
            ("rom", 0x1000),
        ];
        let total: u64 = blocks.iter().map(|(_, size)| size).sum();
        let mut bytes = (total | MEM_SIZE).to_be_bytes().to_vec();
        for (name, size) in blocks {
            bytes.push(name.len() as u8);
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&size.to_be_bytes());
            bytes.extend_from_slice(&0x4000_0000_u64.to_be_bytes());
        }
        bytes
    }

    /// Pages: with contents if they are not zero.
    fn pages(pages: &[Page]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (block, continues, address, contents) in pages {
            let flag = if contents.is_some() { PAGE } else { ZERO };
            let more = if *continues { CONTINUE } else { 0 };
            bytes.extend_from_slice(&(address | flag | more).to_be_bytes());
            if !continues {
                bytes.push(block.len() as u8);
                bytes.extend_from_slice(block.as_bytes());
            }
            match contents {
                Some(byte) => bytes.extend_from_slice(&[*byte; PAGE_SIZE]),
                None => bytes.push(0),
            }
        }
        bytes
    }

    fn state(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = HEADER.to_vec();
        // The configuration.
        bytes.extend_from_slice(b"\x07\0\0\0\x08virt-7.2");
        bytes.extend_from_slice(&section(START, &sizes()));
        for part in parts {
            bytes.extend_from_slice(&section(PART, part));
        }
        bytes.extend_from_slice(&section(END, &[]));
        bytes.extend_from_slice(b"\x04devices that are copied as they are");
        bytes
    }

    #[test]
    fn zero_pages_of_the_flash_are_left_out() {
        let before = state(&[
            pages(&[
                ("virt.flash0", false, 0, None),
                ("virt.flash0", true, 0x1000, Some(7)),
                ("virt.flash0", true, 0x2000, None),
                ("rom", false, 0, None),
                ("virt.flash0", false, 0x3000, None),
                ("rom", false, 0x1000, Some(9)),
            ]),
            // It goes on with the block of the section before.
            pages(&[
                ("rom", true, 0x2000, Some(3)),
                ("virt.flash0", false, 0x4000, None),
            ]),
            pages(&[("virt.flash0", true, 0x5000, None)]),
        ]);
        let after = state(&[
            pages(&[
                ("virt.flash0", false, 0x1000, Some(7)),
                ("rom", false, 0, None),
                ("rom", true, 0x1000, Some(9)),
            ]),
            pages(&[("rom", false, 0x2000, Some(3))]),
            Vec::new(),
        ]);
        let stripped = strip(&before).unwrap();
        assert_eq!(stripped.pages, 5);
        assert!(stripped.state == after);
        // What has nothing to leave out stays as it is.
        assert!(strip(&after).unwrap().state == after);
    }

    #[test]
    fn what_is_unknown_is_not_touched() {
        assert_eq!(strip(b"something else"), None);
        let xbzrle = (0x40_u64).to_be_bytes().to_vec();
        assert_eq!(strip(&state(&[xbzrle])), None);
        let filled = {
            let mut bytes = pages(&[("virt.flash0", false, 0, None)]);
            *bytes.last_mut().unwrap() = 0xff;
            bytes
        };
        assert_eq!(strip(&state(&[filled])), None);
        let nameless = pages(&[("virt.flash0", true, 0, None)]);
        assert_eq!(strip(&state(&[nameless])), None);
        // A second section of this name.
        let mut twice = state(&[]);
        twice.extend_from_slice(&section(START, &[]));
        assert_eq!(strip(&twice), None);
    }

    proptest! {
        #[test]
        fn cut_states_do_not_confuse(cut in 0_usize..9000) {
            let whole = state(&[pages(&[
                ("virt.flash0", false, 0, None),
                ("rom", false, 0, Some(1)),
                ("virt.flash0", false, 0x1000, Some(2)),
            ])]);
            let kept = &whole[..cut.min(whole.len())];
            if let Some(stripped) = strip(kept) {
                prop_assert!(stripped.state.len() <= kept.len());
            }
        }
    }
}
