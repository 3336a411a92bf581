// SPDX-License-Identifier: MIT OR Apache-2.0

//! A plan for people: each step with its formula and its figures.

use super::compute::{MEMORY_SHARE, PORTS, Plan, REST_SHARE, Request};
use super::measured::Measured;
use super::size::HostSize;
use crate::totals::{duration, grouped, memory};

impl Plan {
    /// Returns the plan step by step, with the formula of each step.
    #[must_use]
    pub fn steps(&self, request: &Request, measured: &Measured) -> String {
        let Request {
            guests,
            host,
            memory: ram,
            clones,
        } = request;
        let mib = |mib: f64| memory(mib * 1024.0);
        let start = if *clones {
            measured.clone
        } else {
            measured.boot
        };
        let kind = if *clones { "clone" } else { "booted guest" };
        let guest = if *clones {
            format!(
                "{} written by a clone",
                mib(self.guest_mib - measured.supervisor_mib)
            )
        } else {
            format!("{ram} RAM + {} of QEMU", mib(measured.booted_overhead_mib))
        };
        let shared = if *clones {
            format!(
                "{} of QEMU + {ram} of the template",
                mib(measured.shared_mib)
            )
        } else {
            format!("{} of QEMU", mib(measured.shared_mib))
        };
        let HostSize {
            cores,
            memory: host_memory,
        } = host;
        let (work, seconds) = (start.core_seconds, start.seconds);
        let update = measured.update;
        let fullest = grouped(&self.fullest);
        [
            format!(
                "{} guests of {ram} on hosts with {cores} cores and {host_memory}",
                grouped(&guests)
            ),
            format!("Figures: {}", measured.source),
            String::new(),
            format!(
                "memory of a {kind}  = {guest} + {:.2} MB of the supervisor = {}",
                measured.supervisor_mib,
                mib(self.guest_mib)
            ),
            format!("shared on a host = {shared} = {}", mib(self.shared_mib)),
            format!(
                "guests by memory = ({host_memory} x {MEMORY_SHARE} - {}) / {} = {}",
                mib(self.shared_mib),
                mib(self.guest_mib),
                grouped(&self.by_memory)
            ),
            format!(
                "guests by cores  = {cores} x {REST_SHARE} / {} of a core at rest = {}",
                measured.rest_cores,
                grouped(&self.by_cores)
            ),
            format!("guests by ports  = {}", grouped(&PORTS)),
            format!(
                "guests per host  = least of these = {}",
                grouped(&self.per_host)
            ),
            format!(
                "hosts            = {} / {} rounded up = {}",
                grouped(&guests),
                grouped(&self.per_host),
                grouped(&self.hosts)
            ),
            format!(
                "on the fullest   = {} / {} rounded up = {fullest}",
                grouped(&guests),
                grouped(&self.hosts)
            ),
            format!(
                "memory, all told = {} x {} + {} x {} = {}",
                grouped(&self.hosts),
                mib(self.shared_mib),
                grouped(&guests),
                mib(self.guest_mib),
                mib(self.memory_mib)
            ),
            format!(
                "time to boot     = {} + {fullest} x {work} core s / {cores} = {}",
                duration(seconds),
                duration(self.boot_seconds)
            ),
            format!(
                "time to update   = 2 stages x {} + {fullest} x {} core s / {cores} = {}",
                duration(update.seconds),
                update.core_seconds,
                duration(self.update_seconds)
            ),
            String::new(),
            format!(
                "{} {}",
                grouped(&self.hosts),
                if self.hosts == 1 { "host" } else { "hosts" }
            ),
        ]
        .map(|line| line + "\n")
        .concat()
    }
}
