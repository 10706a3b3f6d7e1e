//! How the runtime is set up.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The OCI runtimes that a container may ask for by name.
pub const PROGRAMS: [&str; 3] = ["runc", "crun", "youki"];

/// What an [`crate::OciRuntime`] needs to know.
#[derive(Clone)]
pub struct Config {
    /// Where layers, containers and their state are kept; one running agent per directory.
    pub data_dir: PathBuf,
    /// The OCI runtime of containers that ask for none: a path, or a name looked up in `PATH` (`runc`, `crun`, `youki`).
    pub runtime_binary: PathBuf,
    /// The cgroup that the shims' own are below: beside the pods', so that the pods' limits are theirs alone.
    pub shims_cgroup: String,
    /// The time recorded for what the agent, not a shim, observes.
    pub clock: Clock,
    /// Largest size of one unpacked layer, against archives that unpack to more than the disk holds.
    pub max_layer_bytes: u64,
}

impl Config {
    /// The usual set-up: runc, the system's time, layers of up to 64 GiB.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            runtime_binary: PathBuf::from("runc"),
            shims_cgroup: "/wherry-shims".to_owned(),
            clock: Arc::new(Timestamp::now),
            max_layer_bytes: 64 << 30,
        }
    }

    /// The usual runtime's binary as an absolute path, `None` if there is no such program.
    pub(crate) fn find_binary(&self) -> Option<PathBuf> {
        find(&self.runtime_binary)
    }

    /// The binary of the runtime of this name, if it is one of [`PROGRAMS`] and there is such a program. The usual runtime's path counts for its name.
    pub fn find_program(&self, name: &str) -> Option<PathBuf> {
        let name = PROGRAMS.into_iter().find(|known| *known == name)?;
        let is_usual = self.runtime_binary.file_name().is_some_and(|usual| usual == name);
        if is_usual { self.find_binary() } else { find(Path::new(name)) }
    }
}

/// A program as an absolute path, by its path or by its name.
fn find(program: &Path) -> Option<PathBuf> {
    let executable =
        |path: &Path| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file();
    if program.components().count() > 1 {
        return Some(program.to_owned()).filter(|path| executable(path));
    }
    // Service managers and sudo often leave sbin out of PATH.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let directories = std::env::split_paths(&path).chain(usual);
    directories.map(|directory| directory.join(program)).find(|path| executable(path))
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("data_dir", &self.data_dir)
            .field("runtime_binary", &self.runtime_binary)
            .field("shims_cgroup", &self.shims_cgroup)
            .field("max_layer_bytes", &self.max_layer_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_runtime_is_found_by_its_name_or_where_the_usual_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("youki");
        let mut config = Config::new(dir.path());
        config.runtime_binary.clone_from(&program);
        assert_eq!(config.find_program("youki"), None, "there is no such program");
        fs::write(&program, "").unwrap();
        assert_eq!(config.find_program("youki"), None, "it cannot be run");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(
            (config.find_program("youki"), config.find_binary()),
            (Some(program.clone()), Some(program))
        );
        // Whatever else is in PATH is no runtime.
        assert_eq!((config.find_program("sh"), config.find_program("../bin/sh")), (None, None));
    }
}
