// SPDX-License-Identifier: MIT OR Apache-2.0

//! A fleet as a job array of Slurm, on a cluster of two nodes that is started on this machine. What
//! needs Slurm (Debian: slurmctld, slurmd, slurm-client, munge) is listed as ignored where it is not
//! installed.

mod cluster;
mod fleet;
mod processes;

use std::env;
use std::path::PathBuf;

use libtest_mimic::{Arguments, Trial};

use fleet::Guests;

/// The environment variables with an image and a loader for real guests, which `cargo qemu test --all`
/// sets.
const IMAGE: &str = "LITTLE_LOADER_FLEET_IMAGE";
const LOADER: &str = "LITTLE_LOADER_FLEET_LOADER";

fn main() {
    let slurm = cluster::missing().map(|program| format!("{program} is not installed"));
    let real = real_guests();
    let why = slurm.clone().or_else(|| {
        let set = "no image: run `cargo qemu test --all`".to_owned();
        real.is_none().then_some(set)
    });
    let tests = vec![
        trial("a_fleet_outlives_one_of_its_nodes", slurm, || {
            fleet::outlives_a_node(&Guests::fake());
        }),
        trial("real_guests_outlive_one_of_their_nodes", why, || {
            fleet::outlives_a_node(&real.expect("an image"));
        }),
        trial("a_node_that_was_given_up_ends_its_guests", None, || {
            fleet::is_taken_over();
        }),
    ];
    let mut arguments = Arguments::from_args();
    // A second cluster would make the time limits of the first one unreliable.
    arguments.test_threads.get_or_insert(1);
    libtest_mimic::run(&arguments, tests).exit();
}

/// Returns a test that is ignored if there is a reason why it cannot run, which its name begins with.
fn trial(name: &str, reason: Option<String>, test: impl FnOnce() + Send + 'static) -> Trial {
    let trial = Trial::test(name, || {
        test();
        Ok(())
    });
    match reason {
        Some(reason) => trial.with_kind(reason).with_ignored_flag(true),
        None => trial,
    }
}

fn real_guests() -> Option<Guests> {
    let path = |name: &str| env::var_os(name).map(PathBuf::from);
    Some(Guests::real(path(IMAGE)?, path(LOADER)?))
}
