// SPDX-License-Identifier: MIT OR Apache-2.0

//! The settings of this build, where `imagegen loader` finds and changes them.

use core::arch::asm;

use little_loader_core::env::place::EnvPlace;
use little_loader_core::kernel::entry_level::El2Policy;
use little_loader_core::overrides::OverrideError;
use little_loader_core::settings::{ENCODED_SIZE, Settings};
use little_loader_core::units::{Bytes, Lba};

use crate::boot::fatal::Fatal;

include!(concat!(env!("OUT_DIR"), "/built.rs"));

#[used]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".settings")]
static LITTLE_LOADER_SETTINGS: [u8; ENCODED_SIZE] = BUILT.encode();

/// The settings in the ELF, with `env_lba` in place of their first block if QEMU's command line
/// overrides it.
///
/// # Errors
///
/// When they were changed into something that cannot work, or the environment that is put elsewhere
/// has a second copy: the second would stay where it is, and overwrite the first with its own.
pub(crate) fn settings(env_lba: Option<Lba>) -> Result<Settings, Fatal> {
    // They may have been changed in the ELF since it was built: behind an instruction that it
    // cannot look into, the compiler does not put the values of the build in their place.
    let mut address = &raw const LITTLE_LOADER_SETTINGS;
    // SAFETY: there is no instruction, so the address stays that of the static, which nobody
    // writes.
    let encoded = unsafe {
        asm!("/* {0} */", inout(reg) address, options(nostack, preserves_flags));
        &*address
    };
    let mut settings = Settings {
        buffer_size: BUILT.buffer_size,
        ..Settings::decode(encoded)?
    };
    settings.check()?;
    if let Some(lba) = env_lba {
        if let Some(second) = settings.env.redundant_lba {
            return Err(OverrideError::SecondCopy(second).into());
        }
        settings.env.lba = lba;
        settings.check().map_err(OverrideError::Place)?;
    }
    Ok(settings)
}
