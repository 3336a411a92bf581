// SPDX-License-Identifier: MIT OR Apache-2.0

//! The launcher: this program, started anew for each guest, which arranges what its QEMU inherits
//! and then becomes it.
//!
//! The system ends a process with a death signal when the *thread* that started it ends. The
//! supervisor starts launchers from its main thread only.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

/// Settings of the GNU C library's allocator that keep QEMU's heap small: one arena, which is given
/// back to the system as soon as it shrinks.
const TUNABLES: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.malloc.arena_max=1:glibc.malloc.trim_threshold=16384:glibc.malloc.top_pad=0",
);

/// What the launcher arranges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// The supervisor's process ID; QEMU ends with this process.
    pub parent: u32,
    /// The CPUs that QEMU may use; empty: all.
    pub cpus: Vec<u32>,
    /// Whether 2 MiB pages are kept from QEMU, which makes small guests smaller.
    pub no_huge_pages: bool,
    /// Whether the system may merge QEMU's pages with equal ones of other guests, and QEMU stays at
    /// fixed addresses, so that more of them are equal.
    pub merges: bool,
    /// How much sooner than other processes the system ends QEMU when memory runs out, 0 to 1000.
    pub oom_score: u16,
}

/// The hidden subcommand that starts one guest
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The orders, in JSON
    #[arg(long, value_parser = orders)]
    orders: Orders,
    /// QEMU and its arguments
    #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

fn orders(text: &str) -> Result<Orders, serde_json::Error> {
    serde_json::from_str(text)
}

impl Orders {
    /// Returns the words that make this program the launcher of `command`.
    ///
    /// # Errors
    /// When the orders cannot be written as JSON.
    pub fn words(&self, command: &Command) -> serde_json::Result<Vec<OsString>> {
        let mut words = vec![
            "launch".into(),
            "--orders".into(),
            serde_json::to_string(self)?.into(),
            "--".into(),
            command.get_program().to_owned(),
        ];
        words.extend(command.get_args().map(ToOwned::to_owned));
        Ok(words)
    }
}

/// Becomes QEMU.
///
/// # Errors
/// When the supervisor has ended meanwhile, or QEMU cannot be started.
pub fn main(arguments: &Arguments) -> Result<()> {
    let [program, words @ ..] = arguments.command.as_slice() else {
        bail!("no program to launch");
    };
    arrange(&arguments.orders)?;
    let mut command = Command::new(program);
    command.args(words);
    if env::var_os(TUNABLES.0).is_none() {
        command.env(TUNABLES.0, TUNABLES.1);
    }
    let error = command.exec();
    Err(error).with_context(|| {
        format!(
            "cannot start {}; install QEMU (Debian: qemu-system-arm), or name it by --qemu",
            program.display()
        )
    })
}

#[cfg(target_os = "linux")]
fn arrange(orders: &Orders) -> Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    use rustix::thread::{CpuSet, disable_transparent_huge_pages, sched_setaffinity};

    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot set the death signal")?;
    // The supervisor may have ended before the signal was set.
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if parent != Some(orders.parent) {
        bail!("the supervisor, process {}, has ended", orders.parent);
    }
    if !orders.cpus.is_empty() {
        let mut set = CpuSet::new();
        for cpu in &orders.cpus {
            let index = usize::try_from(*cpu).unwrap_or(usize::MAX);
            if index >= CpuSet::MAX_CPU {
                bail!(
                    "CPU {cpu} is beyond the last that can be chosen, {}; use --pin none",
                    CpuSet::MAX_CPU - 1
                );
            }
            set.set(index);
        }
        sched_setaffinity(None, &set)
            .with_context(|| format!("cannot use the CPUs {:?}", orders.cpus))?;
    }
    if orders.no_huge_pages {
        // Kernels without huge pages have nothing to keep from QEMU.
        let _: Result<(), rustix::io::Errno> = disable_transparent_huge_pages(true);
    }
    if orders.merges {
        system_calls::merge_equal_pages()
            .context("the kernel cannot merge pages of a whole process, which Linux 6.4 can; leave out --ksm")?;
        system_calls::keep_addresses().context("cannot keep QEMU at fixed addresses")?;
    }
    if orders.oom_score > 0 {
        // A hint to the system; a guest works without it.
        let _: io::Result<()> =
            std::fs::write("/proc/self/oom_score_adj", orders.oom_score.to_string());
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn arrange(_: &Orders) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: Sub,
    }

    #[derive(clap::Subcommand)]
    enum Sub {
        Launch(Arguments),
    }

    #[test]
    fn the_words_are_read_back() {
        let orders = Orders {
            parent: 17,
            cpus: vec![0, 3],
            no_huge_pages: true,
            merges: true,
            oom_score: 300,
        };
        let mut qemu = Command::new("qemu-system-aarch64");
        qemu.args(["-M", "virt", "--help", "a b"]);
        let words = orders.words(&qemu).unwrap();
        let line = Line::parse_from([OsString::from("fleet")].into_iter().chain(words));
        let Sub::Launch(arguments) = line.command;
        assert_eq!(arguments.orders, orders);
        let expected = ["qemu-system-aarch64", "-M", "virt", "--help", "a b"];
        assert_eq!(arguments.command, expected.map(OsString::from));
    }
}
