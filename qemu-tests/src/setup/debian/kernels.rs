// SPDX-License-Identifier: MIT OR Apache-2.0

//! Debian's kernels for arm64.

/// The suites whose kernels are tried on demand, oldest first.
const SUITES: [&str; 6] = [
    "bookworm",
    "bookworm-backports",
    "trixie",
    "trixie-backports",
    "forky",
    "sid",
];

/// The flavour of a kernel, as the end of its package's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// For every machine.
    Arm64,
    /// For virtual machines of clouds: fewer drivers.
    Cloud,
    /// Like the first, with pages of 16 KiB.
    Pages16k,
}

/// A kernel of Debian's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebianKernel {
    /// The suite it is taken from; `None` for those that the system itself is updated from.
    pub suite: Option<&'static str>,
    /// Its flavour.
    pub flavour: Flavour,
}

impl Flavour {
    const ALL: [Self; 3] = [Self::Arm64, Self::Cloud, Self::Pages16k];

    /// The end of the package's name.
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
    /// The one of the demo.
    pub const STOCK: Self = Self {
        suite: None,
        flavour: Flavour::Arm64,
    };
    /// The one for clouds, of the same release.
    pub const CLOUD: Self = Self {
        suite: None,
        flavour: Flavour::Cloud,
    };

    /// Every flavour of every suite.
    #[must_use]
    pub fn of_all_suites() -> Vec<Self> {
        let of_suite = |suite: &'static str| {
            // Release 12 itself has no kernel with larger pages.
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

    /// For names of tests and folders, such as `trixie_backports_cloud_arm64`.
    #[must_use]
    pub fn id(&self) -> String {
        let suite = self
            .suite
            .map_or_else(String::new, |suite| format!("{suite}_"));
        (suite + self.flavour.name()).replace('-', "_")
    }

    /// The name of the test that boots it.
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
