// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu guest`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use fleet::cli::GuestKind;

use qemu_tests::guests::{Guest, Kind, Sources};
use qemu_tests::setup;

/// Make a guest's disk image (.img), or the firmware archive (.fw) that upgrades a guest to it, for
/// `cargo qemu fleet`
#[derive(Args)]
pub(crate) struct Arguments {
    /// The file to make; its ending says whether it is an image or an archive
    #[arg(value_name = "FILE.img|FILE.fw")]
    output: PathBuf,
    /// What the guest has on its console
    #[arg(long, value_enum, default_value_t)]
    guest: GuestKind,
    /// The version that the guest reports
    #[arg(long, default_value = "1.0.0")]
    version: String,
    /// Make a guest that comes up, but reboots instead of ending its trial, so that it goes back
    #[arg(long)]
    bad: bool,
}

/// Returns the guest that a name on the command line stands for.
pub(crate) fn kind(name: GuestKind) -> Kind {
    match name {
        GuestKind::Linux => Kind::Linux,
        GuestKind::Erlang => Kind::Erlang,
        GuestKind::Elixir => Kind::Elixir,
    }
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let kind = kind(arguments.guest);
    let mut guest = Guest::new().version(&arguments.version);
    if arguments.bad {
        guest = guest.bad();
    }
    let output = &arguments.output;
    let ending = output.extension().and_then(|ending| ending.to_str());
    match ending {
        Some("img") => {
            setup::ensure(kind.purpose())?;
            guest.image(&Sources::gather(kind)?, output)?;
        }
        Some("fw") => {
            setup::ensure(kind.purpose())?;
            guest.archive(&Sources::gather(kind)?, output)?;
        }
        _ => bail!(
            "{} ends neither in .img (a disk image) nor in .fw (a firmware archive)",
            output.display()
        ),
    }
    println!("{}", shown(output)?);
    Ok(ExitCode::SUCCESS)
}

fn shown(path: &Path) -> Result<String> {
    let size = path
        .metadata()
        .with_context(|| format!("cannot find {}", path.display()))?
        .len();
    Ok(format!("{}: {} MiB", path.display(), size >> 20))
}
