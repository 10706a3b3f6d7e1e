//! The file that says what is sealed on disk, and what becomes of it while a cluster runs.
//!
//! # Flow
//! The directory of the file is watched (a file that is replaced, or that a link leads to, changes there). After each
//! change the file is read; if it says something else than before and can be used, it counts from the next write on.
//!
//! # Guarantees
//! A file that cannot be used changes nothing and is logged, by what is wrong with it and never by its keys.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;
use wherry_apiserver::encryption::Encryption;

use crate::secrets::read_config;

/// Where an `EncryptionConfiguration` is.
#[derive(Debug, Clone)]
pub struct EncryptionFile {
    /// The file.
    pub path: PathBuf,
    /// Whether it counts as soon as it changes.
    pub reload: bool,
}

/// Does what the file says whenever it changes, until it is told to stop.
pub(crate) fn follow(
    path: PathBuf,
    encryption: Arc<Encryption>,
    stop: CancellationToken,
) -> io::Result<impl Future<Output = ()>> {
    let changes = watch(path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new(".")))?;
    Ok(async move {
        // What changed before the directory was watched is found by looking once.
        let mut known = None;
        loop {
            let found = std::fs::read(&path).ok();
            if found != known {
                known = found;
                reload(&path, &encryption);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = next(&changes) => if let Err(error) = changed {
                    tracing::error!(%error, "the encryption provider configuration is no longer followed");
                    return;
                },
            }
        }
    })
}

fn reload(path: &Path, encryption: &Encryption) {
    match read_config(path) {
        Ok(config) => {
            encryption.configure(config);
            tracing::info!(path = %path.display(), "the encryption provider configuration counts as it is now");
        }
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "the encryption provider configuration stays as it was");
        }
    }
}

/// Tells of changes in a directory.
fn watch(directory: &Path) -> io::Result<pipe::Receiver> {
    let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    let flags = WatchFlags::CLOSE_WRITE | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE;
    inotify::add_watch(&fd, directory, flags)?;
    pipe::Receiver::from_owned_fd_unchecked(fd)
}

/// Waits for the next change; what it was does not matter.
async fn next(changes: &pipe::Receiver) -> io::Result<()> {
    let mut events = [0; 4096];
    loop {
        changes.readable().await?;
        match changes.try_read(&mut events) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read.map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use wherry_store::Seal as _;

    use super::*;
    use crate::secrets;

    const MAP: &str = "/registry/configmaps/default/c";

    /// A configuration about a resource, put in place of the one before as editors and kubelets do.
    fn put(path: &Path, resource: &str) {
        let mut text = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n".to_owned();
        let secret = "AwMDAwMDAwMDAwMDAwMDAw==";
        let providers = format!("[{{aescbc: {{keys: [{{name: k, secret: {secret}}}]}}}}]");
        writeln!(text, "resources: [{{resources: [{resource}], providers: {providers}}}]").unwrap();
        let next = path.with_extension("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, path).unwrap();
    }

    #[tokio::test]
    async fn a_changed_file_counts_at_once_and_a_broken_one_never() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.yaml");
        put(&path, "secrets");
        let encryption = Arc::new(secrets::encryption(directory.path(), Some(&path)).unwrap());
        assert_eq!(encryption.seal(MAP, b"x").unwrap(), None);
        let stop = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(follow(path.clone(), Arc::clone(&encryption), stop.clone()).unwrap());
        std::fs::write(&path, "resources: [secrets").unwrap();
        put(&path, "configmaps");
        while !encryption.concerns(MAP) {
            tokio::task::yield_now().await;
        }
        let sealed = encryption.seal(MAP, b"x").unwrap().unwrap();
        assert!(sealed.starts_with(b"k8s:enc:aescbc:v1:k:"));
        stop.cancel();
        while tasks.join_next().await.is_some() {}
    }
}
