//! Which users of the node are those of pods that have some for themselves (`hostUsers: false`).
//!
//! ```text
//! users/UID/first-id               the id of the node that is 0 in the pod; written before anything is made with it
//! users/UID/{user,network,ipc}     the pod's namespaces, mounted by the runtime
//! ```
//!
//! Every pod has as many ids as Kubernetes says a pod must have, of users as of groups, and shares them with no other: what leaves a
//! container finds nothing that belongs to it.

mod range;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use parking_lot::Mutex;
use wherry_runtime_api::PodUsers;

pub(crate) use range::IdRange;

/// How many ids a pod has, upstream's default.
const PER_POD: u32 = 65536;
const FIRST_ID: &str = "first-id";

/// Why a pod has no users of its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserIdsError {
    /// All are taken.
    #[error(
        "all {0} ranges of user ids are taken: have fewer pods with hostUsers: false, or widen the range of the user kubelet in /etc/subuid and /etc/subgid"
    )]
    Exhausted(u32),
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

/// The users of all pods that have some for themselves.
pub(crate) struct UserIds {
    directory: PathBuf,
    range: IdRange,
    /// First ids by pod.
    taken: Mutex<BTreeMap<String, u32>>,
}

impl UserIds {
    /// Those of the range, some of which pods have from an earlier run.
    pub(crate) fn open(directory: PathBuf, range: IdRange) -> Result<Self, UserIdsError> {
        fs::create_dir_all(&directory).map_err(failed("create", &directory))?;
        let mut taken = BTreeMap::new();
        for entry in fs::read_dir(&directory).map_err(failed("read", &directory))?.flatten() {
            let uid = entry.file_name().to_string_lossy().into_owned();
            match first_id(&entry.path()) {
                Some(first) => drop(taken.insert(uid, first)),
                // Nothing was made with it before it was written whole.
                None => remove(&entry.path())?,
            }
        }
        Ok(Self { directory, range, taken: Mutex::new(taken) })
    }

    /// The pod's users: those it has, else ones that nobody has.
    pub(crate) fn ensure(&self, uid: &str) -> Result<PodUsers, UserIdsError> {
        let namespaces = self.directory.join(uid);
        let mut taken = self.taken.lock();
        if let Some(&first_id) = taken.get(uid) {
            return Ok(PodUsers { namespaces, first_id, count: PER_POD });
        }
        let free = self.range.firsts().find(|first| taken.values().all(|other| other != first));
        let first_id = free.ok_or_else(|| UserIdsError::Exhausted(self.range.pods()))?;
        record(&namespaces, first_id)?;
        taken.insert(uid.to_owned(), first_id);
        Ok(PodUsers { namespaces, first_id, count: PER_POD })
    }

    /// Gives back what the pod has; one that has nothing is fine. Nothing of the pod's users may be left.
    pub(crate) fn release(&self, uid: &str) -> Result<(), UserIdsError> {
        let mut taken = self.taken.lock();
        if taken.contains_key(uid) {
            remove(&self.directory.join(uid))?;
            taken.remove(uid);
        }
        Ok(())
    }

    /// The pods that have some.
    pub(crate) fn pods(&self) -> Vec<String> {
        self.taken.lock().keys().cloned().collect()
    }
}

fn record(directory: &Path, first: u32) -> Result<(), UserIdsError> {
    fs::create_dir_all(directory).map_err(failed("create", directory))?;
    let path = directory.join(FIRST_ID);
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, format!("{first}\n")).map_err(failed("write", &temporary))?;
    fs::rename(&temporary, &path).map_err(failed("write", &path))
}

fn first_id(directory: &Path) -> Option<u32> {
    fs::read_to_string(directory.join(FIRST_ID)).ok()?.trim_end().parse().ok()
}

fn remove(directory: &Path) -> Result<(), UserIdsError> {
    for entry in fs::read_dir(directory).map_err(failed("read", directory))?.flatten() {
        let path = entry.path();
        match umount2(&path, MntFlags::MNT_DETACH) {
            // Without privileges nothing was mounted.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT | Errno::EPERM) => {}
            Err(error) => return Err(failed("unmount", &path)(error.into())),
        }
    }
    fs::remove_dir_all(directory).map_err(failed("remove", directory))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> UserIdsError + use<> {
    let path = path.to_owned();
    move |source| UserIdsError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_pods_share_users_and_a_restart_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let open = || UserIds::open(dir.path().join("users"), IdRange::of(PER_POD, 2)).unwrap();
        let first_of = |ids: &UserIds, uid: &str| ids.ensure(uid).map(|users| users.first_id);
        let ids = open();
        assert_eq!(first_of(&ids, "a").unwrap(), PER_POD);
        assert_eq!(first_of(&ids, "b").unwrap(), 2 * PER_POD);
        assert_eq!(first_of(&ids, "a").unwrap(), PER_POD);
        assert!(matches!(ids.ensure("c"), Err(UserIdsError::Exhausted(2))));
        fs::create_dir(dir.path().join("users/torn")).unwrap();
        let ids = open();
        assert_eq!(ids.pods(), ["a", "b"]);
        ids.release("a").unwrap();
        ids.release("a").unwrap();
        assert_eq!(first_of(&ids, "c").unwrap(), PER_POD);
        assert_eq!(first_of(&open(), "b").unwrap(), 2 * PER_POD);
        assert_eq!(fs::read_dir(dir.path().join("users")).unwrap().count(), 2);
    }
}
