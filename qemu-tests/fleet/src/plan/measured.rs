// SPDX-License-Identifier: MIT OR Apache-2.0

//! Figures that a plan is computed from.
//!
//! | figure | measured by |
//! | --- | --- |
//! | `booted_overhead_mib`, `shared_mib` | `cargo qemu fleet start --count 40`, then `status`: PSS and private memory of each guest |
//! | `clone_mib` | `cargo qemu fleet start --count 500 --clones`, then `status` |
//! | `rest_cores` | the same, CPU a minute after the last guest is up |
//! | `boot`, `clone` | the time to the last guest of those commands, times the cores, divided by the guests |
//! | `update` | `cargo qemu fleet update --fw FILE`, likewise |
//!
//! `cargo qemu fleet report --measured FILE` writes those of a user's own fleet.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::{Kind, PlanError};

/// What is done once per guest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// CPU time in seconds of a core, all told.
    pub core_seconds: f64,
    /// Seconds that it takes on a host with nothing else to do.
    pub seconds: f64,
}

/// Measured figures of a kind of guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Where the figures come from, for the person who reads the plan.
    pub source: String,
    /// MiB that a booted guest takes from the host beyond its own RAM, all of which counts as used.
    pub booted_overhead_mib: f64,
    /// MiB that a clone takes for itself, whatever the size of its RAM.
    pub clone_mib: f64,
    /// MiB that all guests of a host share: QEMU's program and libraries. Clones share the template's
    /// RAM as well.
    pub shared_mib: f64,
    /// MiB of the supervisor per guest.
    pub supervisor_mib: f64,
    /// CPU time of a guest that is up and has nothing to do, as a share of a core.
    pub rest_cores: f64,
    /// A boot through the loader.
    pub boot: Work,
    /// A start from the template.
    pub clone: Work,
    /// An update: writing the other slot, the reboot, the validation.
    pub update: Work,
}

impl Measured {
    /// Returns the figures of `file`, which `report --measured` writes, or without one those of this
    /// project for hosts of this kind.
    ///
    /// # Errors
    /// When the file cannot be read, or has other contents.
    pub fn choose(file: Option<&Path>, kind: Kind) -> anyhow::Result<Self> {
        let Some(path) = file else {
            return Ok(match kind {
                Kind::Kvm => Self::kvm(),
                Kind::Tcg => Self::emulated(),
            });
        };
        let context = || format!("reading the measured figures {}", path.display());
        let text = fs::read_to_string(path).with_context(context)?;
        let figures: Self = serde_json::from_str(&text).with_context(context)?;
        figures.check().with_context(context)
    }

    /// Returns the figures of the Erlang guest with 80 MiB of RAM under emulation, on two x86-64
    /// cores.
    #[must_use]
    pub fn emulated() -> Self {
        Self {
            source: "this project's measurements: an Erlang guest of 80 MiB under emulation"
                .to_owned(),
            // 119.5 MiB of PSS with 80 MiB of RAM (`cargo qemu bench --fleet 40,0`).
            booted_overhead_mib: 40.0,
            // PSS of 16 clones; where equal pages are merged, 1,000 take half of it each.
            clone_mib: 26.0,
            // Resident pages of QEMU's files, which PSS divides among the guests.
            shared_mib: 30.0,
            // The limit that the supervisor is held to: 50 MB with 1,000 guests.
            supervisor_mib: 0.05,
            // The limit that a guest at rest is held to.
            rest_cores: 0.002,
            // 7 to 8 s of QEMU's CPU time until the agent answers.
            boot: Work {
                core_seconds: 8.0,
                seconds: 8.0,
            },
            // 0.28 s of QEMU's CPU time until the agent answers, and 0.75 s with six at a time.
            clone: Work {
                core_seconds: 0.3,
                seconds: 0.75,
            },
            // Ten guests by themselves in 77 s on two cores.
            update: Work {
                core_seconds: 15.0,
                seconds: 15.0,
            },
        }
    }

    /// Returns figures for hosts with KVM. Only the memory is known from such a host, a published
    /// fleet of 5,100 guests with 110 MB inside and 160 MB outside, 30 MB of which are shared; CPU
    /// times are those of emulation, which takes longer.
    #[must_use]
    pub fn kvm() -> Self {
        Self {
            source:
                "memory of a published fleet of 5,100 guests under KVM; CPU times measured under \
                     emulation, so at most these"
                    .to_owned(),
            booted_overhead_mib: 20.0,
            ..Self::emulated()
        }
    }

    /// Checks that a plan can be computed.
    ///
    /// # Errors
    /// When a figure is not a positive number.
    pub fn check(self) -> Result<Self, PlanError> {
        for (name, value) in [
            ("booted_overhead_mib", self.booted_overhead_mib),
            ("clone_mib", self.clone_mib),
            ("shared_mib", self.shared_mib),
            ("supervisor_mib", self.supervisor_mib),
            ("rest_cores", self.rest_cores),
            ("boot.core_seconds", self.boot.core_seconds),
            ("boot.seconds", self.boot.seconds),
            ("clone.core_seconds", self.clone.core_seconds),
            ("clone.seconds", self.clone.seconds),
            ("update.core_seconds", self.update.core_seconds),
            ("update.seconds", self.update.seconds),
        ] {
            if !(value.is_finite() && value > 0.0 && value < 1e9) {
                return Err(PlanError::Figure { name, value });
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_s_own_figures_can_be_computed_with() {
        Measured::emulated().check().unwrap();
        Measured::kvm().check().unwrap();
    }

    #[test]
    fn figures_that_are_no_amounts_are_named() {
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let measured = Measured {
                rest_cores: value,
                ..Measured::emulated()
            };
            let error = measured.check().unwrap_err().to_string();
            assert!(error.starts_with("rest_cores is "), "{error}");
        }
    }
}
