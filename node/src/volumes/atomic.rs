//! Writes a set of files so that readers see either all old ones or all new ones.
//!
//! ```text
//! VOLUME/..2f9a1c/            the files
//! VOLUME/..data -> ..2f9a1c   replaced in one step
//! VOLUME/key -> ..data/key    what containers read
//! ```
//! The same layout as kubelet's, because programs watch `..data` to learn of updates.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

const DATA: &str = "..data";
const DATA_NEXT: &str = "..data_tmp";

/// A step of writing a volume failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// A path that leads out of the volume.
    #[error("invalid path {0:?} in a volume: it must be relative and must not contain '..'")]
    Path(String),
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// One file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeFile {
    /// Where, relative to the volume.
    pub(crate) path: String,
    /// Its bytes.
    pub(crate) content: Vec<u8>,
    /// Its permission bits.
    pub(crate) mode: u32,
}

/// Makes the volume at `root` hold exactly `files`, owned by `group` if given; says whether anything changed.
pub(crate) fn write(root: &Path, files: &[VolumeFile], group: Option<u32>) -> Result<bool, WriteError> {
    for file in files {
        check(&file.path)?;
    }
    create_dir(root, 0o755)?;
    if is_current(root, files) {
        return Ok(false);
    }
    let old = fs::read_link(root.join(DATA)).ok();
    let fresh = tempfile::Builder::new().prefix("..").rand_bytes(12).tempdir_in(root).map_err(|source| {
        WriteError::Io { action: "create a directory in", path: root.to_owned(), source }
    })?;
    fill(fresh.path(), files, group)?;
    set_mode(fresh.path(), 0o755)?;
    let name = fresh.path().file_name().map(PathBuf::from).unwrap_or_default();
    let next = root.join(DATA_NEXT);
    remove_file(&next)?;
    link(&name, &next)?;
    // From here on the directory is the volume's content.
    let _kept = fresh.keep();
    fs::rename(&next, root.join(DATA)).map_err(|source| WriteError::Io {
        action: "replace",
        path: next,
        source,
    })?;
    link_top_level(root, files)?;
    if let Some(old) = old {
        remove_dir(&root.join(old))?;
    }
    Ok(true)
}

fn check(path: &str) -> Result<(), WriteError> {
    let parts = Path::new(path).components();
    let plain = |part: Component<'_>| matches!(part, Component::Normal(name) if !name.to_string_lossy().starts_with(".."));
    if !path.is_empty() && parts.into_iter().all(plain) {
        return Ok(());
    }
    Err(WriteError::Path(path.to_owned()))
}

/// Whether the volume already holds these files with these contents.
fn is_current(root: &Path, files: &[VolumeFile]) -> bool {
    let data = root.join(DATA);
    let mut present = BTreeSet::new();
    if collect(&data, Path::new(""), &mut present).is_err() {
        return false;
    }
    let wanted: BTreeSet<PathBuf> = files.iter().map(|file| PathBuf::from(&file.path)).collect();
    let same = |file: &VolumeFile| {
        let path = data.join(&file.path);
        let mode =
            fs::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o777 == file.mode & 0o777);
        mode && fs::read(&path).is_ok_and(|content| content == file.content)
    };
    present == wanted
        && files.iter().all(same)
        && top_level(files).iter().all(|name| root.join(name).is_symlink())
}

fn collect(dir: &Path, below: &Path, out: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &path, out)?;
        } else {
            out.insert(path);
        }
    }
    Ok(())
}

fn fill(dir: &Path, files: &[VolumeFile], group: Option<u32>) -> Result<(), WriteError> {
    for file in files {
        let path = dir.join(&file.path);
        if let Some(parent) = path.parent() {
            create_dir(parent, 0o755)?;
        }
        fs::write(&path, &file.content).map_err(|source| WriteError::Io {
            action: "write",
            path: path.clone(),
            source,
        })?;
        set_mode(&path, file.mode)?;
        own(&path, group)?;
    }
    Ok(())
}

/// Gives the path to the group.
pub(crate) fn own(path: &Path, group: Option<u32>) -> Result<(), WriteError> {
    if group.is_none() {
        return Ok(());
    }
    std::os::unix::fs::chown(path, None, group).map_err(|source| WriteError::Io {
        action: "change the group of",
        path: path.to_owned(),
        source,
    })
}

/// When what is in a volume is given to the pod's group, as `fsGroupChangePolicy` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupChange {
    /// Whenever the volume is mounted for a pod.
    Always,
    /// Unless its directory is the group's already.
    OnRootMismatch,
}

/// Gives the directory and all in it to the group, and what will be made there.
pub(crate) fn own_all(dir: &Path, group: Option<u32>, when: GroupChange) -> Result<(), WriteError> {
    const OF_GROUP: u32 = 0o2070;
    let failed = |source| WriteError::Io { action: "read", path: dir.to_owned(), source };
    let meta = fs::symlink_metadata(dir).map_err(failed)?;
    let mode = meta.permissions().mode();
    let is_done =
        when == GroupChange::OnRootMismatch && Some(meta.gid()) == group && mode & OF_GROUP == OF_GROUP;
    if group.is_none() || is_done || !meta.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(dir).map_err(failed)?.flatten() {
        let path = entry.path();
        if entry.file_type().map_err(failed)?.is_dir() {
            own_all(&path, group, when)?;
        } else if entry.file_type().map_err(failed)?.is_file() {
            own(&path, group)?;
            let mode = entry.metadata().map_err(failed)?.permissions().mode();
            set_mode(&path, mode | 0o060)?;
        }
    }
    // The directory comes last: it says that all in it is done.
    own(dir, group)?;
    set_mode(dir, mode | OF_GROUP)
}

