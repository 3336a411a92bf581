// SPDX-License-Identifier: MIT OR Apache-2.0

//! Recognises the lines of a console that say how far a guest is.

/// What a line of the console says.
#[derive(Clone, Debug, PartialEq)]
pub enum Sign {
    /// The loader's first line.
    Loader,
    /// The loader's choice of a slot.
    Slot {
        /// `a` or `b`.
        slot: String,
        /// Why it was chosen.
        reason: String,
    },
    /// The loader stops; the reason.
    Fatal(String),
    /// The loader has started the kernel, or the kernel has printed something itself.
    Kernel,
    /// The kernel's panic; the reason.
    Panic(String),
    /// The guest is up.
    Up {
        /// The slot that it runs from, if it knows.
        slot: Option<String>,
        /// The loader's reason for this slot, if it knows.
        reason: Option<String>,
        /// The version of its system, if it says one.
        version: Option<String>,
    },
    /// The guest has ended its trial of this slot.
    Validated(String),
    /// The guest writes this slot.
    Updating(String),
    /// The guest has written this slot, which the next boot tries.
    Updated(String),
    /// The guest could not write the other slot; the reason.
    UpdateFailed(String),
    /// The guest complains; the text.
    Complaint(String),
}

/// Recognises a complete line.
///
/// `up_line` is a text that means that the guest is up, in addition to those known.
#[must_use]
pub fn recognise(line: &str, up_line: Option<&str>) -> Option<Sign> {
    let line = line.trim();
    if let Some(rest) = after_prompt(line).strip_prefix("fleet: ") {
        return of_guest(rest);
    }
    if let Some(rest) = line.strip_prefix("little-loader: ") {
        return rest
            .strip_prefix("fatal: ")
            .map(|why| Sign::Fatal(why.to_owned()));
    }
    if line.strip_prefix("little-loader ").is_some_and(is_version) {
        return Some(Sign::Loader);
    }
    if let Some((_, why)) = line.split_once("Kernel panic - not syncing: ") {
        // The kernel repeats its reason at the end of the dump.
        let why = why.trim_end_matches(" ]---");
        return Some(Sign::Panic(why.to_owned()));
    }
    if let Some(slot) = chosen_slot(line) {
        return Some(slot);
    }
    if line.starts_with("kernel at EL") || line.contains("Booting Linux on physical CPU") {
        return Some(Sign::Kernel);
    }
    is_up(line, up_line).then(Sign::up)
}

/// Recognises a line that has no end: a prompt.
#[must_use]
pub fn recognise_prompt(line: &str, up_line: Option<&str>) -> Option<Sign> {
    let is_login = line.trim_end().ends_with(" login:");
    (is_login || is_up(line, up_line)).then(Sign::up)
}

impl Sign {
    /// Returns the sign of a guest that says nothing but that it is up.
    fn up() -> Self {
        Self::Up {
            slot: None,
            reason: None,
            version: None,
        }
    }
}

/// Returns the line without a shell's prompt before it: the guest reports while a shell waits.
fn after_prompt(line: &str) -> &str {
    let prompts = ["> fleet: ", "# fleet: ", "$ fleet: "];
    let at = prompts.iter().filter_map(|prompt| line.find(prompt)).min();
    at.map_or(line, |at| &line[at + 2..])
}

fn is_up(line: &str, up_line: Option<&str>) -> bool {
    up_line.is_some_and(|text| !text.is_empty() && line.contains(text))
}

fn is_version(text: &str) -> bool {
    text.split('.').count() == 3 && text.starts_with(|first: char| first.is_ascii_digit())
}

/// Recognises `slot b: trial, mmio@a003e00`.
fn chosen_slot(line: &str) -> Option<Sign> {
    let (slot, rest) = line.strip_prefix("slot ")?.split_once(": ")?;
    let (reason, disk) = rest.split_once(", ")?;
    let is_disk = disk.starts_with("mmio@") || disk.starts_with("pci@");
    (matches!(slot, "a" | "b") && is_disk).then(|| Sign::Slot {
        slot: slot.to_owned(),
        reason: reason.to_owned(),
    })
}

