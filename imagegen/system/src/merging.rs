// SPDX-License-Identifier: MIT OR Apache-2.0

//! What makes the pages of several processes of one program equal, and one.

use std::io;

/// Lets the system merge the private pages of this process with equal ones of others, also those of
/// the program that it becomes (Linux 6.4, prctl(2), `PR_SET_MEMORY_MERGE`). They are merged while
/// `/sys/kernel/mm/ksm/run` is 1.
///
/// # Errors
///
/// The system's error, `EINVAL` if the kernel cannot.
pub fn merge_equal_pages() -> io::Result<()> {
    // The kernel refuses unused arguments that are not zero.
    let (on, unused): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: this command takes numbers, and changes no memory.
    let result = unsafe { libc::prctl(libc::PR_SET_MEMORY_MERGE, on, unused, unused, unused) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Keeps the program that this thread becomes at the addresses that it is linked for
/// (personality(2), `ADDR_NO_RANDOMIZE`), so that its pages with addresses in them are equal in each
/// process. Attackers know the addresses, too.
///
/// # Errors
///
/// The system's error.
pub fn keep_addresses() -> io::Result<()> {
    const QUERY: libc::c_ulong = 0xffff_ffff;
    // SAFETY: personality takes a number, and changes no memory.
    let now = unsafe { libc::personality(QUERY) };
    let wanted =
        libc::c_ulong::from(now.cast_unsigned()) | libc::ADDR_NO_RANDOMIZE as libc::c_ulong;
    // SAFETY: as above.
    if now >= 0 && unsafe { libc::personality(wanted) } >= 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    #[test]
    fn pages_may_be_merged() {
        match merge_equal_pages() {
            Ok(()) => {}
            // A kernel before 6.4, or one that is built without it.
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
                return;
            }
        }
        // SAFETY: this command takes numbers, and changes no memory.
        let merges = unsafe { libc::prctl(libc::PR_GET_MEMORY_MERGE, 0, 0, 0, 0) };
        assert_eq!(merges, 1);
    }

    #[test]
    fn addresses_are_kept() {
        keep_addresses().unwrap();
        let flags = fs::read_to_string("/proc/thread-self/personality").unwrap();
        let flags = u32::from_str_radix(flags.trim(), 16).unwrap();
        assert_ne!(flags & libc::ADDR_NO_RANDOMIZE.cast_unsigned(), 0);
        let stack = || {
            let maps = Command::new("cat").arg("/proc/self/maps").output().unwrap();
            let maps = String::from_utf8(maps.stdout).unwrap();
            maps.lines()
                .find(|line| line.ends_with("[stack]"))
                .unwrap()
                .to_owned()
        };
        assert_eq!(stack(), stack());
    }
}
