//! What the processes of a group take, as the kernel counts it.

use std::fs;
use std::path::Path;

use wherry_runtime_api::Usage;

use super::{Cgroups, Hierarchies, below, find};

impl Cgroups {
    /// What the group takes; zero of what the kernel does not count.
    pub(crate) fn usage(&self, path: &str) -> Usage {
        match &self.0 {
            Hierarchies::V1(hierarchies) => {
                let directory = |controller| find(hierarchies, controller).map(|root| below(root, path));
                let value =
                    |controller, file: &str| directory(controller).map_or(0, |dir| number(&dir.join(file)));
                let statistics =
                    directory("memory").map(|dir| text(&dir.join("memory.stat"))).unwrap_or_default();
                let memory = value("memory", "memory.usage_in_bytes");
                Usage {
                    cpu_nanos: value("cpuacct", "cpuacct.usage"),
                    memory,
                    working_set: memory.saturating_sub(field(&statistics, "total_inactive_file")),
                    anonymous: field(&statistics, "total_rss"),
                    page_faults: field(&statistics, "total_pgfault"),
                    major_page_faults: field(&statistics, "total_pgmajfault"),
                    processes: value("pids", "pids.current"),
                }
            }
            Hierarchies::V2(root) => {
                let directory = below(root, path);
                let statistics = text(&directory.join("memory.stat"));
                let memory = number(&directory.join("memory.current"));
                Usage {
                    cpu_nanos: field(&text(&directory.join("cpu.stat")), "usage_usec") * 1000,
                    memory,
                    working_set: memory.saturating_sub(field(&statistics, "inactive_file")),
                    anonymous: field(&statistics, "anon"),
                    page_faults: field(&statistics, "pgfault"),
                    major_page_faults: field(&statistics, "pgmajfault"),
                    processes: number(&directory.join("pids.current")),
                }
            }
        }
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn number(path: &Path) -> u64 {
    text(path).trim().parse().unwrap_or(0)
}

/// The value on the line that begins with the name.
fn field(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: Usage = Usage {
        cpu_nanos: 5000,
        memory: 3000,
        working_set: 2000,
        anonymous: 700,
        page_faults: 8,
        major_page_faults: 1,
        processes: 4,
    };

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (file, text) in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn both_versions_tell_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let statistics =
            "rss 1\ntotal_rss 700\ntotal_inactive_file 1000\ntotal_pgfault 8\ntotal_pgmajfault 1\n";
        write(
            dir.path(),
            &[
                ("cpuacct/p/c/cpuacct.usage", "5000\n"),
                ("memory/p/c/memory.usage_in_bytes", "3000\n"),
                ("memory/p/c/memory.stat", statistics),
                ("pids/p/c/pids.current", "4\n"),
            ],
        );
        let hierarchies = ["cpuacct", "memory", "pids"].map(|name| dir.path().join(name)).to_vec();
        assert_eq!(Cgroups(Hierarchies::V1(hierarchies)).usage("/p/c"), EXPECTED);
        let statistics = "anon 700\ninactive_file 1000\npgfault 8\npgmajfault 1\n";
        write(
            dir.path(),
            &[
                ("p/c/cpu.stat", "usage_usec 5\nuser_usec 1\n"),
                ("p/c/memory.current", "3000\n"),
                ("p/c/memory.stat", statistics),
                ("p/c/pids.current", "4\n"),
            ],
        );
        let two = Cgroups(Hierarchies::V2(dir.path().to_path_buf()));
        assert_eq!((two.usage("/p/c"), two.usage("/gone")), (EXPECTED, Usage::default()));
    }
}
