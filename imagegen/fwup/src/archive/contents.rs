// SPDX-License-Identifier: MIT OR Apache-2.0

//! A description of an archive for programs: what it contains, and what it needs to be applied.

use std::collections::BTreeMap;

use serde::Serialize;

use super::features::Features;
use super::firmware_archive::FirmwareArchive;
use super::metadata;
use super::variables::variables;
use crate::hex;

/// Variables that are set whenever an archive is applied.
const ALWAYS_SET: [&str; 2] = ["FWUP_META_UUID", "FWUP_META_NICKNAME"];

/// The description of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// The metadata that is set, such as `meta-product`, `meta-version` and `meta-uuid`.
    pub metadata: BTreeMap<&'static str, String>,
    /// Whether the archive has a signature. It is not checked here.
    pub signed: bool,
    /// The resources in the order of the archive.
    pub resources: Vec<ResourceContents>,
    /// The names of the tasks in alphabetical order.
    pub tasks: Vec<String>,
    /// What the tasks use, in alphabetical order: `delta`, `encryption`, `expand`,
    /// `extended-partition`, `fat`, `gpt`, `mbr`, `reboot-param`, `redundant-uboot-environment`,
    /// `signature`, `sparse`, `trim`, `uboot-environment`, and `unsafe`, which needs `--unsafe`.
    pub features: Vec<&'static str>,
    /// The lowest version of fwup that can apply the archive.
    pub fwup_version: String,
    /// The variables that must be set when the archive is applied.
    pub required_variables: Vec<String>,
    /// The variables that may be set, and their defaults.
    pub optional_variables: BTreeMap<String, String>,
}

/// The description of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResourceContents {
    /// The resource's name.
    pub name: String,
    /// The lengths of data and holes, alternating, in bytes.
    pub length: Vec<u64>,
    /// The hash of the data in hexadecimal digits.
    #[serde(rename = "blake2b-256")]
    pub hash: Option<String>,
}

impl Contents {
    /// Describes an archive.
    #[must_use]
    pub fn of<R>(archive: &FirmwareArchive<R>) -> Self {
        let firmware = &archive.firmware;
        let variables = variables(&archive.meta_conf);
        let mut features = Features::of(firmware);
        variables.keys().for_each(|name| features.variable(name));
        if archive.signature.is_some() {
            features.names.insert("signature");
        }
        let mut required_variables = Vec::new();
        let mut optional_variables = BTreeMap::new();
        for (name, default) in variables {
            match default {
                _ if ALWAYS_SET.contains(&name.as_str()) => {}
                Some(default) => {
                    optional_variables.insert(name, default);
                }
                None => required_variables.push(name),
            }
        }
        Self {
            metadata: metadata::metadata(archive).into_iter().collect(),
            signed: archive.signature.is_some(),
            resources: firmware
                .resources
                .iter()
                .map(|resource| ResourceContents {
                    name: resource.name.clone(),
                    length: resource.length.clone(),
                    hash: resource.hash.map(|hash| hex::encode(&hash)),
                })
                .collect(),
            tasks: metadata::tasks(archive)
                .into_iter()
                .map(str::to_owned)
                .collect(),
            fwup_version: features.version(),
            features: features.names.into_iter().collect(),
            required_variables,
            optional_variables,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::write::{Level, Writer};
    use super::*;
    use crate::language::Definitions;

    fn described(meta_conf: &str) -> Contents {
        let mut writer = Writer::new(Vec::new(), Level::default());
        let (bytes, length) = (meta_conf.as_bytes(), meta_conf.len() as u64);
        writer
            .entry::<std::io::Error>("meta.conf", None, length, |take| take(bytes))
            .unwrap();
        let archive = writer.finish().unwrap();
        Contents::of(&FirmwareArchive::read(&archive[..], &mut Definitions::empty()).unwrap())
    }

    #[test]
    fn what_an_archive_needs_is_named() {
        let contents = described(
            "meta-product=\"p ${SERIAL}\"\nmeta-misc=\"${COLOR:-red} ${FWUP_META_UUID}\"\n\
             file-resource \"r\" {\nlength={512,512,512}\n}\n\
             uboot-environment \"e\" {\nblock-offset=0\nblock-count=1\nblock-offset-redund=1\n}\n\
             task \"up\" {\nreqlist={4,\"require-uboot-variable\",e,a,b}\n\
             on-init {\nfunlist={2,execute,true,3,\"fat_mkfs\",8,99,2,reboot_param,x}\n}\n\
             on-resource \"r\" {\nfunlist={4,raw_write,8,\"cipher=aes-cbc-plain\",\"secret=${KEY}\"}\n\
             delta-source-raw-offset=8\n}\n}\n",
        );
        assert_eq!(
            contents.features,
            [
                "delta",
                "encryption",
                "fat",
                "reboot-param",
                "redundant-uboot-environment",
                "sparse",
                "uboot-environment",
                "unsafe"
            ]
        );
        assert_eq!(contents.fwup_version, "1.12.0");
        assert_eq!(contents.required_variables, ["KEY", "SERIAL"]);
        assert_eq!(contents.optional_variables["COLOR"], "red");
        assert_eq!(contents.metadata["meta-product"], "p ");
    }

    #[test]
    fn the_lowest_version_is_that_of_the_newest_feature() {
        let task = |calls: &str| {
            described(&format!(
                "task \"a\" {{\non-init {{\nfunlist={{{calls}}}\n}}\n}}\n"
            ))
            .fwup_version
        };
        for (calls, expected) in [
            ("2,info,hello", "1.0.0"),
            ("2,gpt_write,x", "1.4.0"),
            ("5,fat_cp,1,a,2,b", "1.12.0"),
            ("4,fat_cp,1,a,b", "1.0.0"),
            (
                "4,raw_write,0,\"cipher=aes-xts-plain64\",\"secret=1\"",
                "1.16.0",
            ),
        ] {
            assert_eq!(task(calls), expected, "{calls}");
        }
        let contents = described("require-fwup-version=\"1.9\"\n");
        assert_eq!(contents.fwup_version, "1.9.0");
        assert!(contents.features.is_empty());
    }
}