/// Recognises the lines with which a guest reports to its fleet.
fn of_guest(text: &str) -> Option<Sign> {
    let value = |name: &str| {
        let mut words = text.split_whitespace();
        let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
        (value != "none" && !value.is_empty()).then(|| value.to_owned())
    };
    let is = |what: &str| {
        let rest = text.strip_prefix(what);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    if is("up") {
        return Some(Sign::Up {
            slot: value("slot"),
            reason: value("reason"),
            version: value("version"),
        });
    }
    if let Some(why) = text.strip_prefix("update failed: ") {
        return Some(Sign::UpdateFailed(why.to_owned()));
    }
    for (what, sign) in [
        ("validated", Sign::Validated as fn(String) -> Sign),
        ("updating", Sign::Updating),
        ("updated", Sign::Updated),
    ] {
        if is(what) {
            return value("slot").map(sign);
        }
    }
    Some(Sign::Complaint(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(line: &str) -> Option<Sign> {
        recognise(line, Some("IEx is ready"))
    }

    #[test]
    fn the_loaders_lines() {
        assert_eq!(sign("little-loader 0.1.0"), Some(Sign::Loader));
        let slot = |slot: &str, reason: &str| {
            let (slot, reason) = (slot.to_owned(), reason.to_owned());
            Some(Sign::Slot { slot, reason })
        };
        assert_eq!(sign("slot a: active, mmio@a003e00"), slot("a", "active"));
        assert_eq!(sign("slot b: reverted, pci@0,1.0"), slot("b", "reverted"));
        assert_eq!(sign("kernel at EL1"), Some(Sign::Kernel));
        assert_eq!(
            sign("little-loader: fatal: no block device: add -drive"),
            Some(Sign::Fatal("no block device: add -drive".to_owned()))
        );
        for other in [
            "little-loader: warning: slot b: trial cannot be counted: read-only",
            "slot a: kernel_lba is not set, but needed",
            "little-loader is small",
            "trace: slot a: active",
        ] {
            assert_eq!(sign(other), None, "{other}");
        }
    }

    #[test]
    fn the_kernels_lines() {
        let booting = "[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x411fd070]";
        assert_eq!(sign(booting), Some(Sign::Kernel));
        let why = Some(Sign::Panic("cma: out of memory".to_owned()));
        assert_eq!(
            sign("[    0.1] Kernel panic - not syncing: cma: out of memory"),
            why
        );
        let end = "[    0.2] ---[ end Kernel panic - not syncing: cma: out of memory ]---";
        assert_eq!(sign(end), why);
    }

    #[test]
    fn the_guests_lines() {
        let up = "fleet: up serial=LL00000001 host=guest-00001 slot=b reason=trial uptime=4.6";
        assert_eq!(
            sign(up),
            Some(Sign::Up {
                slot: Some("b".to_owned()),
                reason: Some("trial".to_owned()),
                version: None,
            })
        );
        let bare = "fleet: up serial=LL00000001 slot=none reason=none uptime=4.6 version=1.2.0";
        let Some(Sign::Up {
            slot,
            reason,
            version,
        }) = sign(bare)
        else {
            panic!("not up");
        };
        assert_eq!(
            (slot, reason, version.as_deref()),
            (None, None, Some("1.2.0"))
        );
        assert_eq!(
            sign("fleet: validated slot=b"),
            Some(Sign::Validated("b".into()))
        );
        assert_eq!(
            sign("fleet: updating slot=b"),
            Some(Sign::Updating("b".into()))
        );
        assert_eq!(
            sign("fleet: updated slot=b"),
            Some(Sign::Updated("b".into()))
        );
        assert_eq!(
            sign("fleet: update failed: no space"),
            Some(Sign::UpdateFailed("no space".into()))
        );
        assert_eq!(
            sign("fleet: bad image, rebooting"),
            Some(Sign::Complaint("bad image, rebooting".into()))
        );
        assert_eq!(sign("the fleet: up"), None);
        assert_eq!(
            sign("1> fleet: validated slot=a"),
            Some(Sign::Validated("a".into()))
        );
    }

    #[test]
    fn other_guests_are_up_by_their_prompt() {
        assert_eq!(recognise_prompt("nerves-1 login: ", None), Some(Sign::up()));
        assert_eq!(
            recognise_prompt("iex(1)> ", Some("iex(1)>")),
            Some(Sign::up())
        );
        assert_eq!(recognise_prompt("iex(1)> ", None), None);
        assert_eq!(sign("now IEx is ready."), Some(Sign::up()));
        assert_eq!(recognise("anything", Some("")), None);
    }
}
