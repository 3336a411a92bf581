// SPDX-License-Identifier: MIT OR Apache-2.0

//! Clones of a guest that has booted: what each has for itself, and reboots, updates and rollbacks
//! of guests that did not boot at first.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

use fleet::model::{Guest, State};
use qemu_tests::artifacts::UPDATED;

use super::running::Fleet;
use crate::context::Context;

/// A word for the kernel, which passes it to Erlang in the environment: the template draws from
/// OpenSSL's generator, so that its clones have a copy of the generator's state.
const DRAW: &str = r#"ERL_ZFLAGS="-eval crypto:strong_rand_bytes(16)""#;

/// Prints four of the kernel's random identifiers and four times 16 random bytes, a line each.
/// `read` needs no process, which would draw random numbers itself.
const RANDOM: &str = "for i in 1 2 3 4; do \
     read -r uuid </proc/sys/kernel/random/uuid; echo $uuid; od -An -N16 -tx1 /dev/urandom; done";

/// Prints the serial number and the host name, and what the guest has in its file.
const IDENTITY: &str =
    ". /usr/lib/guest/functions; given serial; hostname; cat /data/name 2>/dev/null || echo none";

pub(super) fn alone(context: &Context) -> Result<()> {
    let fleet = start(context, 2)?;
    expect_identities(&fleet, |_| "none".to_owned())?;
    expect_own_random_numbers(&fleet)?;
    write_names(&fleet)?;

    let before = fleet.status()?;
    // The guest may go down before its agent has answered.
    fleet.run(&["exec", "1", "--", "reboot"])?;
    let booted = fleet.wait_for(1, |guest| guest.boots == 1 && guest.state == State::Up)?;
    ensure!(
        !booted.cloned
            && booted.slot.as_deref() == Some("a")
            && booted.reason.as_deref() == Some("active")
            && booted.pid == before.guests[0].pid,
        "{booted:#?}"
    );
    ensure!(fleet.succeed(&["logs", "1"])?.contains("slot a: active"));
    expect_identities(&fleet, name)?;
    let other = fleet.status()?.guests.pop().context("no guest")?;
    let was = &before.guests[1];
    ensure!(
        other.cloned
            && (other.boots, other.pid, other.state) == (0, was.pid, State::Up)
            && other.since.total_cmp(&was.since).is_eq(),
        "{other:#?}\n{was:#?}"
    );
    ensure!(!fleet.succeed(&["logs", "2"])?.contains("slot a: active"));
    Ok(())
}

pub(super) fn updated(context: &Context) -> Result<()> {
    let fleet = start(context, 3)?;
    expect_own_random_numbers(&fleet)?;
    write_names(&fleet)?;
    // One of them has booted before the update.
    fleet.run(&["exec", "2", "--", "reboot"])?;
    fleet.wait_for(2, |guest| guest.boots == 1 && guest.state == State::Up)?;
    let good = context.artifacts.good_update();
    fleet.succeed(&["update", "--fw", &good.to_string_lossy()])?;
    fleet.expect_all("b", UPDATED)?;
    expect_boots(&fleet, [1, 2, 1])?;
    expect_identities(&fleet, name)?;
    fleet.succeed(&["rollback"])?;
    fleet.expect_all("a", "1.0.0")?;
    expect_boots(&fleet, [2, 3, 2])?;
    expect_identities(&fleet, name)
}

/// Starts clones, none of which boots. With the small buffer for translated code that clones have by
/// default, a reboot takes more than four times the CPU time.
fn start(context: &Context, count: u32) -> Result<Fleet> {
    let options = ["--clones", "--tb-size", "32", "--append", DRAW];
    let fleet = Fleet::start_with(context, count, &options)?;
    let status = fleet.status()?;
    let is_clone = |guest: &Guest| {
        let slot = guest.slot.as_deref();
        (guest.state, guest.cloned, guest.boots, slot) == (State::Up, true, 0, Some("a"))
    };
    ensure!(
        status.held.is_none() && status.guests.iter().all(is_clone),
        "{status:#?}"
    );
    fleet.expect_all("a", "1.0.0")?;
    Ok(fleet)
}

/// Expects that each guest has its own serial number and host name, by the host's list and inside,
/// and in its file what `file` returns for its number.
fn expect_identities(fleet: &Fleet, file: impl Fn(u32) -> String) -> Result<()> {
    let inside = fleet.succeed(&["exec", "--all", "--", IDENTITY])?;
    let mut wanted = String::new();
    for (id, guest) in (1..).zip(fleet.status()?.guests) {
        let (serial, host) = (format!("LL{id:08}"), name(id));
        ensure!(
            (&guest.serial, &guest.host) == (&serial, &host),
            "{guest:#?}"
        );
        wanted += &format!("{host}: {serial}\n{host}: {host}\n{host}: {}\n", file(id));
    }
    ensure!(inside == wanted, "{inside:?} is not {wanted:?}");
    Ok(())
}

/// Has each guest write its host name to a file of its own.
fn write_names(fleet: &Fleet) -> Result<()> {
    fleet.succeed(&["exec", "--all", "--", "hostname >/data/name; sync"])?;
    expect_identities(fleet, name)
}

fn name(id: u32) -> String {
    format!("guest-{id:05}")
}

/// Expects that no guest has a random number that another has, of the kernel and of Erlang.
fn expect_own_random_numbers(fleet: &Fleet) -> Result<()> {
    let of_kernel = fleet.succeed(&["exec", "--all", "--", RANDOM])?;
    let of_kernel = of_kernel.lines().filter_map(|line| line.split_once(": "));
    let mut drawn: Vec<String> = of_kernel.map(|(_, number)| number.to_owned()).collect();
    let count = fleet.status()?.guests.len();
    ensure!(drawn.len() == 8 * count, "{drawn:?}");
    for id in (1..).take(count) {
        for _ in 0..3 {
            drawn.push(erlang_draws(fleet, id)?);
        }
    }
    let distinct: BTreeSet<&String> = drawn.iter().collect();
    ensure!(
        distinct.len() == drawn.len(),
        "some are the same: {drawn:#?}"
    );
    Ok(())
}

/// Draws from Erlang's generator, which the template had drawn from.
fn erlang_draws(fleet: &Fleet, id: u32) -> Result<String> {
    let expression = "{erlang:module_loaded(crypto), \
                      binary:encode_hex(crypto:strong_rand_bytes(16))}.";
    let printed = fleet.type_line(id, expression, "\">>}")?;
    let drawn = printed
        .split_once("{true,<<\"")
        .and_then(|(_, rest)| rest.split_once("\">>}"));
    let (drawn, _) = drawn.with_context(|| format!("guest {id} printed {printed:?}"))?;
    Ok(drawn.to_owned())
}

fn expect_boots(fleet: &Fleet, wanted: [u32; 3]) -> Result<()> {
    let guests = fleet.status()?.guests;
    let boots = guests.iter().map(|guest| guest.boots);
    ensure!(boots.eq(wanted), "{guests:#?}");
    Ok(())
}
