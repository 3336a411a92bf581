// SPDX-License-Identifier: MIT OR Apache-2.0

//! The agent, compiled by the guest's own Erlang: a machine boots to the compiler and prints the
//! result.

use std::fs;
use std::time::Duration;

use super::error::{GuestError, failed};
use super::rootfs;
use crate::demo::{self, Recipe, initrd};
use crate::harness::machine::{Disk, Machine};
use crate::output;
use crate::paths;
use crate::setup::debian::assets::erlang::Erlang;
use crate::setup::debian::assets::kit::Kit;

const SOURCE: &str = include_str!("../../guest/erlang/fleet_agent.erl");

/// The time limit of the machine: it takes some seconds on an idle host.
const LIMIT: Duration = Duration::from_secs(300);

/// Returns the compiled agent; compiles it only if it or Erlang has changed.
pub(super) fn compiled(kit: &Kit, erlang: &Erlang) -> Result<Vec<u8>, GuestError> {
    let folder = paths::target().join("guests");
    let (beam, note) = (
        folder.join("fleet_agent.beam"),
        folder.join("fleet_agent.json"),
    );
    let mut recipe = Recipe::default();
    recipe.add_setting("agent", SOURCE);
    recipe.add("Erlang", erlang.contents_file())?;
    recipe.keep(&note, &[&beam], || {
        eprintln!("compiling the guest's agent with its own Erlang");
        output::write_whole(&beam, &compile(kit, erlang)?).map_err(failed(&beam))
    })?;
    fs::read(&beam).map_err(failed(&beam))
}

fn compile(kit: &Kit, erlang: &Erlang) -> Result<Vec<u8>, GuestError> {
    let folder = tempfile::tempdir().map_err(failed(&std::env::temp_dir()))?;
    let path = |name: &str| folder.path().join(name);
    let root = path("root");
    fs::create_dir(&root).map_err(failed(&root))?;
    rootfs::fill_compiler(&root, kit, erlang, SOURCE).map_err(failed(&root))?;
    let kernel = demo::unpacked(&kit.kernel())?;
    for (name, bytes) in [
        ("kernel", kernel.image),
        ("initrd", initrd::make(kit).map_err(failed(&kit.busybox()))?),
        ("rootfs", imagegen::rootfs::load(&root)?),
    ] {
        fs::write(path(name), bytes).map_err(failed(&path(name)))?;
    }
    let machine = Machine::new(path("kernel"))
        .initrd(path("initrd"))
        .append("console=ttyAMA0 root=/dev/vda quiet panic=-1")
        .memory_mib(256)
        .disk(Disk::new(path("rootfs")).read_only())
        .arguments(["-no-reboot"])
        .time_limit(LIMIT)
        .start()?;
    let console = machine.wait_for_exit()?.serial;
    printed(&console).ok_or(GuestError::Agent(console))
}

/// Returns the bytes that the guest printed as hexadecimal digits.
fn printed(console: &str) -> Option<Vec<u8>> {
    let (_, rest) = console.split_once("beam: ")?;
    let (digits, _) = rest.split_once(" :beam")?;
    let digits: Vec<u8> = digits
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let pairs = digits.chunks(2).map(|pair| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok()
    });
    let bytes: Vec<u8> = pairs.collect::<Option<_>>()?;
    bytes.starts_with(b"FOR1").then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beam_is_what_stands_between_the_marks() {
        assert_eq!(
            printed("x\r\nbeam: 464F5231\r\n00 :beam\r\n"),
            Some(b"FOR1\0".to_vec())
        );
        for bad in [
            "beam: failed\r\n",
            "beam: 464F52 :beam",
            "beam: 464F523 :beam",
            "",
        ] {
            assert_eq!(printed(bad), None, "{bad}");
        }
    }
}
