// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;
use std::path::PathBuf;

/// Why modules cannot be collected.
#[derive(Debug, thiserror::Error)]
pub enum ModulesError {
    /// A file or a folder cannot be read, or a module cannot be decompressed.
    #[error("cannot read {}: {error}", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's or the decoder's error.
        error: io::Error,
    },
    /// The tree has no modules.
    #[error(
        "{} has no folder lib/modules/RELEASE: give an unpacked kernel package or a root file system",
        .0.display()
    )]
    NoRelease(PathBuf),
    /// The tree has modules of several kernels, and none was chosen.
    #[error(
        "{} has modules of several kernels: choose a release with --release: {}",
        .tree.display(), .releases.join(", ")
    )]
    SeveralReleases {
        /// The tree.
        tree: PathBuf,
        /// Their releases, sorted.
        releases: Vec<String>,
    },
    /// The tree has no modules of the chosen kernel.
    #[error("{} has no modules of {wanted}, only of {}", .tree.display(), .releases.join(", "))]
    OtherRelease {
        /// The tree.
        tree: PathBuf,
        /// The chosen release.
        wanted: String,
        /// The releases in the tree, sorted.
        releases: Vec<String>,
    },
    /// A module is neither a file nor built into the kernel.
    #[error(
        "the kernel {release} has no {name}, neither as a module nor built in{}{}",
        .needed_by.as_ref().map(|name| format!("; {name} needs it")).unwrap_or_default(),
        similar_names(.similar)
    )]
    NoModule {
        /// The release of the kernel.
        release: String,
        /// The name of the module.
        name: String,
        /// The module that depends on it; `None` if it was requested.
        needed_by: Option<String>,
        /// Names of modules that exist, the most similar one first.
        similar: Vec<String>,
    },
    /// A file is not an ELF file with a section `.modinfo`.
    #[error(
        "{} is not a kernel module: it is not an ELF file with a section .modinfo",
        .0.display()
    )]
    NotAModule(PathBuf),
    /// Modules depend on each other.
    #[error("the module {0} depends on itself, directly or through other modules")]
    Cycle(String),
}

fn similar_names(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("; similar names: {}", names.join(", ")),
    }
}
