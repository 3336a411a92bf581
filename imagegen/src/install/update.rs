// SPDX-License-Identifier: MIT OR Apache-2.0

use fwup::destination::Storage;
use little_loader_core::slots::slot::{Reason, Slot};

use super::copy::{copy, failed};
use super::error::InstallError;
use super::places::place;
use super::root::Root;
use super::source::Source;
use crate::env_file::EnvFile;
use crate::slots;
use crate::variables::Variables;

/// The variables of a slot that depend on where its parts are.
const PLACED: [&str; 4] = ["kernel_lba", "kernel_args", "initrd_lba", "initrd_size"];
/// The start of the names that describe the data partition of the device.
const DATA: &str = "nerves_fw_application_";

/// An update from another image.
#[derive(Clone, Copy, Debug, Default)]
pub struct Update {
    from: Option<Slot>,
    to: Option<Slot>,
}

/// An update that was installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The slot of the new image.
    pub from: Slot,
    /// The slot that was written.
    pub slot: Slot,
    /// The size of the slot's parts in bytes.
    pub bytes: u64,
    /// The number of bytes written to them; the others were there already.
    pub written: u64,
}

impl Update {
    /// Creates an update from the active slot of the new image to the inactive slot.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the slot of the new image.
    #[must_use]
    pub fn from_slot(mut self, slot: Slot) -> Self {
        self.from = Some(slot);
        self
    }

    /// Sets the slot to write, which must not be the active one.
    #[must_use]
    pub fn slot(mut self, slot: Slot) -> Self {
        self.to = Some(slot);
        self
    }

    /// Installs the update into an image that is open for writing. `new` is read only.
    ///
    /// The kernel and the initrd go where the variables of the image place them, the root file
    /// system to the partition that the slot's kernel arguments name. The variables of the slot
    /// become those of the new image, except that they name these places and the device's own
    /// partitions; all other variables stay.
    ///
    /// # Errors
    ///
    /// Every [`InstallError`]. Unless it is an error of reading or writing, the image is unchanged.
    pub fn install(
        &self,
        new: &mut EnvFile,
        image: &mut EnvFile,
    ) -> Result<Installed, InstallError> {
        let variables = image.variables();
        let running = self.running(image, &variables)?;
        let slot = running.other();
        let source = Source::find(new, self.from)?;
        let parts = place(image, slot, running, &source)?;
        let initrd = parts.iter().find(|part| part.what == "the initrd");
        let initrd = initrd.map(|part| part.to);
        let finished = finished(&variables, slot, running, &source, initrd)?;
        image.check(&finished)?;

        let mut barred = variables.clone();
        if barred.unset(&format!("{slot}.nerves_fw_platform")) {
            image.store(&barred)?;
        }
        let mut written = 0;
        for part in &parts {
            written += copy(new.image(), image.image(), part)?;
        }
        let target = image.image();
        target
            .sync()
            .map_err(|error| failed(target, "cannot sync", 0, error))?;
        image.store(&finished)?;
        Ok(Installed {
            from: source.slot,
            slot,
            bytes: parts.iter().map(|part| part.from.bytes()).sum(),
            written,
        })
    }

    /// Returns the active slot, if the other one may be written.
    fn running(&self, image: &mut EnvFile, variables: &Variables) -> Result<Slot, InstallError> {
        let active = variables
            .get("nerves_fw_active")
            .and_then(Slot::from_value)
            .ok_or_else(|| InstallError::NoActive(image.image().path().to_owned()))?;
        if self.to == Some(active) {
            return Err(InstallError::Active(active));
        }
        let attempts = slots::attempts(variables)?;
        let is_active = attempts
            .first()
            .is_some_and(|first| first.slot == active && first.reason != Reason::Trial);
        match is_active {
            true => Ok(active),
            false => Err(InstallError::OnTrial(active)),
        }
    }
}

/// Returns the variables after the update.
fn finished(
    variables: &Variables,
    slot: Slot,
    running: Slot,
    source: &Source,
    initrd_lba: Option<u64>,
) -> Result<Variables, InstallError> {
    let mut all = variables.clone();
    let name = |variable: &str| format!("{slot}.{variable}");
    // These describe the former contents of the slot.
    for old in names(variables, slot) {
        if old.starts_with("nerves_fw_") && !old.starts_with(DATA) {
            all.unset(&name(&old));
        }
    }
    for new in names(&source.variables, source.slot) {
        let is_own = new.starts_with(DATA) && variables.get(&name(&new)).is_some();
        if PLACED.contains(&new.as_str()) || is_own {
            continue;
        }
        let value = source.variables.get(&format!("{}.{new}", source.slot));
        if let Some(value) = value {
            all.set(name(&new), value);
        }
    }
    if let Some(args) = source
        .variables
        .get(&format!("{}.kernel_args", source.slot))
    {
        let own = variables.get(&name("kernel_args")).unwrap_or_default();
        let args = match (Root::find(args), Root::find(own)) {
            (Some(root), Some(own)) => root.replaced(args, own.word()),
            (Some(root), None) => {
                let word = root.with_number(super::places::root_number(own, slot));
                root.replaced(args, &word)
            }
            (None, _) => args.to_vec(),
        };
        all.set(name("kernel_args"), args);
    } else {
        all.unset(&name("kernel_args"));
    }
    match (source.initrd, initrd_lba) {
        (Some((_, length)), Some(lba)) => {
            all.set(name("initrd_lba"), lba.to_string());
            all.set(name("initrd_size"), length.to_string());
        }
        _ => {
            all.unset(&name("initrd_lba"));
            all.unset(&name("initrd_size"));
        }
    }
    // Both slots have a platform or neither has: otherwise one of them would be barred, and a
    // failed trial could not be reverted.
    match variables.get(&format!("{running}.nerves_fw_platform")) {
        None => {
            all.unset(&name("nerves_fw_platform"));
        }
        Some(platform) => {
            if all.get(&name("nerves_fw_platform")).is_none() {
                all.set(name("nerves_fw_platform"), platform);
            }
        }
    }
    slots::activate(&mut all, slot, true)?;
    Ok(all)
}

/// Returns the names of a slot's variables that are text, without the slot.
fn names(variables: &Variables, slot: Slot) -> Vec<String> {
    let prefix = format!("{slot}.");
    variables
        .iter()
        .filter_map(|(name, _)| std::str::from_utf8(name).ok()?.strip_prefix(&prefix))
        .map(str::to_owned)
        .collect()
}
