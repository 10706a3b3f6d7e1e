//! Where a cluster lives on disk.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::args::DataDirArgs;

impl DataDirArgs {
    /// The directory given, or the one of this user; it is made where it is missing.
    pub(crate) fn open(self) -> anyhow::Result<PathBuf> {
        let path =
            self.path().context("no home directory is set; say where to keep the data with --data-dir")?;
        let path = std::path::absolute(path)?;
        std::fs::create_dir_all(&path).with_context(|| {
            format!("cannot create {}; choose another place with --data-dir", path.display())
        })?;
        Ok(path)
    }

    /// The directory given, or the one of this user, if it is known.
    pub(crate) fn path(self) -> Option<PathBuf> {
        let root = rustix::process::geteuid().is_root();
        self.data_dir.or_else(|| default_data_dir(root, |name| std::env::var_os(name)))
    }
}

/// The data directory where none is given: `/var/lib/wherry` for root, else the XDG data home.
fn default_data_dir(root: bool, env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if root {
        return Some(PathBuf::from("/var/lib/wherry"));
    }
    let absolute = |name| env(name).map(PathBuf::from).filter(|p| p.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("wherry"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(root: bool, env: &[(&str, &str)]) -> Option<PathBuf> {
        default_data_dir(root, |name| env.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into()))
    }

    #[test]
    fn root_keeps_its_data_under_var_lib() {
        assert_eq!(dir(true, &[("HOME", "/root")]), Some("/var/lib/wherry".into()));
    }

    #[test]
    fn a_user_keeps_it_in_the_xdg_data_home() {
        assert_eq!(dir(false, &[("XDG_DATA_HOME", "/d"), ("HOME", "/h")]), Some("/d/wherry".into()));
        assert_eq!(dir(false, &[("HOME", "/h")]), Some("/h/.local/share/wherry".into()));
        assert_eq!(
            dir(false, &[("XDG_DATA_HOME", "relative"), ("HOME", "/h")]),
            Some("/h/.local/share/wherry".into())
        );
        assert_eq!(dir(false, &[]), None);
    }
}
