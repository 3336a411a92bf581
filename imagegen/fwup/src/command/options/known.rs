// SPDX-License-Identifier: MIT OR Apache-2.0

//! The table of options, and the lookup of long options by prefix.

use super::error::OptionsError;

/// An option: its short form, its long form, and whether it takes a value.
pub(super) type Known = (Option<char>, &'static str, bool);

/// All options. An empty long form means that there is none.
pub(super) const KNOWN: &[Known] = &[
    (Some('a'), "apply", false),
    (Some('c'), "create", false),
    (Some('d'), "", true),
    (Some('D'), "detect", false),
    (None, "eject", false),
    (Some('E'), "no-eject", false),
    (None, "enable-trim", false),
    (None, "exit-handshake", false),
    (Some('f'), "", true),
    (Some('F'), "framing", false),
    (Some('g'), "gen-keys", false),
    (Some('h'), "help", false),
    (Some('i'), "", true),
    (None, "json", false),
    (Some('l'), "list", false),
    (None, "max-size", true),
    (Some('m'), "metadata", false),
    (None, "metadata-key", true),
    (None, "minimize-writes", false),
    (Some('n'), "", false),
    (None, "no-minimize-writes", false),
    (None, "no-verify-writes", false),
    (Some('o'), "", true),
    (Some('p'), "public-key-file", true),
    (None, "public-key", true),
    (Some('s'), "private-key-file", true),
    (None, "private-key", true),
    (None, "progress-high", true),
    (None, "progress-low", true),
    (Some('q'), "quiet", false),
    (None, "reboot-param-path", true),
    (Some('S'), "sign", false),
    (None, "sparse-check", true),
    (None, "sparse-check-size", true),
    (Some('t'), "task", true),
    (Some('u'), "unmount", false),
    (Some('U'), "no-unmount", false),
    (None, "unsafe", false),
    (Some('v'), "verbose", false),
    (Some('V'), "verify", false),
    (None, "verify-writes", false),
    (None, "version", false),
    (Some('y'), "", false),
    (Some('z'), "", false),
    (Some('1'), "", false),
    (Some('2'), "", false),
    (Some('3'), "", false),
    (Some('4'), "", false),
    (Some('5'), "", false),
    (Some('6'), "", false),
    (Some('7'), "", false),
    (Some('8'), "", false),
    (Some('9'), "", false),
];

/// Finds a long option by its name or an unambiguous prefix.
pub(super) fn find_long(name: &str) -> Result<&'static Known, OptionsError> {
    let named = KNOWN.iter().filter(|known| !known.1.is_empty());
    let found: Vec<_> = named.filter(|known| known.1.starts_with(name)).collect();
    let exact = found.iter().find(|known| known.1 == name);
    match (exact, found.as_slice()) {
        (Some(known), _) => Ok(known),
        (None, [known]) if !name.is_empty() => Ok(known),
        (None, []) => Err(OptionsError::Unknown(format!("--{name}"))),
        (None, _) => Err(OptionsError::Ambiguous {
            option: format!("--{name}"),
            possible: found
                .iter()
                .map(|known| format!("'--{}'", known.1))
                .collect::<Vec<_>>()
                .join(" "),
        }),
    }
}
