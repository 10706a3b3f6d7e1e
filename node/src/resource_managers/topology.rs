//! Which processors the machine has, and how they are related.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wherry_runtime_api::CpuSet;

use super::numa::NumaNodes;

/// Where the kernel tells of the machine.
const SYSTEM: &str = "/sys/devices/system";
/// So many NUMA nodes have few enough sets to look at each, as upstream.
const MOST_NODES: u32 = 8;

/// Why nothing can be said about the machine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TopologyError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file says something else than processors.
    #[error("{} holds {text:?}, which says nothing about processors", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it holds.
        text: String,
    },
    /// There are too many sets of nodes.
    #[error("this machine has {0} NUMA nodes: --topology-manager-policy is for {MOST_NODES} at most")]
    TooMany(u32),
}

/// Where a processor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The NUMA node.
    pub(crate) node: NumaNodes,
    /// The socket.
    pub(crate) socket: u32,
    /// The core, within the socket.
    pub(crate) core: u32,
}

/// The processors that Pods can run on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topology(BTreeMap<u32, Place>);

impl Topology {
    /// Looks at the machine, below `/sys/devices/system` and at what this process may run on.
    pub(crate) fn observe() -> Result<Self, TopologyError> {
        let allowed = allowed(Path::new("/proc/self/status"))?;
        Self::read(Path::new(SYSTEM), &allowed)
    }

    /// Looks below a directory like `/sys/devices/system`.
    fn read(system: &Path, allowed: &CpuSet) -> Result<Self, TopologyError> {
        let online = cpus(&system.join("cpu/online"))?.intersection(allowed);
        let nodes = nodes(&system.join("node"))?;
        let place = |cpu: u32| -> Result<(u32, Place), TopologyError> {
            let directory = system.join(format!("cpu/cpu{cpu}/topology"));
            let node = nodes.iter().find(|(_, cpus)| cpus.contains(cpu)).map(|(node, _)| *node);
            let place = Place {
                node: node.unwrap_or(NumaNodes::of(0)),
                socket: number(&directory.join("physical_package_id"))?,
                core: number(&directory.join("core_id"))?,
            };
            Ok((cpu, place))
        };
        online.iter().map(place).collect::<Result<_, _>>().map(Self)
    }

    /// The same, if its NUMA nodes are few enough to be looked at in all combinations.
    pub(crate) fn checked(self) -> Result<Self, TopologyError> {
        match self.nodes().count() {
            count if count > MOST_NODES => Err(TopologyError::TooMany(count)),
            _ => Ok(self),
        }
    }

    /// All processors.
    pub(crate) fn cpus(&self) -> CpuSet {
        self.0.keys().copied().collect()
    }

    /// The NUMA nodes.
    pub(crate) fn nodes(&self) -> NumaNodes {
        self.0.values().map(|place| place.node).collect()
    }

    /// The processors of these nodes.
    pub(crate) fn of_nodes(&self, nodes: NumaNodes) -> CpuSet {
        let of = self.0.iter().filter(|(_, place)| !place.node.and(nodes).is_empty());
        of.map(|(cpu, _)| *cpu).collect()
    }

    /// Where the processor is.
    pub(crate) fn place(&self, cpu: u32) -> Option<Place> {
        self.0.get(&cpu).copied()
    }

    #[cfg(test)]
    pub(crate) fn made_up(places: impl IntoIterator<Item = (u32, Place)>) -> Self {
        Self(places.into_iter().collect())
    }
}

/// The NUMA nodes of the machine; that of a kernel without NUMA has number 0.
pub(crate) fn numa_nodes() -> NumaNodes {
    let known = nodes(&Path::new(SYSTEM).join("node")).unwrap_or_default();
    let all: NumaNodes = known.into_iter().map(|(node, _)| node).collect();
    if all.is_empty() { NumaNodes::of(0) } else { all }
}

fn text(path: &Path) -> Result<String, TopologyError> {
    let text =
        fs::read_to_string(path).map_err(|source| TopologyError::Io { path: path.to_owned(), source })?;
    Ok(text.trim().to_owned())
}

fn cpus(path: &Path) -> Result<CpuSet, TopologyError> {
    let text = text(path)?;
    text.parse().map_err(|_| TopologyError::Content { path: path.to_owned(), text })
}

fn number(path: &Path) -> Result<u32, TopologyError> {
    let text = text(path)?;
    text.parse().map_err(|_| TopologyError::Content { path: path.to_owned(), text })
}

/// The processors that this process may run on.
fn allowed(status: &Path) -> Result<CpuSet, TopologyError> {
    let all = text(status)?;
    let line = all.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    line.trim().parse().map_err(|_| TopologyError::Content { path: status.to_owned(), text: line.to_owned() })
}

/// The NUMA nodes and their processors; a kernel without NUMA tells of none.
fn nodes(directory: &Path) -> Result<Vec<(NumaNodes, CpuSet)>, TopologyError> {
    let mut nodes = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else { return Ok(nodes) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix("node")?.parse().ok());
        if let Some(id) = id {
            nodes.push((NumaNodes::of(id), cpus(&entry.path().join("cpulist"))?));
        }
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_machine_of_two_nodes_is_read() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "cpu/online", "0-3\n");
        for (cpu, socket) in [(0, 0), (1, 0), (2, 1), (3, 1)] {
            write(root.path(), &format!("cpu/cpu{cpu}/topology/physical_package_id"), &format!("{socket}\n"));
            write(root.path(), &format!("cpu/cpu{cpu}/topology/core_id"), &format!("{}\n", cpu % 2));
        }
        write(root.path(), "node/node0/cpulist", "0-1\n");
        write(root.path(), "node/node1/cpulist", "2-3\n");
        write(root.path(), "node/online", "0-1\n");
        let topology = Topology::read(root.path(), &"0-2".parse().unwrap()).unwrap();
        assert_eq!((topology.cpus().to_string(), topology.nodes().count()), ("0-2".to_owned(), 2));
        assert_eq!(topology.of_nodes(NumaNodes::of(1)).to_string(), "2");
        assert_eq!(topology.place(2), Some(Place { node: NumaNodes::of(1), socket: 1, core: 0 }));
        write(root.path(), "cpu/cpu1/topology/core_id", "x");
        assert!(
            Topology::read(root.path(), &"0-2".parse().unwrap()).unwrap_err().to_string().contains("core_id")
        );
    }

    #[test]
    fn this_machine_has_processors() {
        assert!(!Topology::observe().unwrap().cpus().is_empty());
    }
}
