// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory cards and sticks, for `-D`, `-z`, and `-a` without `-d`.
//!
//! Linux has a folder for each disk in `/sys/block`, with the device number in `dev`, the size in
//! `size`, in blocks of 512 bytes whatever the disk's block size, and `1` in `removable` if the
//! medium can be removed (Documentation/ABI/stable/sysfs-block).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::amount::amount;
use crate::destination::block_devices::{device_number, disk_numbers, line};

/// A memory card or stick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Card {
    /// The device, for example `/dev/sdb`.
    pub(super) path: PathBuf,
    /// The size in bytes.
    pub(super) size: u64,
}

/// Why no card is chosen.
#[derive(Debug, thiserror::Error)]
pub(super) enum CardError {
    /// No card was found.
    #[error("No memory cards found. Try reinserting the card.")]
    None,
    /// More than one card was found.
    #[error(
        "Too many possible memory cards found:\n{0}Automatic selection not possible. Specify one using the -d option."
    )]
    Several(String),
    /// The archive comes from stdin, so the user cannot be asked.
    #[error("Cannot confirm use of {0} when using stdin.\nRerun with -y if location is correct.")]
    Unconfirmed(String),
    /// The answer was no.
    #[error("aborted by user")]
    Aborted,
    /// The answer cannot be read.
    #[error("cannot ask whether to use {path}: {error}")]
    Ask {
        /// The device.
        path: String,
        /// The system's error.
        error: io::Error,
    },
}

/// Returns the cards that are plugged in.
pub(super) fn scan() -> Vec<Card> {
    let root = fs::metadata("/").ok().map(|root| device_number(root.dev()));
    scan_in(
        Path::new("/sys/block"),
        Path::new("/dev"),
        root.as_deref().unwrap_or_default(),
    )
}

/// Returns the cards among the disks in `sys_block`, a folder like `/sys/block`, with device files
/// in `dev`, a folder like `/dev`: removable disks with a size above 0, except the disk that has
/// the device number `root` or a partition with that number. Only sda to sdy and mmcblk0 to
/// mmcblk15 are searched, in this order.
pub(super) fn scan_in(sys_block: &Path, dev: &Path, root: &str) -> Vec<Card> {
    let names = ('a'..='y')
        .map(|letter| format!("sd{letter}"))
        .chain((0..16).map(|number| format!("mmcblk{number}")));
    names
        .filter_map(|name| {
            let disk = sys_block.join(&name);
            let path = dev.join(&name);
            let size = line(&disk.join("size"))?.parse::<u64>().ok()?;
            let size = size.checked_mul(512).filter(|size| *size > 0)?;
            // Linux reports cards in built-in readers as not removable.
            let is_removable = name.starts_with("mmcblk") || line(&disk.join("removable"))? == "1";
            let is_card =
                is_removable && path.exists() && !disk_numbers(&disk).contains(&root.to_owned());
            is_card.then_some(Card { path, size })
        })
        .collect()
}

/// Returns the only card.
///
/// # Errors
///
/// When there is none, or more than one.
pub(super) fn only(cards: &[Card]) -> Result<&Card, CardError> {
    match cards {
        [] => Err(CardError::None),
        [card] => Ok(card),
        several => {
            let lines = several
                .iter()
                .map(|card| format!("  {} ({})\n", card.path.display(), amount(card.size)));
            Err(CardError::Several(lines.collect()))
        }
    }
}

