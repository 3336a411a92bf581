// SPDX-License-Identifier: MIT OR Apache-2.0

//! Computes how many hosts a number of guests needs, and how long it takes.

use serde::Serialize;

use super::PlanError;
use super::measured::Measured;
use super::size::{HostSize, Size};
use crate::totals::{float, memory, whole};

/// The share of a host's memory that guests may take: the rest is for the system and its caches.
pub(super) const MEMORY_SHARE: f64 = 0.9;
/// The share of a host's cores that guests at rest may take: the rest is for boots and updates.
pub(super) const REST_SHARE: f64 = 0.5;
/// Ports of the loopback interface above 1,023, less 4,512 for the host's own use: each guest has one.
pub(super) const PORTS: u64 = 60_000;

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Guests, at least 1.
    pub guests: u32,
    /// One host; all are alike.
    pub host: HostSize,
    /// A guest's RAM.
    pub memory: Size,
    /// Whether guests are clones of a template.
    pub clones: bool,
}

/// What a number of guests needs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// MiB of a host's memory that a further guest takes.
    pub guest_mib: f64,
    /// MiB of a host's memory that its guests share.
    pub shared_mib: f64,
    /// The most guests that a host's memory holds.
    pub by_memory: u64,
    /// The most guests that a host's cores carry at rest.
    pub by_cores: u64,
    /// The most guests of a host.
    pub per_host: u64,
    /// Hosts.
    pub hosts: u64,
    /// Guests on the fullest host.
    pub fullest: u64,
    /// MiB that guests take on all hosts.
    pub memory_mib: f64,
    /// Seconds until the last guest is up.
    pub boot_seconds: f64,
    /// Seconds until the last guest has validated an update with a canary stage.
    pub update_seconds: f64,
}

