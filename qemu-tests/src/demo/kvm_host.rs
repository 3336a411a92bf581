// SPDX-License-Identifier: MIT OR Apache-2.0

//! An arm64 host with KVM, made of Debian's kernel, busybox and QEMU.

use super::{DemoError, failed, unpacked};
use crate::harness::kvm_host::Userland;
use crate::output;
use crate::paths;
use crate::setup::debian::assets::arm_qemu::ArmQemu;
use crate::setup::debian::assets::kit::Kit;

/// Returns the host's files, with the QEMU of `suite` or of the system's own suites. QEMU starts
/// only raw kernels, so a packed one is unpacked into the target folder.
///
/// # Errors
/// When Debian's files are not in the cache or cannot be used.
pub fn userland(suite: Option<&'static str>) -> Result<Userland, DemoError> {
    let kit = Kit::find(&paths::cache()).ok_or(DemoError::NoKit)?;
    let qemu = ArmQemu::find(suite, &paths::cache()).ok_or(DemoError::NoQemu)?;
    let path = kit.kernel();
    let unpacked = unpacked(&path)?;
    let kernel = if unpacked.packed.is_empty() {
        path
    } else {
        let raw = paths::target().join("kvm-host.kernel");
        output::write_whole(&raw, &unpacked.image).map_err(failed(&raw))?;
        raw
    };
    Ok(Userland {
        kernel,
        modules: kit.modules(),
        busybox: kit.busybox(),
        qemu: qemu.program(),
        libraries: qemu.libraries(),
    })
}
