// SPDX-License-Identifier: MIT OR Apache-2.0

//! A fleet as Prometheus' text format, version 0.0.4.

use std::fmt::Write as _;

use crate::model::{Guest, State, Status};
use crate::totals::{Percentiles, Summary, float, sum};

/// Returns `status` as metrics. With `per_guest`, each guest has series of its own, which a Prometheus
/// server stores one by one: too many for a fleet of thousands on a small server.
#[must_use]
pub fn exposition(status: &Status, per_guest: bool) -> String {
    let mut text = Text::default();
    let summary = Summary::of(status);
    fleet(&mut text, status, &summary);
    guests(&mut text, status, &summary);
    host(&mut text, status);
    update(&mut text, status);
    if per_guest {
        each_guest(&mut text, status);
    }
    text.0
}

/// A metric's labels.
type Labels<'a> = &'a [(&'a str, &'a str)];

/// The text that is being written. Writing to a string cannot fail.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        self.0.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// Writes a summary of `values`, whose percentiles are known. Both become `unit` times as large.
    fn summary(
        &mut self,
        name: &str,
        help: &str,
        percentiles: Option<Percentiles>,
        values: &[f64],
        unit: f64,
    ) {
        self.family(name, "summary", help);
        if let Some(percentiles) = percentiles {
            for (quantile, value) in [
                ("0.5", percentiles.p50),
                ("0.9", percentiles.p90),
                ("0.99", percentiles.p99),
            ] {
                self.sample(name, &[("quantile", quantile)], value * unit);
            }
        }
        let total = sum(values.iter().copied()) * unit;
        self.sample(&format!("{name}_sum"), &[], total);
        self.sample(&format!("{name}_count"), &[], float(values.len() as u64));
    }
}