impl Plan {
    /// Computes the plan.
    ///
    /// # Errors
    /// When not a single guest fits on a host.
    pub fn compute(request: &Request, measured: &Measured) -> Result<Self, PlanError> {
        let ram = request.memory.mib();
        let (own, shared, start) = if request.clones {
            // A clone that has written all of its RAM takes no less than a booted guest.
            let most = ram + measured.booted_overhead_mib;
            let own = measured.clone_mib.min(most);
            (own, measured.shared_mib + ram, measured.clone)
        } else {
            let own = ram + measured.booted_overhead_mib;
            (own, measured.shared_mib, measured.boot)
        };
        let guest_mib = own + measured.supervisor_mib;
        let cores = f64::from(request.host.cores);
        let for_guests = request.host.memory.mib() * MEMORY_SHARE - shared;
        let by_memory = whole(for_guests / guest_mib);
        let by_cores = whole(cores * REST_SHARE / measured.rest_cores);
        let per_host = by_memory.min(by_cores).min(PORTS);
        if by_memory == 0 {
            return Err(PlanError::TooSmall {
                what: "memory",
                needed: memory((guest_mib + shared) / MEMORY_SHARE * 1024.0),
            });
        }
        if by_cores == 0 {
            return Err(PlanError::TooSmall {
                what: "cores",
                needed: format!("{:.0} cores", (measured.rest_cores / REST_SHARE).ceil()),
            });
        }
        let guests = u64::from(request.guests);
        let hosts = guests.div_ceil(per_host);
        let fullest = guests.div_ceil(hosts);
        let time = |work: super::Work, stages: f64| {
            stages * work.seconds + float(fullest) * work.core_seconds / cores
        };
        Ok(Self {
            guest_mib,
            shared_mib: shared,
            by_memory,
            by_cores,
            per_host,
            hosts,
            fullest,
            memory_mib: float(hosts) * shared + float(guests) * guest_mib,
            boot_seconds: time(start, 1.0),
            update_seconds: time(measured.update, 2.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Work;
    use super::*;

    fn request(guests: u32, host: &str, memory: &str, clones: bool) -> Request {
        Request {
            guests,
            host: host.parse().unwrap(),
            memory: memory.parse().unwrap(),
            clones,
        }
    }

    #[test]
    fn a_plan_follows_its_formulas() {
        let measured = Measured {
            booted_overhead_mib: 20.0,
            clone_mib: 10.0,
            shared_mib: 24.0,
            supervisor_mib: 0.5,
            rest_cores: 0.01,
            boot: Work {
                core_seconds: 5.0,
                seconds: 5.0,
            },
            update: Work {
                core_seconds: 10.0,
                seconds: 10.0,
            },
            ..Measured::emulated()
        };
        let booted = request(1000, "cores=8,mem=10G", "80M", false);
        let plan = Plan::compute(&booted, &measured).unwrap();
        // (10240 x 0.9 - 24) / 100.5 = 91.46
        assert_eq!((plan.by_memory, plan.by_cores), (91, 400));
        assert_eq!((plan.hosts, plan.fullest), (11, 91));
        assert_eq!(plan.memory_mib, 11.0 * 24.0 + 1000.0 * 100.5);
        assert_eq!(plan.boot_seconds, 5.0 + 91.0 * 5.0 / 8.0);
        assert_eq!(plan.update_seconds, 20.0 + 91.0 * 10.0 / 8.0);
        let text = plan.steps(&booted, &measured);
        for part in [
            "guests by memory = (10.0 GB x 0.9 - 24 MB) / 100 MB = 91\n",
            "hosts            = 1,000 / 91 rounded up = 11\n",
            "\n11 hosts\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        let cloned = request(1000, "cores=8,mem=10G", "80M", true);
        let plan = Plan::compute(&cloned, &measured).unwrap();
        // (10240 x 0.9 - 104) / 10.5 = 867.8
        assert_eq!((plan.by_memory, plan.per_host), (867, 400));
        assert_eq!(plan.hosts, 3);
    }

    #[test]
    fn a_host_that_is_too_small_is_an_error() {
        let measured = Measured::emulated();
        let tiny = request(1, "cores=1,mem=64M", "80M", false);
        let error = Plan::compute(&tiny, &measured).unwrap_err().to_string();
        assert_eq!(
            error,
            "not one guest fits: a host needs at least 167 MB of memory"
        );
        let busy = Measured {
            rest_cores: 1.5,
            ..measured
        };
        let slow = request(1, "cores=1,mem=64G", "80M", false);
        let error = Plan::compute(&slow, &busy).unwrap_err().to_string();
        assert_eq!(error, "not one guest fits: a host needs at least 3 cores");
    }

    prop_compose! {
        fn any_request()(
            guests in 1..u32::MAX,
            cores in 1..=u16::MAX,
            host in 300..1_u64 << 40,
            ram in 1..200_u64,
            clones: bool,
        ) -> Request {
            Request {
                guests,
                host: HostSize { cores, memory: Size::from_mib(host).unwrap() },
                memory: Size::from_mib(ram).unwrap(),
                clones,
            }
        }
    }

    proptest! {
        #[test]
        fn more_guests_never_need_less(request in any_request(), more in 1..1_000_000_u32) {
            let measured = Measured::emulated();
            let larger = Request {
                guests: request.guests.saturating_add(more),
                ..request.clone()
            };
            if let Ok(plan) = Plan::compute(&request, &measured) {
                let larger = Plan::compute(&larger, &measured).unwrap();
                prop_assert!(larger.hosts >= plan.hosts);
                prop_assert!(larger.memory_mib >= plan.memory_mib);
            }
        }

        #[test]
        fn larger_hosts_are_never_more(request in any_request(), more in 1..1_u64 << 20) {
            let measured = Measured::emulated();
            let Some(memory) = Size::from_mib(request.host.memory.mib() as u64 + more) else {
                return Ok(());
            };
            let host = HostSize { memory, ..request.host };
            let larger = Request { host, ..request.clone() };
            if let Ok(plan) = Plan::compute(&request, &measured) {
                let larger = Plan::compute(&larger, &measured).unwrap();
                prop_assert!(larger.hosts <= plan.hosts);
            }
        }

        #[test]
        fn a_plan_fits(request in any_request()) {
            let measured = Measured::emulated();
            if let Ok(plan) = Plan::compute(&request, &measured) {
                prop_assert!(plan.hosts * plan.per_host >= u64::from(request.guests));
                prop_assert!((plan.hosts - 1) * plan.per_host < u64::from(request.guests));
                prop_assert!(plan.fullest <= plan.per_host && plan.fullest <= PORTS);
                let used = plan.shared_mib + float(plan.per_host) * plan.guest_mib;
                prop_assert!(used <= request.host.memory.mib() * MEMORY_SHARE * (1.0 + 1e-9));
                prop_assert!(plan.boot_seconds.is_finite() && plan.update_seconds.is_finite());
            }
        }

        #[test]
        fn clones_never_need_more_hosts_than_they_share(request in any_request()) {
            // A clone's own memory is at most a booted guest's; only the template comes on top.
            let measured = Measured::emulated();
            let plan = |clones| Plan::compute(&Request { clones, ..request.clone() }, &measured);
            if let (Ok(cloned), Ok(booted)) = (plan(true), plan(false)) {
                prop_assert!(cloned.guest_mib <= booted.guest_mib);
            }
        }
    }
}
