// SPDX-License-Identifier: MIT OR Apache-2.0

//! Decides when the next guests may start, so that the host stays usable and the system's
//! out-of-memory killer stays away.

use crate::host::Pressure;
use crate::model::Host;

/// The share of the last 10 seconds, in percent, in which all tasks waited for memory, from which
/// on no guest is started.
const FULL_PRESSURE: f64 = 10.0;

/// What a decision is based on.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The host.
    pub host: Host,
    /// How much its tasks wait.
    pub pressure: Pressure,
    /// The memory that must stay available, in KiB.
    pub reserve: u64,
    /// The memory that a guest takes in the end, in KiB.
    pub per_guest: u64,
    /// What the guests that run already have not taken yet of it, in KiB.
    pub outstanding: u64,
    /// The guests that have been started and are not up.
    pub booting: u32,
    /// How many of these there may be; 0 sets no limit.
    pub max_booting: u32,
    /// Whether the host merges pages of guests that are new, which frees memory.
    pub is_merging: bool,
    /// The guests to start now.
    pub chunk: u32,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start this many guests, at least one.
    Start(u32),
    /// Wait; the reason is for people.
    Hold(String),
    /// There is no room for another guest, and nothing that could end the lack.
    Full(String),
}

impl Circumstances {
    /// Decides.
    #[must_use]
    pub fn decide(&self) -> Decision {
        let spare = self
            .host
            .available
            .saturating_sub(self.outstanding)
            .saturating_sub(self.reserve);
        let room = spare / self.per_guest.max(1);
        if room == 0 {
            let reason = format!(
                "{} MiB of memory are available, of which {} MiB are kept in reserve and {} MiB go to the guests that boot; another guest takes about {} MiB",
                self.host.available >> 10,
                self.reserve >> 10,
                self.outstanding >> 10,
                self.per_guest >> 10,
            );
            // A guest that boots, or has not been measured yet, may need less than expected.
            return if self.booting == 0 && self.outstanding == 0 && !self.is_merging {
                Decision::Full(reason)
            } else {
                Decision::Hold(reason)
            };
        }
        if self.pressure.memory_full >= FULL_PRESSURE {
            return Decision::Hold(format!(
                "all tasks of the host waited for memory during {:.0} % of the last 10 s",
                self.pressure.memory_full
            ));
        }
        let slots = if self.max_booting == 0 {
            u32::MAX
        } else {
            self.max_booting.saturating_sub(self.booting)
        };
        if slots == 0 {
            return Decision::Hold(format!(
                "{} guests boot at the same time, the most allowed (--max-booting)",
                self.booting
            ));
        }
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        Decision::Start(self.chunk.min(slots).min(room).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 10;

    fn idle() -> Circumstances {
        Circumstances {
            host: Host {
                cpus: 2,
                memory: 1000 * MIB,
                available: 900 * MIB,
                load: 0.0,
            },
            pressure: Pressure::default(),
            reserve: 100 * MIB,
            per_guest: 100 * MIB,
            outstanding: 0,
            booting: 0,
            max_booting: 8,
            is_merging: false,
            chunk: 4,
        }
    }

    #[test]
    fn an_idle_host_takes_whole_chunks() {
        assert_eq!(idle().decide(), Decision::Start(4));
    }

    #[test]
    fn memory_limits_what_starts() {
        let almost = Circumstances {
            outstanding: 550 * MIB,
            booting: 6,
            ..idle()
        };
        assert_eq!(almost.decide(), Decision::Start(2));
        let held = Circumstances {
            outstanding: 750 * MIB,
            booting: 7,
            ..idle()
        };
        assert!(
            matches!(held.decide(), Decision::Hold(reason) if reason.contains("100 MiB are kept"))
        );
        let unknown = Circumstances {
            outstanding: 750 * MIB,
            ..idle()
        };
        assert!(matches!(unknown.decide(), Decision::Hold(_)));
        let full = Circumstances {
            reserve: 850 * MIB,
            ..idle()
        };
        assert!(matches!(full.decide(), Decision::Full(_)));
        let merging = Circumstances {
            is_merging: true,
            ..full
        };
        assert!(matches!(merging.decide(), Decision::Hold(_)));
    }

    #[test]
    fn pressure_and_booting_guests_hold() {
        let pressed = Circumstances {
            pressure: Pressure {
                memory: 40.0,
                memory_full: 12.0,
            },
            ..idle()
        };
        assert!(matches!(pressed.decide(), Decision::Hold(_)));
        let busy = Circumstances {
            booting: 8,
            ..idle()
        };
        assert!(
            matches!(busy.decide(), Decision::Hold(reason) if reason.contains("--max-booting"))
        );
        assert_eq!(
            Circumstances {
                booting: 8,
                max_booting: 0,
                ..idle()
            }
            .decide(),
            Decision::Start(4)
        );
        assert_eq!(
            Circumstances {
                booting: 6,
                ..idle()
            }
            .decide(),
            Decision::Start(2)
        );
    }
}
