// SPDX-License-Identifier: MIT OR Apache-2.0

//! The table of options, from which the command line is parsed and the help is made, and the lookup
//! of long options by prefix.

use super::error::OptionsError;

/// An option of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelpEntry {
    /// The short form, without the hyphen.
    pub short: Option<char>,
    /// The long form, without the hyphens.
    pub long: Option<&'static str>,
    /// The kind of value that it takes, such as `FILE`.
    pub value: Option<&'static str>,
    /// The description, with the default in brackets.
    pub help: &'static str,
}

const fn option(
    short: Option<char>,
    long: Option<&'static str>,
    value: Option<&'static str>,
    help: &'static str,
) -> HelpEntry {
    HelpEntry {
        short,
        long,
        value,
        help,
    }
}

const fn level(digit: char) -> HelpEntry {
    option(
        Some(digit),
        None,
        None,
        "A compression level, from 1, fast, to 9, small",
    )
}

const COMMANDS: &[HelpEntry] = &[
    option(
        Some('a'),
        Some("apply"),
        None,
        "Apply an archive to a disk or an image",
    ),
    option(
        Some('c'),
        Some("create"),
        None,
        "Make an archive from a configuration",
    ),
    option(
        Some('g'),
        Some("gen-keys"),
        None,
        "Make a key pair, fwup-key.pub and fwup-key.priv, or with the start of the names given by -o",
    ),
    option(
        None,
        Some("create-delta"),
        None,
        "Make a delta archive from two archives, the old and the new one",
    ),
    option(
        Some('S'),
        Some("sign"),
        None,
        "Write a signed copy of an archive",
    ),
    option(
        Some('l'),
        Some("list"),
        None,
        "List the tasks of an archive",
    ),
    option(
        Some('m'),
        Some("metadata"),
        None,
        "Print the metadata of an archive",
    ),
    option(
        Some('V'),
        Some("verify"),
        None,
        "Check the data of an archive",
    ),
    option(
        None,
        Some("sparse-check"),
        Some("PATH"),
        "Check whether files in PATH can have holes",
    ),
    option(
        Some('D'),
        Some("detect"),
        None,
        "List memory cards and sticks: device, size in bytes",
    ),
    option(
        Some('z'),
        None,
        None,
        "Print the memory card that -a uses without -d",
    ),
    option(
        None,
        Some("version"),
        None,
        "Print the version of fwup that this is compatible with",
    ),
    option(Some('h'), Some("help"), None, "Print this help"),
];

const OPTIONS: &[HelpEntry] = &[
    option(
        Some('f'),
        None,
        Some("FILE"),
        "The configuration [fwupdate.conf]; - for stdin",
    ),
    option(
        Some('i'),
        None,
        Some("FILE"),
        "The archive to read; - for stdin [-]",
    ),
    option(
        Some('o'),
        None,
        Some("FILE"),
        "The archive to write; - for stdout",
    ),
    option(
        Some('s'),
        Some("private-key-file"),
        Some("FILE"),
        "The key that signs the archive (with -c or -S)",
    ),
    option(
        None,
        Some("private-key"),
        Some("KEY"),
        "The same, as base64",
    ),
    option(
        Some('p'),
        Some("public-key-file"),
        Some("FILE"),
        "Accept only archives signed by this key; up to 10",
    ),
    option(None, Some("public-key"), Some("KEY"), "The same, as base64"),
    option(
        Some('d'),
        None,
        Some("FILE"),
        "The disk or image [the only memory card]",
    ),
    option(Some('y'), None, None, "Use the memory card without asking"),
    option(
        Some('t'),
        Some("task"),
        Some("NAME"),
        "The task, or the start of its name",
    ),
    option(
        None,
        Some("metadata-key"),
        Some("NAME"),
        "Print only this value, without quotes",
    ),
    option(
        None,
        Some("sparse-check-size"),
        Some("N"),
        "The size of the hole to try, in bytes [4096]",
    ),
    option(Some('q'), Some("quiet"), None, "No progress"),
    option(Some('n'), None, None, "Progress as numbers"),
    option(
        Some('F'),
        Some("framing"),
        None,
        "Messages and input in frames",
    ),
    option(
        None,
        Some("json"),
        None,
        "Messages (-a) or metadata (-m) as JSON",
    ),
    option(
        None,
        Some("exit-handshake"),
        None,
        "At the end wait until stdin is closed",
    ),
    option(
        None,
        Some("progress-low"),
        Some("N"),
        "The start of the progress, in percent [0]",
    ),
    option(
        None,
        Some("progress-high"),
        Some("N"),
        "The end of the progress, in percent [100]",
    ),
    option(
        Some('u'),
        Some("unmount"),
        None,
        "Unmount the disk and its partitions first [yes]",
    ),
    option(
        Some('U'),
        Some("no-unmount"),
        None,
        "Write to the disk while it is in use",
    ),
    option(
        None,
        Some("max-size"),
        Some("N"),
        "Use only the first N blocks of 512 bytes",
    ),
    option(
        None,
        Some("verify-writes"),
        None,
        "Read back all data after writing it [disks]",
    ),
    option(
        None,
        Some("no-verify-writes"),
        None,
        "Do not read it back [files]",
    ),
    option(
        None,
        Some("minimize-writes"),
        None,
        "Write only blocks that change",
    ),
    option(
        None,
        Some("no-minimize-writes"),
        None,
        "Write all blocks [yes]",
    ),
    option(
        None,
        Some("enable-trim"),
        None,
        "Discard trimmed blocks on the disk",
    ),
    option(
        Some('E'),
        Some("no-eject"),
        None,
        "No effect, as in fwup on Linux",
    ),
    option(None, Some("eject"), None, "No effect, as in fwup on Linux"),
    option(
        None,
        Some("unsafe"),
        None,
        "Let tasks run programs and write to any file",
    ),
    option(
        None,
        Some("reboot-param-path"),
        Some("FILE"),
        "The file for the next boot's parameter [/run/systemd/reboot-param, /run/reboot-param]",
    ),
    option(
        Some('v'),
        Some("verbose"),
        None,
        "Print more to stderr, such as why a task does not apply",
    ),
];

