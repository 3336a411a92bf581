// SPDX-License-Identifier: MIT OR Apache-2.0

//! The settings of this build, in a section where `imagegen loader` finds and changes them.

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

/// Returns the settings in the ELF, with the environment's first block replaced by `env_lba` if
/// QEMU's command line overrides it.
///
/// # Errors
///
/// When the settings are invalid, or `env_lba` moves an environment with a second copy: the second
/// copy would not move with it, and could overwrite the moved one with its contents.
pub(crate) fn settings(env_lba: Option<Lba>) -> Result<Settings, Fatal> {
    // `imagegen loader` may have changed the settings in the ELF since the build. The asm block
    // hides the address from the compiler, which would otherwise use the values of the build.
    let mut address = &raw const LITTLE_LOADER_SETTINGS;
    // SAFETY: the asm block contains no instruction, so the address is still that of the static,
    // which is never written.
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
