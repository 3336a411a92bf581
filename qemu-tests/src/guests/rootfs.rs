// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guests' root file systems as folders.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::guest::{Guest, Kind};
use crate::demo;
use crate::setup::debian::assets::erlang::Erlang;
use crate::setup::debian::assets::kit::Kit;

/// A script or table of the guest: path, contents, and whether the file is executable.
type Entry = (&'static str, &'static [u8], bool);

macro_rules! entry {
    ($path:literal, $source:literal, $is_program:literal) => {
        (
            $path,
            include_bytes!(concat!("../../guest/", $source)),
            $is_program,
        )
    };
}

/// What every guest has.
const COMMON: [Entry; 8] = [
    entry!("etc/init.d/rcS", "common/rcS", true),
    entry!("usr/lib/guest/functions", "common/functions", false),
    entry!("usr/lib/guest/say", "common/say", true),
    entry!("usr/lib/guest/mount-data", "common/mount-data", true),
    entry!("usr/lib/guest/up", "common/up", true),
    entry!("usr/lib/guest/slot", "common/slot", true),
    entry!("usr/lib/guest/update", "common/update", true),
    entry!("usr/lib/guest/stop", "common/stop", true),
];

/// What a guest without Erlang has.
const LINUX: [Entry; 2] = [
    entry!("etc/inittab", "linux/inittab", false),
    entry!("usr/lib/guest/agent", "linux/agent", true),
];

/// What a guest with Erlang has.
const ERLANG: [Entry; 5] = [
    entry!("etc/inittab", "erlang/inittab", false),
    entry!("etc/sysctl.conf", "erlang/sysctl.conf", false),
    entry!("etc/erlang/vm.args", "erlang/vm.args", false),
    entry!("usr/bin/erl", "erlang/erl", true),
    entry!("usr/lib/guest/node", "erlang/node", true),
];

/// What the guest that compiles the agent has.
const COMPILER: [Entry; 2] = [
    entry!("usr/bin/erl", "erlang/erl", true),
    entry!("sbin/init", "erlang/compile", true),
];

/// Tables that programs expect.
const TABLES: [(&str, &str); 3] = [
    ("etc/passwd", "root:x:0:0:root:/data:/bin/sh\n"),
    ("etc/group", "root:x:0:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n"),
];

/// The commands of busybox that the demo does not have.
const IN_BIN: &str = "awk basename dirname id nc nproc od pidof printf readlink sed seq stat stty tee tr truncate xargs";
const IN_SBIN: &str = "blockdev sysctl";

/// The programs that are built for a guest.
pub(super) struct Programs<'a> {
    /// The helper of the scripts.
    pub(super) helper: &'a Path,
    /// imagegen, if this machine can build it.
    pub(super) updater: Option<&'a Path>,
    /// Erlang and the compiled agent, for the guests that have them.
    pub(super) erlang: Option<(&'a Erlang, &'a [u8])>,
}

/// Fills the empty folder `root`.
pub(super) fn fill(
    root: &Path,
    kind: Kind,
    guest: &Guest,
    kit: &Kit,
    programs: &Programs<'_>,
) -> io::Result<()> {
    demo::rootfs::fill(root, kit)?;
    fs::create_dir(root.join("data"))?;
    put_all(root, &COMMON)?;
    for (path, text) in TABLES {
        put(root, path, text.as_bytes(), false)?;
    }
    for (folder, names) in [("bin", IN_BIN), ("sbin", IN_SBIN)] {
        for name in names.split_whitespace() {
            let link = root.join(folder).join(name);
            if link.symlink_metadata().is_err() {
                symlink("/bin/busybox", link)?;
            }
        }
    }
    let version = format!("{}\n", guest.version);
    put(root, "etc/fleet/version", version.as_bytes(), false)?;
    if guest.is_bad {
        put(root, "etc/fleet/bad", b"", false)?;
    }
    put(
        root,
        "usr/lib/guest/helper",
        &fs::read(programs.helper)?,
        true,
    )?;
    if let Some(updater) = programs.updater {
        put(root, "usr/bin/imagegen", &fs::read(updater)?, true)?;
    }
    let Some((erlang, agent)) = programs.erlang else {
        return put_all(root, &LINUX);
    };
    copy(&erlang.root(), root)?;
    if kind == Kind::Elixir {
        copy(&erlang.elixir(), root)?;
    }
    put_all(root, &ERLANG)?;
    put(root, "usr/lib/guest/ebin/fleet_agent.beam", agent, false)
}

/// Fills the empty folder `root` for the guest that compiles the agent.
pub(super) fn fill_compiler(
    root: &Path,
    kit: &Kit,
    erlang: &Erlang,
    source: &str,
) -> io::Result<()> {
    demo::rootfs::fill(root, kit)?;
    copy(&erlang.root(), root)?;
    // The link to busybox, which is not to be written through.
    fs::remove_file(root.join("sbin/init"))?;
    put_all(root, &COMPILER)?;
    put(
        root,
        "usr/lib/guest/src/fleet_agent.erl",
        source.as_bytes(),
        false,
    )
}

fn put_all(root: &Path, entries: &[Entry]) -> io::Result<()> {
    for (path, bytes, is_program) in entries {
        put(root, path, bytes, *is_program)?;
    }
    Ok(())
}

fn put(root: &Path, path: &str, bytes: &[u8], is_program: bool) -> io::Result<()> {
    let path = root.join(path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&path, bytes)?;
    let mode = if is_program { 0o755 } else { 0o644 };
    fs::set_permissions(&path, Permissions::from_mode(mode))
}

/// Copies a folder's contents into another, which may have some of its folders.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