/// Escapes a label's value as the format wants it.
fn escaped(value: &str) -> String {
    let mut escaped = String::new();
    for letter in value.chars() {
        match letter {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn bytes(kib: u64) -> f64 {
    float(kib) * 1024.0
}

fn fleet(text: &mut Text, status: &Status, summary: &Summary) {
    text.family("fleet_info", "gauge", "What the fleet runs.");
    let image = status.image.to_string_lossy();
    let labels = [
        ("accelerator", status.accelerator.as_str()),
        ("image", &image),
    ];
    text.sample("fleet_info", &labels, 1.0);
    text.gauge(
        "fleet_start_time_seconds",
        "When the fleet was started, in seconds since 1970.",
        float(status.started),
    );
    text.gauge(
        "fleet_guest_ram_bytes",
        "RAM that each guest sees.",
        f64::from(status.memory_mib) * 1024.0 * 1024.0,
    );
    text.gauge(
        "fleet_start_held",
        "Whether the host's state keeps guests from being started.",
        f64::from(u8::from(status.held.is_some())),
    );
    text.gauge(
        "fleet_guests_cpu_cores",
        "CPU time of all guests since the previous sample, as a number of cores.",
        summary.cpu,
    );
    text.gauge(
        "fleet_supervisor_resident_bytes",
        "The supervisor's resident set size.",
        bytes(status.supervisor_rss),
    );
}

fn guests(text: &mut Text, status: &Status, summary: &Summary) {
    text.family("fleet_guests", "gauge", "Guests by state.");
    for state in State::ALL {
        let count = float(summary.count(state) as u64);
        text.sample("fleet_guests", &[("state", &state.to_string())], count);
    }
    text.family(
        "fleet_guests_by_slot",
        "gauge",
        "Guests by the slot that they booted.",
    );
    for slot in ["a", "b"] {
        let booted = |guest: &&Guest| guest.slot.as_deref() == Some(slot);
        let count = status.guests.iter().filter(booted).count();
        text.sample(
            "fleet_guests_by_slot",
            &[("slot", slot)],
            float(count as u64),
        );
    }
    let starts = status.guests.iter().map(|guest| u64::from(guest.boots));
    text.family(
        "fleet_loader_starts_total",
        "counter",
        "How often the loader has started, over all guests.",
    );
    text.sample("fleet_loader_starts_total", &[], float(starts.sum()));
    let boots: Vec<f64> = status
        .guests
        .iter()
        .filter_map(|guest| guest.boot_seconds)
        .collect();
    text.summary(
        "fleet_boot_seconds",
        "Time until a guest was up.",
        summary.boot_seconds,
        &boots,
        1.0,
    );
    let sizes = status
        .guests
        .iter()
        .filter_map(|guest| Some(float(guest.memory?.pss)));
    text.summary(
        "fleet_pss_bytes",
        "Proportional set size of a guest's QEMU process.",
        summary.pss,
        &sizes.collect::<Vec<_>>(),
        1024.0,
    );
}

fn host(text: &mut Text, status: &Status) {
    let host = &status.host;
    text.gauge("fleet_host_cpus", "CPUs of the host.", f64::from(host.cpus));
    text.gauge(
        "fleet_host_memory_bytes",
        "Memory of the host.",
        bytes(host.memory),
    );
    text.gauge(
        "fleet_host_memory_available_bytes",
        "Memory of the host that can be used without swapping.",
        bytes(host.available),
    );
    text.gauge(
        "fleet_host_load1",
        "The host's load average of one minute.",
        host.load,
    );
}

fn update(text: &mut Text, status: &Status) {
    let Some(update) = &status.update else {
        return;
    };
    text.family(
        "fleet_update_guests",
        "gauge",
        "Guests of the update that is running, or of the last one, by what became of them.",
    );
    for (part, count) in update.steps() {
        text.sample(
            "fleet_update_guests",
            &[("outcome", part)],
            f64::from(count),
        );
    }
    text.gauge(
        "fleet_update_size",
        "Guests that take part in the update.",
        f64::from(update.total),
    );
}

fn each_guest(text: &mut Text, status: &Status) {
    type Value = fn(&Guest) -> Option<f64>;
    let families: [(&str, &str, Value); 5] = [
        ("fleet_guest_up", "Whether the guest is up.", |guest| {
            Some(f64::from(u8::from(guest.state.is_up())))
        }),
        (
            "fleet_guest_pss_bytes",
            "Proportional set size of the guest's QEMU process.",
            |guest| Some(bytes(guest.memory?.pss)),
        ),
        (
            "fleet_guest_cpu_cores",
            "CPU time of the guest since the previous sample, as a share of one core.",
            |guest| guest.cpu,
        ),
        (
            "fleet_guest_boot_seconds",
            "Time until the guest was up.",
            |guest| guest.boot_seconds,
        ),
        (
            "fleet_guest_uptime_seconds",
            "Time since the guest's last start.",
            |guest| guest.uptime,
        ),
    ];
    for (name, help, value) in families {
        text.family(name, "gauge", help);
        for guest in &status.guests {
            if let Some(value) = value(guest) {
                text.sample(name, &[("guest", &guest.host)], value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Memory, Update};

    fn status() -> Status {
        let guest = |id: u32, state| Guest {
            id,
            host: format!("guest-{id:05}"),
            state,
            slot: Some("b".to_owned()),
            boots: 2,
            boot_seconds: Some(4.5),
            cpu: Some(0.25),
            memory: Some(Memory {
                pss: 1024,
                ..Memory::default()
            }),
            ..Guest::default()
        };
        Status {
            image: "a \"b\"\\c\nd".into(),
            accelerator: "tcg".to_owned(),
            memory_mib: 80,
            held: Some("load".to_owned()),
            update: Some(Update {
                total: 2,
                validated: 1,
                lost: 1,
                ..Update::default()
            }),
            guests: vec![guest(1, State::Up), guest(2, State::Fatal)],
            ..Status::default()
        }
    }

    #[test]
    fn the_fleet_is_counted() {
        let text = exposition(&status(), false);
        for line in [
            "# TYPE fleet_guests gauge",
            "fleet_guests{state=\"up\"} 1",
            "fleet_guests{state=\"fatal\"} 1",
            "fleet_guests{state=\"gone\"} 0",
            "fleet_guests_by_slot{slot=\"b\"} 2",
            "fleet_guest_ram_bytes 83886080",
            "fleet_boot_seconds{quantile=\"0.99\"} 4.5",
            "fleet_boot_seconds_sum 9",
            "fleet_boot_seconds_count 2",
            "fleet_pss_bytes{quantile=\"0.5\"} 1048576",
            "fleet_guests_cpu_cores 0.5",
            "fleet_loader_starts_total 4",
            "fleet_start_held 1",
            "fleet_update_guests{outcome=\"validated\"} 1",
            "fleet_update_guests{outcome=\"lost\"} 1",
            "fleet_info{accelerator=\"tcg\",image=\"a \\\"b\\\"\\\\c\\nd\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("guest-00001"));
    }

    #[test]
    fn each_guest_has_series_on_request() {
        let text = exposition(&status(), true);
        assert!(text.contains("fleet_guest_pss_bytes{guest=\"guest-00001\"} 1048576\n"));
        assert!(text.contains("fleet_guest_up{guest=\"guest-00002\"} 0\n"));
    }

    #[test]
    fn every_sample_has_a_family_that_comes_once() {
        let text = exposition(&status(), true);
        let mut families = vec![];
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let name = rest.split(' ').next().unwrap();
                assert!(!families.contains(&name), "{name} comes twice");
                families.push(name);
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                let name = name.strip_suffix("_sum").unwrap_or(name);
                let name = name.strip_suffix("_count").unwrap_or(name);
                assert_eq!(families.last(), Some(&name), "{line}");
                let value = line.rsplit(' ').next().unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        assert!(exposition(&Status::default(), true).contains("fleet_boot_seconds_count 0\n"));
    }
}
