// SPDX-License-Identifier: MIT OR Apache-2.0

//! The features of fwup that an archive uses, and the versions since which fwup has them.

use std::collections::BTreeSet;

use crate::firmware::model::{Call, Firmware, Handler, Section};
use crate::firmware::unsafe_action::UnsafeAction;
use crate::language::version_numbers;

/// A version of fwup.
type Version = [u64; 3];

/// The first version with today's archives.
const FIRST: Version = [1, 0, 0];

/// What an archive uses.
#[derive(Debug)]
pub(super) struct Features {
    /// In alphabetical order.
    pub(super) names: BTreeSet<&'static str>,
    /// The lowest version of fwup that has them.
    since: Version,
}

impl Features {
    pub(super) fn of(firmware: &Firmware) -> Self {
        let mut features = Self {
            names: BTreeSet::new(),
            since: FIRST,
        };
        let required = firmware.metadata.text("require-fwup-version");
        if let Some(version) = required.and_then(version_numbers) {
            features.since = features.since.max(version);
        }
        if firmware
            .resources
            .iter()
            .any(|found| found.length.len() > 1)
        {
            features.add("sparse", FIRST);
        }
        for task in &firmware.tasks {
            let events = [
                &task.requirements,
                &task.on_init,
                &task.on_finish,
                &task.on_error,
            ];
            events
                .into_iter()
                .flatten()
                .for_each(|call| features.call(call));
            for handler in &task.on_resource {
                handler.actions.iter().for_each(|call| features.call(call));
                features.delta(handler);
            }
        }
        firmware.mbrs.iter().for_each(|mbr| features.mbr(mbr));
        for environment in &firmware.environments {
            if environment.options.get("block-offset-redund").is_some() {
                features.add("redundant-uboot-environment", [1, 8, 0]);
            }
        }
        for partition in firmware.gpts.iter().flat_map(|gpt| &gpt.sections) {
            if partition.options.boolean("boot") == Some(true) {
                features.add("gpt", [1, 7, 0]);
            }
            if partition.options.boolean("expand") == Some(true) {
                features.add("expand", [1, 4, 0]);
            }
        }
        features
    }

    /// Adds a variable's name.
    pub(super) fn variable(&mut self, name: &str) {
        match name {
            "FWUP_META_UUID" => self.since = self.since.max([1, 2, 1]),
            "FWUP_META_NICKNAME" => self.since = self.since.max([1, 15, 0]),
            _ => {}
        }
    }

    /// Returns the lowest version of fwup that can apply the archive, such as `1.12.0`.
    pub(super) fn version(&self) -> String {
        self.since.map(|part| part.to_string()).join(".")
    }

    fn add(&mut self, name: &'static str, since: Version) {
        self.names.insert(name);
        self.since = self.since.max(since);
    }

    fn call(&mut self, call: &Call) {
        let arguments = call.arguments.len();
        match call.name.as_str() {
            "raw_write" => {
                for cipher in call.arguments.iter().skip(1) {
                    self.cipher(cipher, [1, 5, 0]);
                }
            }
            "trim" => self.add("trim", FIRST),
            "mbr_write" => self.add("mbr", FIRST),
            "gpt_write" => self.add("gpt", [1, 4, 0]),
            "reboot_param" => self.add("reboot-param", [1, 12, 0]),
            "fat_cp" if arguments == 4 => self.add("fat", [1, 12, 0]),
            "require-execute" => self.add("unsafe", [1, 15, 0]),
            // The first release after this action was added.
            "ubi_volume_write" => self.add("unsafe", [1, 17, 0]),
            name if UnsafeAction::NAMES.contains(&name) => self.add("unsafe", FIRST),
            name if name.starts_with("fat_") || name.starts_with("require-fat-") => {
                self.add("fat", FIRST);
            }
            name if name.starts_with("uboot_") || name == "require-uboot-variable" => {
                self.add("uboot-environment", FIRST);
            }
            _ => {}
        }
    }

    fn cipher(&mut self, option: &str, since: Version) {
        if option.contains("aes-xts") {
            self.add("encryption", [1, 16, 0]);
        } else if option.starts_with("cipher=") || option.starts_with("secret=") {
            self.add("encryption", since);
        }
    }

    fn delta(&mut self, handler: &Handler) {
        let option = |name| handler.options.get(name);
        if option("delta-source-raw-offset").is_some() {
            self.add("delta", [1, 6, 0]);
        }
        if option("delta-source-fat-offset").is_some() {
            self.add("delta", [1, 10, 0]);
        }
        if let Some(options) = handler.options.text("delta-source-raw-options") {
            self.add("delta", [1, 13, 0]);
            self.cipher(options, [1, 13, 0]);
        }
    }

    fn mbr(&mut self, mbr: &Section) {
        for partition in &mbr.sections {
            if partition.title.parse().is_ok_and(|number: u64| number > 3) {
                self.add("extended-partition", [1, 12, 0]);
            }
            if partition.options.boolean("expand") == Some(true) {
                self.add("expand", [1, 3, 0]);
            }
        }
    }
}
