//! Where a cluster lives on disk.

use std::ffi::OsString;
use std::path::PathBuf;

/// The data directory where none is given: `/var/lib/wherry` for root, else the XDG data home.
pub(crate) fn default_data_dir(root: bool, env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
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
