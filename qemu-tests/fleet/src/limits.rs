// SPDX-License-Identifier: MIT OR Apache-2.0

//! The system's limits on a supervisor.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::FleetError;

/// The descriptors of the supervisor for each guest: a connection to QEMU and a process; while it
/// starts, its log.
const FILES: u64 = 2;
/// The descriptors for everything else.
const OTHER_FILES: u64 = 200;
/// The threads and processes of a guest: QEMU's main thread, its CPU's, RCU's, and one for its disk.
const TASKS: u64 = 4;

/// Raises the limit of open files as far as the user may, and checks that it and the limit of
/// processes fit `count` guests.
///
/// # Errors
/// [`FleetError::Limit`].
pub fn check(count: u32) -> Result<(), FleetError> {
    let files = getrlimit(Resource::Nofile);
    if files.current != files.maximum {
        let raised = Rlimit {
            current: files.maximum,
            maximum: files.maximum,
        };
        // Where the system refuses, the limit is what it was.
        let _: Result<(), rustix::io::Errno> = setrlimit(Resource::Nofile, raised);
    }
    let open = getrlimit(Resource::Nofile).current;
    within(
        count,
        "open files",
        u64::from(count) * FILES + OTHER_FILES,
        open,
        "raise it by `ulimit -Hn` as root, in /etc/security/limits.conf, or by LimitNOFILE= of the unit",
    )?;
    within(
        count,
        "processes and threads",
        u64::from(count) * TASKS,
        getrlimit(Resource::Nproc).current,
        "raise it by `ulimit -u`, in /etc/security/limits.conf, or by TasksMax= of the unit",
    )
}

fn within(
    count: u32,
    what: &'static str,
    needed: u64,
    limit: Option<u64>,
    remedy: &'static str,
) -> Result<(), FleetError> {
    match limit {
        Some(limit) if needed > limit => Err(FleetError::Limit {
            count,
            what,
            needed,
            limit,
            remedy,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named() {
        assert!(within(9, "open files", 20, Some(20), "x").is_ok());
        assert!(within(9, "open files", 20, None, "x").is_ok());
        let error = within(9, "open files", 21, Some(20), "raise it").unwrap_err();
        assert_eq!(
            error.to_string(),
            "9 guests need 21 open files, and the limit is 20: raise it, or start fewer guests"
        );
        assert!(check(u32::MAX).is_err());
    }
}