/// Returns the only card, if it `is_accepted` already or `ask` answers the question with `y`. The
/// question cannot be asked if the archive comes from stdin.
///
/// # Errors
///
/// Every [`CardError`].
pub(super) fn confirmed(
    cards: &[Card],
    is_accepted: bool,
    is_stdin_taken: bool,
    ask: impl FnOnce(&str) -> io::Result<char>,
) -> Result<&Card, CardError> {
    let card = only(cards)?;
    if is_accepted {
        return Ok(card);
    }
    let path = card.path.display().to_string();
    if is_stdin_taken {
        return Err(CardError::Unconfirmed(path));
    }
    let question = format!(
        "Use {} memory card found at {path}? [y/N] ",
        amount(card.size)
    );
    match ask(&question) {
        Ok('y' | 'Y') => Ok(card),
        Ok(_) => Err(CardError::Aborted),
        Err(error) => Err(CardError::Ask { path, error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folders that replace `/sys/block` and `/dev`.
    struct System(tempfile::TempDir);

    impl System {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn disk(&self, name: &str, number: &str, blocks: u64, removable: u8) {
            let disk = self.0.path().join("block").join(name);
            let dev = self.0.path().join("dev");
            fs::create_dir_all(&disk).unwrap();
            fs::create_dir_all(&dev).unwrap();
            fs::write(disk.join("dev"), format!("{number}\n")).unwrap();
            fs::write(disk.join("size"), format!("{blocks}\n")).unwrap();
            fs::write(disk.join("removable"), format!("{removable}\n")).unwrap();
            fs::write(dev.join(name), "").unwrap();
        }

        fn partition(&self, disk: &str, name: &str, number: &str) {
            let partition = self.0.path().join("block").join(disk).join(name);
            fs::create_dir_all(&partition).unwrap();
            fs::write(partition.join("dev"), format!("{number}\n")).unwrap();
            fs::write(partition.join("partition"), "1\n").unwrap();
        }

        fn scan(&self, root: &str) -> Vec<(String, u64)> {
            let cards = scan_in(
                &self.0.path().join("block"),
                &self.0.path().join("dev"),
                root,
            );
            cards
                .into_iter()
                .map(|card| {
                    let name = card
                        .path
                        .file_name()
                        .unwrap()
                        .to_string_lossy()
                        .into_owned();
                    (name, card.size)
                })
                .collect()
        }
    }

    #[test]
    fn cards_are_removable_disks_with_a_medium() {
        let system = System::new();
        system.disk("mmcblk10", "179:80", 100, 0);
        system.disk("mmcblk2", "179:16", 1000, 0);
        system.disk("mmcblk2boot0", "179:24", 1000, 0);
        system.disk("sda", "8:0", 1 << 30, 0);
        system.disk("sdb", "8:16", 0, 1);
        system.disk("sdc", "8:32", 31_116_288, 1);
        system.disk("sdz", "65:144", 100, 1);
        system.disk("nvme0n1", "259:0", 100, 1);
        system.disk("sdd", "8:48", 10, 1);
        fs::remove_file(system.0.path().join("dev/sdd")).unwrap();
        let all = [
            ("sdc".to_owned(), 15_931_539_456),
            ("mmcblk2".to_owned(), 512_000),
            ("mmcblk10".to_owned(), 51_200),
        ];
        assert_eq!(system.scan("259:1"), all);
        // The disk with the root file system is ignored.
        system.partition("mmcblk2", "mmcblk2p2", "179:18");
        assert_eq!(system.scan("179:18"), [all[0].clone(), all[2].clone()]);
        assert_eq!(system.scan("8:32"), all[1..]);
        assert_eq!(System::new().scan(""), []);
    }

    #[test]
    fn one_card_is_taken_when_it_is_confirmed() {
        let card = |name: &str, size| Card {
            path: Path::new("/dev").join(name),
            size,
        };
        let one = [card("sdc", 15_931_539_456)];
        let never = |_: &str| -> io::Result<char> { panic!("asked") };
        let said = |result: Result<&Card, CardError>| result.unwrap_err().to_string();
        assert_eq!(only(&one).unwrap(), &one[0]);
        assert_eq!(confirmed(&one, true, true, never).unwrap(), &one[0]);
        assert_eq!(
            said(confirmed(&one, false, true, never)),
            "Cannot confirm use of /dev/sdc when using stdin.\nRerun with -y if location is correct."
        );
        for (answer, is_taken) in [('y', true), ('Y', true), ('n', false), ('\n', false)] {
            let ask = |question: &str| {
                assert_eq!(
                    question,
                    "Use 15.93 GB memory card found at /dev/sdc? [y/N] "
                );
                Ok(answer)
            };
            let result = confirmed(&one, false, false, ask);
            assert_eq!(result.is_ok(), is_taken, "{answer:?}");
        }
        assert_eq!(
            said(confirmed(&[], true, false, never)),
            "No memory cards found. Try reinserting the card."
        );
        let two = [one[0].clone(), card("mmcblk0", 512_000)];
        assert_eq!(
            said(confirmed(&two, true, false, never)),
            "Too many possible memory cards found:\n  /dev/sdc (15.93 GB)\n  /dev/mmcblk0 (512.00 KB)\n\
             Automatic selection not possible. Specify one using the -d option."
        );
    }
}
