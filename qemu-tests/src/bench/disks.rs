// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disks for the measured boots.

use std::path::Path;

use super::BenchError;
use crate::harness::machine::Disk;
use crate::scratch::{KERNEL_A, KERNEL_B, Scratch};

/// A disk in `folder` that has `payload` in both slots. No upgrade is on trial, which the C loader
/// must be told.
///
/// # Errors
/// When it cannot be written.
pub fn bootable(payload: &[u8], folder: &Path) -> Result<Disk, BenchError> {
    let path = folder.join("bench.img");
    let scratch = Scratch::bootable(payload).set("upgrade_available", 0);
    scratch.create(&path)?;
    Ok(Disk::new(path))
}

/// A disk in `folder` whose environment has a wrong CRC that no torn write of the loader explains.
///
/// # Errors
/// When it cannot be written.
pub fn irreparable(folder: &Path) -> Result<Disk, BenchError> {
    let path = folder.join("irreparable.img");
    irreparable_scratch().create(&path)?;
    Ok(Disk::new(path).read_only())
}

/// A disk whose environment has every variable that the loader writes, so that the repair tries as
/// many states as possible.
fn irreparable_scratch() -> Scratch {
    Scratch::empty()
        .set("nerves_fw_active", "a")
        .set("a.kernel_lba", KERNEL_A)
        .set("b.kernel_lba", KERNEL_B)
        .set("upgrade_available", 1)
        .set("bootcount", 1)
        .set("nerves_fw_validated", 0)
        .set("nerves_fw_booted", 1)
        .stored_crc(0xdead_beef)
}

#[cfg(test)]
mod tests {
    use little_loader_core::env::block::{Env, EnvError, Format};
    use little_loader_core::env::changes::Known;
    use little_loader_core::env::repair::{Repair, repair};

    use super::*;

    #[test]
    fn the_irreparable_environment_is_searched_in_vain() {
        let mut block = irreparable_scratch().env_block().unwrap();
        assert_eq!(block.len(), 128 << 10);
        let Err(EnvError::BadCrc { stored, computed }) = Env::parse(&block, Format::Single) else {
            panic!("the CRC fits");
        };
        for known in Known::ALL {
            let name = [known.name().as_bytes(), b"="].concat();
            let mut windows = block.windows(name.len());
            assert!(windows.any(|window| window == name), "{}", known.name());
        }
        assert_eq!(repair(&mut block, stored, computed), Repair::NoMatch);
    }
}
