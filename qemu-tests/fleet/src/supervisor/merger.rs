// SPDX-License-Identifier: MIT OR Apache-2.0

//! Has the host merge pages thoroughly while guests are started.

use std::time::Duration;

use super::handle::Handle;
use crate::ksm::{Merging, Pace};

/// The pause between two looks at the guests.
const PAUSE: Duration = Duration::from_secs(2);

/// Sets the pace of the merging until the supervisor ends, which ends the merging.
pub(super) async fn merge(handle: Handle, mut merging: Merging) {
    loop {
        let is_starting = handle.shared.lock().has_new_guests();
        merging.set_pace(if is_starting {
            Pace::Starting
        } else {
            Pace::Rest
        });
        tokio::time::sleep(PAUSE).await;
    }
}