/// The compression levels, which are one line of the help.
const LEVELS: &[HelpEntry] = &[
    level('1'),
    level('2'),
    level('3'),
    level('4'),
    level('5'),
    level('6'),
    level('7'),
    level('8'),
    level('9'),
];

/// The long options that fwup does not have. They cannot be shortened, so that every abbreviation
/// means what it means for fwup.
const OURS: [&str; 2] = ["create-delta", "json"];

/// The column of the descriptions in the help, and its width.
const COLUMN: usize = 27;
const WIDTH: usize = 79;

/// Returns all options, for manual pages and shell completions.
pub fn help_entries() -> impl Iterator<Item = &'static HelpEntry> {
    COMMANDS.iter().chain(OPTIONS).chain(LEVELS)
}

/// Returns the text of `-h`.
pub(crate) fn help() -> String {
    let mut text = "Usage: fwup [OPTION]...\n\nCommands:\n".to_owned();
    for entry in COMMANDS {
        line(&entry.forms(), entry.help, &mut text);
    }
    text += "\nOptions:\n";
    for entry in OPTIONS {
        line(&entry.forms(), entry.help, &mut text);
    }
    line(
        "-1 ... -9",
        "The compression level, fast ... small [-7]",
        &mut text,
    );
    text += "\n";
    line(
        "fwup FILE",
        "The same as fwup -a -i FILE -t complete",
        &mut text,
    );
    text + "\nSee \"Firmware archives\" in the manual for details.\n"
}

/// Adds a line of the help, whose description continues on further lines.
fn line(forms: &str, help: &str, text: &mut String) {
    let mut line = format!("  {forms}");
    if line.len() >= COLUMN {
        *text += &format!("{line}\n");
        line.clear();
    }
    let mut room = COLUMN;
    for word in help.split(' ') {
        if line.len() > room && line.len() + 1 + word.len() > WIDTH {
            *text += &format!("{line}\n");
            line.clear();
            room = COLUMN;
        }
        if line.len() < room {
            line = format!("{line:room$}{word}");
        } else {
            line = format!("{line} {word}");
        }
    }
    *text += &format!("{line}\n");
}

impl HelpEntry {
    /// Returns the forms and the value, as in the help.
    fn forms(&self) -> String {
        let short = self.short.map(|short| format!("-{short}"));
        let long = self.long.map(|long| format!("--{long}"));
        let forms: Vec<_> = [short, long].into_iter().flatten().collect();
        let value = self.value.map(|value| format!(" {value}"));
        forms.join(", ") + &value.unwrap_or_default()
    }
}

/// Finds an option by its short form.
pub(super) fn find_short(letter: char) -> Option<&'static HelpEntry> {
    help_entries().find(|entry| entry.short == Some(letter))
}

/// Finds a long option by its name or an unambiguous prefix.
pub(super) fn find_long(name: &str) -> Result<&'static HelpEntry, OptionsError> {
    let mut found: Vec<_> = help_entries()
        .filter_map(|entry| Some((entry.long?, entry)))
        .filter(|(long, _)| match OURS.contains(long) {
            true => *long == name,
            false => long.starts_with(name),
        })
        .collect();
    // As in getopt, the possible names are in a fixed order.
    found.sort_unstable_by_key(|(long, _)| *long);
    let exact = found.iter().find(|(long, _)| *long == name);
    match (exact, found.as_slice()) {
        (Some((_, entry)), _) => Ok(entry),
        (None, [(_, entry)]) if !name.is_empty() => Ok(entry),
        (None, []) => Err(OptionsError::Unknown(format!("--{name}"))),
        (None, _) => Err(OptionsError::Ambiguous {
            option: format!("--{name}"),
            possible: found
                .iter()
                .map(|(long, _)| format!("'--{long}'"))
                .collect::<Vec<_>>()
                .join(" "),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_options_take_no_abbreviation_from_fwup() {
        for (name, expected) in [
            ("creat", Some("create")),
            ("create-delta", Some("create-delta")),
            ("create-d", None),
            ("js", None),
            ("json", Some("json")),
        ] {
            let found = find_long(name).ok().and_then(|entry| entry.long);
            assert_eq!(found, expected, "{name}");
        }
    }
}
