// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the console shows during a boot, and when.

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use crate::options::Options;
use crate::slots::Slots;

/// How the guest behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// It comes up.
    Good,
    /// The loader stops.
    Fatal,
    /// The kernel panics and restarts.
    Loop,
    /// Nothing appears on the console.
    Silent,
    /// A boot takes ten times as long.
    Slow,
    /// QEMU complains and ends.
    Exit,
    /// QEMU does not end when it is asked to.
    Stubborn,
    /// QEMU does not know how to leave out RAM that is shared with a file.
    Old,
    /// QEMU cannot save the machine.
    Unsaved,
    /// QEMU ends when it loads a saved machine.
    Broken,
    /// A clone keeps the identity of its template.
    Stranger,
}

impl Behaviour {
    /// Returns the behaviour that the file or the variable asks for.
    pub(crate) fn of(options: &Options) -> Self {
        let of_all = env::var("FAKE_QEMU").unwrap_or_default();
        let id = options.id();
        let entry = of_all
            .split(',')
            .filter_map(|entry| entry.split_once('='))
            .find(|(guest, _)| guest.parse() == Ok(id))
            .map(|(_, behaviour)| behaviour.to_owned());
        let file = fs::read_to_string("behaviour").ok();
        match file.or(entry).as_deref().map(str::trim) {
            Some("fatal") => Self::Fatal,
            Some("loop") => Self::Loop,
            Some("silent") => Self::Silent,
            Some("slow") => Self::Slow,
            Some("exit") => Self::Exit,
            Some("stubborn") => Self::Stubborn,
            Some("old") => Self::Old,
            Some("unsaved") => Self::Unsaved,
            Some("broken") => Self::Broken,
            Some("stranger") => Self::Stranger,
            _ => Self::Good,
        }
    }
}

/// A step of a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A line on the console.
    Line(String),
    /// The guest ends the trial of its slot.
    Validate,
    /// The guest restarts.
    Reset,
    /// The guest powers off.
    PowerOff,
}

/// The steps of a boot, and when each is due.
pub(crate) type Plan = VecDeque<(Instant, Step)>;

/// Returns the steps of the boot that begins now.
pub(crate) fn plan(options: &Options, behaviour: Behaviour) -> io::Result<Plan> {
    let usual = env::var("FAKE_QEMU_BOOT_MS").ok();
    let usual = usual.and_then(|text| text.parse().ok()).unwrap_or(40);
    let total = Duration::from_millis(match behaviour {
        Behaviour::Slow => usual * 10,
        _ => usual,
    });
    let mut steps = Vec::new();
    let mut line = |text: String| steps.push(Step::Line(text));
    if behaviour == Behaviour::Silent {
        return Ok(Plan::new());
    }
    line("little-loader 0.1.0".to_owned());
    if behaviour == Behaviour::Fatal {
        line("little-loader: fatal: no block device".to_owned());
        steps.push(Step::PowerOff);
        return Ok(timed(steps, total));
    }
    let mut slots = Slots::read();
    let (slot, reason) = slots.boot()?;
    line(format!("slot {slot}: {reason}, mmio@a003e00"));
    line("kernel at EL1".to_owned());
    line("[    0.000000] Booting Linux on physical CPU 0x0000000000".to_owned());
    if behaviour == Behaviour::Loop {
        line("[    0.100000] Kernel panic - not syncing: VFS: no root".to_owned());
        steps.push(Step::Reset);
    } else if slots.is_bad {
        line("fleet: bad image, rebooting".to_owned());
        steps.push(Step::Reset);
    } else {
        line(format!(
            "fleet: up serial={} host={} slot={slot} reason={reason} uptime=1.0 version={}",
            options.serial,
            options.host,
            slots.version()
        ));
        if reason == "trial" {
            steps.push(Step::Validate);
        }
    }
    Ok(timed(steps, total))
}

/// Spreads steps over a time.
fn timed(steps: Vec<Step>, total: Duration) -> Plan {
    let begun = Instant::now();
    let step = total / u32::try_from(steps.len().max(1)).unwrap_or(u32::MAX);
    let times = (1..).map(|number| begun + step * number);
    times.zip(steps).collect()
}
