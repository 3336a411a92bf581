// SPDX-License-Identifier: MIT OR Apache-2.0

//! The columns of the table of guests.

use std::cmp::Ordering;

use crate::model::{Guest, Memory};
use crate::totals::{duration, float, memory, printable};

/// A column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Column {
    /// The guest's number.
    #[default]
    Number,
    /// The host name.
    Host,
    /// The state.
    State,
    /// The slot.
    Slot,
    /// The loader's reason for the slot.
    Reason,
    /// The version.
    Version,
    /// The time since the last start.
    Uptime,
    /// The time that the boot took.
    Boot,
    /// The proportional set size.
    Pss,
    /// The resident set size.
    Resident,
    /// Private memory.
    Private,
    /// CPU time as a share of a core.
    Cpu,
    /// What a person has to know.
    Message,
}

/// The narrowest message that is of any use.
const MESSAGE_WIDTH: u16 = 16;

impl Column {
    /// All columns, in the order in which they stand.
    pub const ALL: [Self; 13] = [
        Self::Number,
        Self::Host,
        Self::State,
        Self::Slot,
        Self::Reason,
        Self::Version,
        Self::Uptime,
        Self::Boot,
        Self::Pss,
        Self::Resident,
        Self::Private,
        Self::Cpu,
        Self::Message,
    ];

    /// The columns in the order in which a narrow screen gives them up, the last ones first.
    const BY_WEIGHT: [Self; 13] = [
        Self::Number,
        Self::State,
        Self::Message,
        Self::Host,
        Self::Slot,
        Self::Pss,
        Self::Uptime,
        Self::Boot,
        Self::Cpu,
        Self::Reason,
        Self::Version,
        Self::Resident,
        Self::Private,
    ];

