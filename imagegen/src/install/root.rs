// SPDX-License-Identifier: MIT OR Apache-2.0

//! The partition of the root file system, as a kernel command line names it.

/// The word `root=…` of a command line that names a partition by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Root<'a> {
    /// The word.
    word: &'a [u8],
    /// Its start in the command line.
    start: usize,
    /// The partition, from 1 on.
    pub(super) number: u8,
}

impl<'a> Root<'a> {
    /// Finds the last such word, which is the one that Linux uses: `root=/dev/vda2` or
    /// `root=PARTUUID=4c4c4452-02`.
    pub(super) fn find(args: &'a [u8]) -> Option<Self> {
        let mut start = 0;
        let mut found = None;
        for word in args.split(|byte| *byte == b' ') {
            if let Some(value) = word.strip_prefix(b"root=") {
                found = number(value).map(|number| Self {
                    word,
                    start,
                    number,
                });
            }
            start += word.len() + 1;
        }
        found
    }

    /// Returns the command line `args`, in which this word was found, with another one in its
    /// place.
    pub(super) fn replaced(self, args: &[u8], other: &[u8]) -> Vec<u8> {
        let rest = &args[self.start + self.word.len()..];
        [&args[..self.start], other, rest].concat()
    }

    /// Returns the word.
    pub(super) fn word(self) -> &'a [u8] {
        self.word
    }

    /// Returns the word for another partition of the same disk.
    pub(super) fn with_number(self, number: u8) -> Vec<u8> {
        // The last digits are those of the number.
        let digits = self.word.iter().rev();
        let count = digits.take_while(|byte| byte.is_ascii_digit()).count();
        let count = count.min(if self.word.contains(&b'-') { 2 } else { 3 });
        let (disk, digits) = self.word.split_at(self.word.len() - count);
        let width = digits.len();
        let number = match disk.ends_with(b"-") {
            true => format!("{number:0width$x}"),
            false => number.to_string(),
        };
        [disk, number.as_bytes()].concat()
    }
}

/// Returns the number of the partition that a value of `root` names.
fn number(value: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(value).ok()?;
    if let Some(id) = text.strip_prefix("PARTUUID=") {
        let (disk, number) = id.split_once('-')?;
        return u8::from_str_radix(number, 16)
            .ok()
            .filter(|number| disk.len() == 8 && number.to_string().len() == 1 && *number > 0);
    }
    let device = text.strip_prefix("/dev/")?;
    let disk = device.trim_end_matches(|byte: char| byte.is_ascii_digit());
    device[disk.len()..]
        .parse()
        .ok()
        .filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_is_found_and_replaced() {
        for (args, number, other, replaced) in [
            (
                "root=/dev/vda1 ro",
                1,
                "root=/dev/vda2",
                "root=/dev/vda2 ro",
            ),
            (
                "quiet root=PARTUUID=4c4c4452-02",
                2,
                "root=PARTUUID=4c4c4452-01",
                "quiet root=PARTUUID=4c4c4452-01",
            ),
            (
                "root=/dev/sda9 root=/dev/mmcblk0p2 x",
                2,
                "root=/dev/mmcblk0p1",
                "root=/dev/sda9 root=/dev/mmcblk0p1 x",
            ),
        ] {
            let root = Root::find(args.as_bytes()).unwrap();
            assert_eq!(root.number, number, "{args}");
            assert_eq!(root.with_number(3 - number), other.as_bytes(), "{args}");
            assert_eq!(
                root.replaced(args.as_bytes(), other.as_bytes()),
                replaced.as_bytes()
            );
        }
    }

    #[test]
    fn other_roots_have_no_number() {
        for args in [
            "",
            "ro xroot=/dev/vda1",
            "root=/dev/vda",
            "root=/dev/vda0",
            "root=LABEL=1",
            "root=PARTUUID=d3b4ab5c-3e6e-4b2e-8f8c-2f5a1f6a0001",
            "root=/dev/vda1 root=/dev/ram",
        ] {
            assert_eq!(Root::find(args.as_bytes()), None, "{args}");
        }
    }
}
