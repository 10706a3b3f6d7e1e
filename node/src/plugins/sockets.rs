//! The sockets below a directory.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What tells a socket from another that takes its place: inode, and when it was made.
pub(super) type Identity = (u64, i64, i64);

/// The sockets in the directory, but for hidden ones, and what tells each from others of its name.
pub(super) fn list(directory: &Path) -> BTreeMap<PathBuf, Identity> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let shown = entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    shown.filter_map(|entry| Some((entry.path(), identity(&entry.metadata().ok()?)?))).collect()
}

fn identity(meta: &Metadata) -> Option<Identity> {
    meta.file_type().is_socket().then(|| (meta.ino(), meta.ctime(), meta.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_sockets_that_are_not_hidden_are_seen_and_each_new_one_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.sock");
        let _bound = UnixListener::bind(&path).unwrap();
        let _hidden = UnixListener::bind(dir.path().join(".d.sock")).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let first = list(dir.path());
        assert_eq!(first.keys().collect::<Vec<_>>(), [&path]);
        fs::remove_file(&path).unwrap();
        let _again = UnixListener::bind(&path).unwrap();
        assert_ne!(list(dir.path()), first);
        assert!(list(Path::new("/no/such/directory")).is_empty());
    }
}
