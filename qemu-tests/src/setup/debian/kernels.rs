// SPDX-License-Identifier: MIT OR Apache-2.0

//! Debian's kernels for arm64.

/// The suites that are tested on request, oldest first.
pub const SUITES: [&str; 6] = [
    "bookworm",
    "bookworm-backports",
    "trixie",
    "trixie-backports",
    "forky",
    "sid",
];

/// The flavour of a kernel, which is the end of its package's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// For all machines.
    Arm64,
    /// For cloud instances: fewer drivers.
    Cloud,
    /// Like `Arm64`, but with pages of 16 KiB.
    Pages16k,
}

/// One of Debian's kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebianKernel {
    /// The suite it comes from; `None` for all of the system's own suites.
    pub suite: Option<&'static str>,
    /// Its flavour.
    pub flavour: Flavour,
}

impl Flavour {
    const ALL: [Self; 3] = [Self::Arm64, Self::Cloud, Self::Pages16k];

    /// Returns the end of the package's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::Cloud => "cloud-arm64",
            Self::Pages16k => "arm64-16k",
        }
    }
}

impl DebianKernel {
    /// The demo's kernel.
    pub const STOCK: Self = Self {
        suite: None,
        flavour: Flavour::Arm64,
    };
    /// The cloud kernel of the same suites.
    pub const CLOUD: Self = Self {
        suite: None,
        flavour: Flavour::Cloud,
    };

    /// Returns every flavour of every suite.
    #[must_use]
    pub fn of_all_suites() -> Vec<Self> {
        let of_suite = |suite: &'static str| {
            // bookworm has no kernel with 16 KiB pages, except in its backports.
            let flavours = Flavour::ALL
                .into_iter()
                .filter(move |flavour| suite != "bookworm" || *flavour != Flavour::Pages16k);
            flavours.map(move |flavour| Self {
                suite: Some(suite),
                flavour,
            })
        };
        SUITES.into_iter().flat_map(of_suite).collect()
    }

    /// Returns an identifier for tests and folders, such as `trixie_backports_cloud_arm64`.
    #[must_use]
    pub fn id(&self) -> String {
        let suite = self
            .suite
            .map_or_else(String::new, |suite| format!("{suite}_"));
        (suite + self.flavour.name()).replace('-', "_")
    }

    /// Returns the name of the test that boots it.
    #[must_use]
    pub fn test_name(&self) -> String {
        format!("kernels::{}", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_has_a_name_of_its_own() {
        let mut ids: Vec<String> = DebianKernel::of_all_suites()
            .iter()
            .chain(&[DebianKernel::STOCK, DebianKernel::CLOUD])
            .map(DebianKernel::id)
            .collect();
        assert!(ids.contains(&"trixie_backports_cloud_arm64".to_owned()));
        assert!(ids.contains(&"cloud_arm64".to_owned()));
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
        assert_eq!(count, 6 * 3 - 1 + 2);
    }
}