fn top_level(files: &[VolumeFile]) -> BTreeSet<String> {
    let first = |file: &VolumeFile| file.path.split('/').next().map(str::to_owned);
    files.iter().filter_map(first).collect()
}

/// Links every first path segment into `..data` and removes the links of what is no longer there.
fn link_top_level(root: &Path, files: &[VolumeFile]) -> Result<(), WriteError> {
    let wanted = top_level(files);
    for name in &wanted {
        let path = root.join(name);
        if !path.is_symlink() {
            link(&Path::new(DATA).join(name), &path)?;
        }
    }
    let entries = fs::read_dir(root).map_err(|source| WriteError::Io {
        action: "read",
        path: root.to_owned(),
        source,
    })?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("..") && !wanted.contains(&name) {
            remove_file(&entry.path())?;
        }
    }
    Ok(())
}

fn link(target: &Path, path: &Path) -> Result<(), WriteError> {
    symlink(target, path).map_err(|source| WriteError::Io { action: "link", path: path.to_owned(), source })
}

/// Creates the directory and its parents; the directory itself gets exactly this mode.
pub(crate) fn create_dir(path: &Path, mode: u32) -> Result<(), WriteError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(|source| WriteError::Io {
        action: "create directory",
        path: path.to_owned(),
        source,
    })?;
    set_mode(path, mode)
}

/// Creates an empty file, which must not be there.
pub(crate) fn create_file(path: &Path) -> Result<(), WriteError> {
    fs::File::create_new(path).map(drop).map_err(|source| WriteError::Io {
        action: "create",
        path: path.to_owned(),
        source,
    })
}

/// Removes a file or an empty directory, if it is there.
pub(crate) fn remove_place(path: &Path) -> Result<(), WriteError> {
    if !path.is_dir() {
        return remove_file(path);
    }
    fs::remove_dir(path).map_err(|source| WriteError::Io { action: "remove", path: path.to_owned(), source })
}

/// Sets permission bits, whatever the umask is.
pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), WriteError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|source| WriteError::Io {
        action: "set the mode of",
        path: path.to_owned(),
        source,
    })
}

/// Removes a file, if it is there.
pub(crate) fn remove_file(path: &Path) -> Result<(), WriteError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(WriteError::Io { action: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Removes the directory and all in it, if it is there.
pub(crate) fn remove_dir(path: &Path) -> Result<(), WriteError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(WriteError::Io { action: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn file(path: &str, content: &str) -> VolumeFile {
        VolumeFile { path: path.to_owned(), content: content.as_bytes().to_vec(), mode: 0o644 }
    }

    fn names(dir: &Path) -> BTreeSet<String> {
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn what_somebody_else_put_into_a_volume_is_given_to_the_group_always_or_never_again() {
        let dir = tempfile::tempdir().unwrap();
        let added = dir.path().join("file");
        let group = || fs::metadata(&added).unwrap().gid();
        own_all(dir.path(), Some(1234), GroupChange::OnRootMismatch).unwrap();
        fs::write(&added, "x").unwrap();
        std::os::unix::fs::chown(&added, None, Some(0)).unwrap();
        own_all(dir.path(), Some(1234), GroupChange::OnRootMismatch).unwrap();
        assert_eq!(group(), 0);
        own_all(dir.path(), Some(1234), GroupChange::Always).unwrap();
        assert_eq!((group(), fs::metadata(&added).unwrap().permissions().mode() & 0o060), (1234, 0o060));
    }

    #[test]
    fn an_update_replaces_everything_in_one_step() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("volume");
        assert!(write(&root, &[file("a", "1"), file("dir/b", "2")], None).unwrap());
        assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "1");
        assert_eq!(fs::read_to_string(root.join("dir/b")).unwrap(), "2");
        let first = fs::read_link(root.join(DATA)).unwrap();

        assert!(write(&root, &[file("a", "new"), file("c", "3")], None).unwrap());
        assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "new");
        let second = fs::read_link(root.join(DATA)).unwrap();
        assert_ne!(first, second);
        let expected = ["a", "c", DATA, second.to_str().unwrap()].map(str::to_owned);
        assert_eq!(names(&root), BTreeSet::from(expected));
    }

    #[test]
    fn the_same_files_again_change_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let files = [file("a", "1"), file("x/y", "2")];
        assert!(write(dir.path(), &files, None).unwrap());
        assert!(!write(dir.path(), &files, None).unwrap());
        let stricter = [VolumeFile { mode: 0o400, ..file("a", "1") }, file("x/y", "2")];
        assert!(write(dir.path(), &stricter, None).unwrap());
        let mode = fs::metadata(dir.path().join("a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o400);
    }

    #[test]
    fn an_empty_volume_is_a_directory_without_files() {
        let dir = tempfile::tempdir().unwrap();
        assert!(write(dir.path(), &[], None).unwrap());
        assert!(!write(dir.path(), &[], None).unwrap());
        assert!(dir.path().join(DATA).is_dir());
    }

    #[rstest]
    #[case("../etc/passwd")]
    #[case("/etc/passwd")]
    #[case("a/../../b")]
    #[case("..data")]
    #[case("")]
    fn nothing_leaves_the_volume(#[case] path: &str) {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(write(dir.path(), &[file(path, "x")], None), Err(WriteError::Path(_))));
        assert!(names(dir.path()).is_empty());
    }
}