    /// Returns the name at the head of the column.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Number => "no",
            Self::Host => "host",
            Self::State => "state",
            Self::Slot => "slot",
            Self::Reason => "reason",
            Self::Version => "version",
            Self::Uptime => "uptime",
            Self::Boot => "boot",
            Self::Pss => "PSS",
            Self::Resident => "RES",
            Self::Private => "private",
            Self::Cpu => "CPU %",
            Self::Message => "message",
        }
    }

    /// Returns the width in characters; of the message, the least one.
    #[must_use]
    pub fn width(self) -> u16 {
        match self {
            Self::Number => 6,
            Self::Host => 11,
            Self::State | Self::Uptime => 8,
            Self::Slot => 4,
            Self::Reason => 9,
            Self::Version => 10,
            Self::Boot | Self::Pss | Self::Resident | Self::Private => 7,
            Self::Cpu => 5,
            Self::Message => MESSAGE_WIDTH,
        }
    }

    /// Returns whether the column holds numbers, which are aligned to the right.
    #[must_use]
    pub fn is_number(self) -> bool {
        use Column::{Boot, Cpu, Number, Private, Pss, Resident, Uptime};
        matches!(
            self,
            Number | Uptime | Boot | Pss | Resident | Private | Cpu
        )
    }

    /// Returns the columns that fit into `width` characters with a space between them, in the order
    /// in which they stand. `wanted` is among them.
    #[must_use]
    pub fn fitting(width: u16, wanted: Self) -> Vec<Self> {
        let mut left = i32::from(width) - i32::from(wanted.width());
        let mut chosen = vec![wanted];
        for column in Self::BY_WEIGHT {
            let cost = i32::from(column.width()) + 1;
            if column != wanted && cost <= left {
                left -= cost;
                chosen.push(column);
            }
        }
        let in_order = Self::ALL.into_iter();
        in_order.filter(|column| chosen.contains(column)).collect()
    }

    /// Returns what the column says about `guest`; empty when that is not known.
    #[must_use]
    pub fn text(self, guest: &Guest) -> String {
        let size = |of: fn(Memory) -> u64| {
            let kib = guest.memory.map(of);
            kib.map(|kib| memory(float(kib))).unwrap_or_default()
        };
        let words = |text: &Option<String>| printable(text.as_deref().unwrap_or_default());
        match self {
            Self::Number => guest.id.to_string(),
            Self::Host => printable(&guest.host),
            Self::State => guest.state.to_string(),
            Self::Slot => words(&guest.slot),
            Self::Reason => words(&guest.reason),
            Self::Version => words(&guest.version),
            Self::Uptime => guest.uptime.map(duration).unwrap_or_default(),
            Self::Boot => guest.boot_seconds.map(duration).unwrap_or_default(),
            Self::Pss => size(|memory| memory.pss),
            Self::Resident => size(|memory| memory.rss),
            Self::Private => size(|memory| memory.private),
            Self::Cpu => {
                let share = guest.cpu.map(|cpu| format!("{:.1}", cpu * 100.0));
                share.unwrap_or_default()
            }
            Self::Message => words(&guest.message),
        }
    }

    /// Compares two guests by this column. What is not known comes first.
    #[must_use]
    pub fn compare(self, left: &Guest, right: &Guest) -> Ordering {
        let number = |guest: &Guest| match self {
            Self::Uptime => guest.uptime,
            Self::Boot => guest.boot_seconds,
            Self::Cpu => guest.cpu,
            _ => None,
        };
        let size = |guest: &Guest| {
            let memory = guest.memory?;
            match self {
                Self::Pss => Some(memory.pss),
                Self::Resident => Some(memory.rss),
                Self::Private => Some(memory.private),
                _ => None,
            }
        };
        match self {
            Self::Number => left.id.cmp(&right.id),
            Self::Host => left.host.cmp(&right.host),
            Self::State => left.state.cmp(&right.state),
            Self::Slot => left.slot.cmp(&right.slot),
            Self::Reason => left.reason.cmp(&right.reason),
            Self::Version => left.version.cmp(&right.version),
            Self::Message => left.message.cmp(&right.message),
            Self::Uptime | Self::Boot | Self::Cpu => {
                let known = |guest| number(guest).unwrap_or(f64::NEG_INFINITY);
                known(left).total_cmp(&known(right))
            }
            Self::Pss | Self::Resident | Self::Private => size(left).cmp(&size(right)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eighty_columns_show_what_matters_most() {
        let titles = |width, wanted| -> Vec<_> {
            let columns = Column::fitting(width, wanted).into_iter();
            columns.map(Column::title).collect()
        };
        assert_eq!(
            titles(80, Column::Number),
            [
                "no", "host", "state", "slot", "uptime", "boot", "PSS", "CPU %", "message"
            ]
        );
        assert!(titles(80, Column::Private).contains(&"private"));
        assert_eq!(titles(200, Column::Number).len(), Column::ALL.len());
        assert_eq!(titles(0, Column::Number), ["no"]);
    }

    #[test]
    fn the_chosen_columns_fit() {
        for width in 16..200 {
            for wanted in Column::ALL {
                let columns = Column::fitting(width, wanted);
                let needed: u16 = columns.iter().map(|column| column.width() + 1).sum();
                assert!(needed <= width + 1, "{width} {wanted:?}");
            }
        }
    }

    #[test]
    fn every_column_sorts() {
        let full = Guest {
            id: 2,
            host: "b".to_owned(),
            state: crate::model::State::Up,
            slot: Some("a".to_owned()),
            reason: Some("active".to_owned()),
            version: Some("1".to_owned()),
            message: Some("m".to_owned()),
            uptime: Some(1.0),
            boot_seconds: Some(1.0),
            cpu: Some(0.1),
            memory: Some(Memory {
                pss: 1,
                rss: 1,
                private: 1,
            }),
            ..Guest::default()
        };
        for column in Column::ALL {
            let order = column.compare(&Guest::default(), &full);
            assert_eq!(order, Ordering::Less, "{column:?}");
            assert!(!column.text(&full).is_empty());
        }
    }
}
