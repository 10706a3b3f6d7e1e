//! The directory of manifests: what its files name, followed by inotify.
//!
//! Files whose names begin with a dot are not looked at: editors keep what is half written there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wherry_api::clock::Clock;

use super::manifest::{self, Found, ManifestError, Origin};
use super::{MOST, StaticPods, kept, name, uids};
use crate::context::chain;
use crate::file_watch::FileWatch;

/// When a directory that went away is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(20);

/// The directory cannot be followed.
#[derive(Debug, thiserror::Error)]
#[error("cannot follow the manifests in {}: make this directory, or name another", path.display())]
pub(crate) struct DirectoryError {
    path: PathBuf,
    source: io::Error,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
enum FileError {
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    /// It is no manifest.
    #[error("it has more than {MOST} bytes")]
    Size,
    /// It is none that can be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Its Pod is there already.
    #[error("the Pod {0} is named by another file, too")]
    Taken(String),
}

/// What is known of one file.
#[derive(Default)]
struct Known {
    /// What it named last.
    pod: Option<Arc<Pod>>,
    /// What was told to be wrong with it.
    told: Option<String>,
}

/// A directory of manifests.
pub(crate) struct Directory {
    path: PathBuf,
    node: String,
    clock: Arc<dyn Clock>,
    watch: FileWatch,
    is_watched: bool,
    known: BTreeMap<PathBuf, Known>,
    pods: watch::Sender<StaticPods>,
}

impl Directory {
    /// The directory, and the Pods it names, kept up to date while it is followed.
    pub(crate) fn open(
        path: &Path,
        node: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, watch::Receiver<StaticPods>), DirectoryError> {
        let failed = |source| DirectoryError { path: path.to_owned(), source };
        let path = std::path::absolute(path).map_err(failed)?;
        let watch = FileWatch::new().map_err(failed)?;
        // Before the first look, so that nothing happens between the two.
        watch.add_entries(&path).map_err(failed)?;
        let (pods, receiver) = watch::channel(Vec::new());
        let (node, known) = (node.to_owned(), BTreeMap::new());
        let mut directory = Self { path, node, clock, watch, is_watched: true, known, pods };
        directory.look().map_err(failed)?;
        Ok((directory, receiver))
    }

    /// Follows the directory until `shutdown`.
    pub(crate) async fn follow(mut self, shutdown: CancellationToken) {
        loop {
            let changed = async {
                if self.is_watched {
                    return self.watch.changed().await;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
                Ok(())
            };
            let changed = tokio::select! {
                () = shutdown.cancelled() => return,
                changed = changed => changed,
            };
            let looked = changed.and_then(|()| self.watch.add_entries(&self.path)).and_then(|()| self.look());
            if let Err(error) = &looked {
                let path = self.path.display();
                warn!(%path, %error, "cannot look for manifests; static Pods go on as they are");
            }
            self.is_watched = looked.is_ok();
        }
    }

    /// Reads all files and tells what they name.
    fn look(&mut self) -> io::Result<()> {
        let mut before = std::mem::take(&mut self.known);
        let mut taken = BTreeSet::new();
        for path in files(&self.path)? {
            let mut known = before.remove(&path).unwrap_or_default();
            match self.read(&path, &taken) {
                Ok(None) => {}
                Ok(Some(pod)) => known = Known { pod: Some(kept(known.pod, pod)), told: None },
                Err(error) => known.tell(&path, &error),
            }
            known.pod = known.pod.filter(|pod| taken.insert(name(pod)));
            self.known.insert(path, known);
        }
        let pods: StaticPods = self.known.values().filter_map(|known| known.pod.clone()).collect();
        let is_new = uids(&pods) != uids(&self.pods.borrow());
        if is_new {
            info!(count = pods.len(), "static Pods changed");
            self.pods.send_replace(pods);
        }
        Ok(())
    }

    /// What the file names; `None` if there is nothing in it yet.
    fn read(&self, path: &Path, taken: &BTreeSet<String>) -> Result<Option<Pod>, FileError> {
        let mut text = Vec::new();
        File::open(path)?.take(MOST + 1).read_to_end(&mut text)?;
        if text.is_empty() {
            return Ok(None);
        }
        if u64::try_from(text.len()).is_ok_and(|length| length > MOST) {
            return Err(FileError::Size);
        }
        let found = Found { node: &self.node, origin: Origin::File(path), at: self.clock.now() };
        let pod = manifest::parse(&text, &found)?;
        match name(&pod) {
            name if taken.contains(&name) => Err(FileError::Taken(name)),
            _ => Ok(Some(pod)),
        }
    }
}

impl Known {
    /// Says what is wrong, once.
    fn tell(&mut self, path: &Path, error: &FileError) {
        let (path, error) = (path.display(), chain(error));
        if self.told.as_ref() == Some(&error) {
            return;
        }
        if let Some(pod) = self.pod.as_deref().map(name) {
            warn!(%path, error, pod, "a manifest cannot be used; the Pod that it named before goes on");
        } else {
            warn!(%path, error, "a manifest cannot be used");
        }
        self.told = Some(error);
    }
}

/// The files that may be manifests, in order.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        // Also by way of a link, as projected volumes have them.
        if !is_hidden && fs::metadata(entry.path()).is_ok_and(|meta| meta.is_file()) {
            files.push(entry.path());
        }
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use tokio_util::task::TaskTracker;
    use wherry_api::clock::SystemClock;

    use super::*;

    fn manifest(name: &str, image: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: a, image: {image}}}]}}\n"
        )
    }

    fn images(pods: &StaticPods) -> Vec<(String, String)> {
        let image = |pod: &Arc<Pod>| pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap();
        pods.iter().map(|pod| (name(pod), image(pod))).collect()
    }

    #[tokio::test]
    async fn what_files_name_is_followed_and_a_broken_one_keeps_what_it_named() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(dir.path().join(file), text).unwrap();
        write("web.yaml", &manifest("web", "v1"));
        write("broken.yaml", "kind: [");
        write("twice.yaml", &manifest("web", "v3"));
        let (directory, mut pods) = Directory::open(dir.path(), "n", Arc::new(SystemClock)).unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let following = tasks.spawn(directory.follow(stop.clone()));
        let of = |file: &str, image: &str| (format!("default/{file}-n"), image.to_owned());
        // Of two files that name one Pod, the first by name counts.
        assert_eq!(images(&pods.borrow_and_update()), [of("web", "v3")]);
        fs::remove_file(dir.path().join("twice.yaml")).unwrap();
        let mut until = async |expected: Vec<(String, String)>| {
            let seen = pods.wait_for(|pods| images(pods) == expected);
            drop(tokio::time::timeout(Duration::from_secs(10), seen).await.unwrap().unwrap());
        };
        until(vec![of("web", "v1")]).await;
        // Both in one look, so that what the broken one changes would be seen.
        write(".new", "kind: [");
        fs::rename(dir.path().join(".new"), dir.path().join("web.yaml")).unwrap();
        write("other.yaml", &manifest("other", "v1"));
        until(vec![of("other", "v1"), of("web", "v1")]).await;
        fs::remove_file(dir.path().join("other.yaml")).unwrap();
        write("web.yaml", &manifest("web", "v2"));
        until(vec![of("web", "v2")]).await;
        stop.cancel();
        following.await.unwrap();
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_is_refused() {
        let refused =
            Directory::open(Path::new("/nowhere/manifests"), "n", Arc::new(SystemClock)).err().unwrap();
        let message =
            "cannot follow the manifests in /nowhere/manifests: make this directory, or name another";
        assert_eq!(refused.to_string(), message);
    }
}
