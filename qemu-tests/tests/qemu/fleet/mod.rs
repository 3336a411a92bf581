// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fleets of guests with Erlang: updates and rollbacks by the guests and by the host, with guests
//! that are killed in the middle; and clones of a running guest.

mod clones;
mod running;
mod updates;

use crate::{Scenario, Test, named};

pub(crate) fn tests() -> Vec<Test> {
    named(
        "fleet",
        [
            (
                "good_update_reaches_all_and_bad_one_none",
                updates::by_guests,
            ),
            (
                "clones_have_identities_and_disks_of_their_own",
                clones::alone,
            ),
        ],
    )
}

/// Further tests, which take minutes.
pub(crate) fn long_tests() -> Vec<Test> {
    named(
        "fleet",
        [
            (
                "killed_guests_are_not_lost_by_an_update",
                updates::killed as Scenario,
            ),
            ("host_updates_stopped_guests", updates::by_host),
            ("clones_are_updated_and_rolled_back", clones::updated),
        ],
    )
}
