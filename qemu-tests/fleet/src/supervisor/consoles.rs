// SPDX-License-Identifier: MIT OR Apache-2.0

//! Follows the guests' consoles.

use std::time::{Duration, Instant};

use super::handle::Handle;
use crate::console::sign;

/// The pause between two rounds.
const ROUND: Duration = Duration::from_millis(100);
/// In every which round the consoles of guests that are up are read.
const SETTLED: u64 = 10;

/// Reads the consoles of all guests that run, again and again: those that boot often, the others
/// in turn.
pub(super) async fn follow(handle: Handle) {
    let mut buffer = vec![0; 16 << 10];
    let mut round = 0_u64;
    loop {
        tokio::time::sleep(ROUND).await;
        round += 1;
        let due: Vec<u32> = {
            let inner = handle.shared.lock();
            let runs = inner
                .entries
                .iter()
                .filter(|entry| entry.guest.pid.is_some());
            runs.filter(|entry| {
                let turn = (round + u64::from(entry.guest.id)).is_multiple_of(SETTLED);
                turn || !entry.guest.state.is_up() || entry.tail.is_behind()
            })
            .map(|entry| entry.guest.id)
            .collect()
        };
        for (index, id) in due.into_iter().enumerate() {
            read(&handle, id, &mut buffer);
            // Others may have something to do meanwhile.
            if index % 64 == 63 {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Reads what is new on the console of guest `id`.
pub(super) fn read(handle: &Handle, id: u32, buffer: &mut [u8]) {
    let shared = &handle.shared;
    let path = shared.folder.console_log(id);
    let up_line = shared.settings.up_line.as_deref();
    let limited = shared.change(id, |entry| {
        let boot_seconds = (Instant::now() - entry.booted).as_secs_f64();
        let (watch, guest, tail) = (&mut entry.watch, &mut entry.guest, &mut entry.tail);
        let read = tail.read(&path, buffer, |line| {
            if let Some(sign) = sign::recognise(line, up_line) {
                watch.sign(guest, sign, boot_seconds);
            }
        });
        match read {
            Ok(false) => return Ok(()),
            Ok(true) => {
                if let Some(sign) = sign::recognise_prompt(&tail.unfinished(), up_line) {
                    watch.sign(guest, sign, boot_seconds);
                }
            }
            Err(error) => guest.message = Some(format!("its console cannot be read: {error}")),
        }
        match shared.console_limit() {
            0 => Ok(()),
            most => tail.limit(&path, most),
        }
    });
    if let Some(Err(error)) = limited {
        shared.lift_console_limit(&path, &error);
    }
}
