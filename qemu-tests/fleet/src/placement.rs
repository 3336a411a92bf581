// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which CPUs and which memory of the host a guest uses.
//!
//! The layout of the host is read from sysfs (Linux, Documentation/ABI/stable/sysfs-devices-node and
//! Documentation/admin-guide/cputopology.rst).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The folder of sysfs that describes CPUs and NUMA nodes.
pub const SYSFS: &str = "/sys/devices/system";

/// How guests are distributed over the host's CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pin {
    /// The host's scheduler decides.
    #[default]
    None,
    /// All threads of a guest run on one CPU; the guests take turns over nodes, then over their CPUs.
    Cores,
    /// All threads and the memory of a guest are on one NUMA node; the guests take turns.
    Numa,
}

/// The reason that the host's layout is not known.
#[derive(Debug, Error)]
pub enum PlacementError {
    /// A file of sysfs could not be read.
    #[error("cannot read the host's CPUs from {path}; --pin none does without them")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A list of CPUs has an unknown format.
    #[error("{path} has {text:?}, not a list of CPUs such as 0-3,8; --pin none does without it")]
    List {
        /// The file.
        path: PathBuf,
        /// Its content.
        text: String,
    },
}

/// A NUMA node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its number.
    pub id: u32,
    /// Its CPUs that are online, ascending.
    pub cpus: Vec<u32>,
}

/// The NUMA nodes of the host that have CPUs, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    nodes: Vec<Node>,
}

/// Where one guest runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The CPUs that its threads may use; empty for all.
    pub cpus: Vec<u32>,
    /// The NUMA node that its memory comes from.
    pub node: Option<u32>,
}

impl Topology {
    /// Reads the layout from `sysfs`, usually [`SYSFS`]. A host without NUMA nodes is one node
    /// without a number, 0.
    ///
    /// # Errors
    /// Every [`PlacementError`].
    pub fn read(sysfs: &Path) -> Result<Self, PlacementError> {
        let online = list(&sysfs.join("cpu/online"))?;
        let folder = sysfs.join("node");
        let mut nodes = Vec::new();
        if folder.is_dir() {
            let names = fs::read_dir(&folder).map_err(failed(&folder))?;
            for name in names {
                let name = name.map_err(failed(&folder))?.file_name();
                let id = name.to_str().and_then(|name| name.strip_prefix("node"));
                let Some(id) = id.and_then(|id| id.parse().ok()) else {
                    continue;
                };
                let mut cpus = list(&folder.join(&name).join("cpulist"))?;
                cpus.retain(|cpu| online.contains(cpu));
                nodes.push(Node { id, cpus });
            }
        }
        // Nodes that have only memory run nothing.
        nodes.retain(|node| !node.cpus.is_empty());
        nodes.sort_by_key(|node| node.id);
        if nodes.is_empty() {
            nodes.push(Node {
                id: 0,
                cpus: online,
            });
        }
        Ok(Self { nodes })
    }

    /// Returns the nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Returns where the guest with this number runs.
    #[must_use]
    pub fn place(&self, pin: Pin, guest: u32) -> Place {
        let guest = guest as usize;
        let count = self.nodes.len();
        let node = &self.nodes[guest % count];
        match pin {
            Pin::None => Place::default(),
            Pin::Cores => Place {
                cpus: vec![node.cpus[guest / count % node.cpus.len()]],
                node: None,
            },
            Pin::Numa => Place {
                cpus: node.cpus.clone(),
                // With a single node there is nothing to bind.
                node: (count > 1).then_some(node.id),
            },
        }
    }
}

/// Reads a list such as `0-3,8`.
fn list(path: &Path) -> Result<Vec<u32>, PlacementError> {
    let text = fs::read_to_string(path).map_err(failed(path))?;
    parse(text.trim()).ok_or_else(|| PlacementError::List {
        path: path.to_owned(),
        text: text.trim().to_owned(),
    })
}

fn parse(text: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        // Linux supports at most 8192 CPUs.
        if last < first || last >= 1 << 16 {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> PlacementError {
    let path = path.to_owned();
    move |source| PlacementError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sysfs with these nodes and their CPUs.
    fn sysfs(online: &str, nodes: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        };
        put("cpu/online", online);
        for (node, cpus) in nodes {
            put(&format!("node/{node}/cpulist"), cpus);
        }
        folder
    }

    #[test]
    fn lists() {
        assert_eq!(parse("0-3,8"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(parse(""), Some(vec![]));
        for bad in ["a", "3-1", "0-4294967295", "1-", "-1"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn guests_take_turns_over_nodes_and_cpus() {
        // Node 2 has no CPU, and CPU 5 is offline.
        let folder = sysfs("0-4", &[("node1", "3-5"), ("node0", "0-2"), ("node2", "")]);
        let host = Topology::read(folder.path()).unwrap();
        assert_eq!(host.nodes().len(), 2);
        let cpus: Vec<u32> = (0..6)
            .flat_map(|guest| host.place(Pin::Cores, guest).cpus)
            .collect();
        assert_eq!(cpus, [0, 3, 1, 4, 2, 3]);
        let place = host.place(Pin::Numa, 3);
        assert_eq!((place.cpus, place.node), (vec![3, 4], Some(1)));
        assert_eq!(host.place(Pin::None, 3), Place::default());
    }

    #[test]
    fn a_host_without_nodes_is_one() {
        let folder = sysfs("0-1", &[]);
        let host = Topology::read(folder.path()).unwrap();
        let place = host.place(Pin::Numa, 5);
        assert_eq!((place.cpus, place.node), (vec![0, 1], None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let folder = sysfs("all", &[]);
        let error = Topology::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("cpu/online has \"all\""), "{error}");
    }
}
