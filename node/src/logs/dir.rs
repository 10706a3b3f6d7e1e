//! Where the logs of this node are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc;
use wherry_runtime_api::disk::{self, DiskUsage};

/// A log directory cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot create directory {}", path.display())]
pub(crate) struct DirError {
    path: PathBuf,
    source: io::Error,
}

/// The logs of all pods of this node.
#[derive(Clone, Debug)]
pub(crate) struct LogDir {
    root: PathBuf,
    prepared: mpsc::UnboundedSender<PathBuf>,
}

/// The directories of containers that get logs from now on.
pub(crate) type Prepared = mpsc::UnboundedReceiver<PathBuf>;

impl LogDir {
    /// Logs under `root`, and where it is told of those that are new.
    pub(crate) fn new(root: PathBuf) -> (Self, Prepared) {
        let (prepared, told) = mpsc::unbounded_channel();
        (Self { root, prepared }, told)
    }

    /// The directory all logs are under.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn pod_dir(&self, pod: &Pod) -> PathBuf {
        let meta = &pod.metadata;
        let part = |value: &Option<String>| value.clone().unwrap_or_default();
        self.root.join(format!("{}_{}_{}", part(&meta.namespace), part(&meta.name), part(&meta.uid)))
    }

    /// The file for the attempt; its directory is made.
    pub(crate) fn prepare(&self, pod: &Pod, container: &str, attempt: u32) -> Result<PathBuf, DirError> {
        let dir = self.pod_dir(pod).join(container);
        fs::create_dir_all(&dir).map_err(|source| DirError { path: dir.clone(), source })?;
        let log = dir.join(format!("{attempt}.log"));
        // Without a receiver logs are not trimmed, which was told.
        let _untold = self.prepared.send(dir);
        Ok(log)
    }

    /// The attempts at the container that have a log, newest first.
    pub(crate) fn attempts(&self, pod: &Pod, container: &str) -> Vec<(u32, PathBuf)> {
        let entries = fs::read_dir(self.pod_dir(pod).join(container)).into_iter().flatten().flatten();
        let numbered = |entry: fs::DirEntry| {
            let attempt = entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok()?;
            Some((attempt, entry.path()))
        };
        let mut attempts: Vec<(u32, PathBuf)> = entries.filter_map(numbered).collect();
        attempts.sort_unstable_by(|a, b| b.cmp(a));
        attempts
    }

    /// What the logs of one of the pod's containers take.
    pub(crate) fn usage(&self, pod: &Pod, container: &str) -> DiskUsage {
        disk::usage(&self.pod_dir(pod).join(container)).unwrap_or_default()
    }

    /// Removes the log of one attempt.
    pub(crate) fn remove_attempt(&self, pod: &Pod, container: &str, attempt: u32) {
        remove(fs::remove_file(self.pod_dir(pod).join(container).join(format!("{attempt}.log"))));
    }

    /// The uids of pods that have logs.
    pub(crate) fn pods(&self) -> Vec<String> {
        self.dirs().map(|(uid, _)| uid).collect()
    }

    /// Removes all logs of the pod.
    pub(crate) fn remove(&self, pod: &Pod) {
        remove(fs::remove_dir_all(self.pod_dir(pod)));
    }

    /// Removes all logs of a pod of which no more is known than its uid; that takes looking through all there are.
    pub(crate) fn remove_unknown(&self, uid: &str) {
        for (_, dir) in self.dirs().filter(|(of, _)| of == uid) {
            remove(fs::remove_dir_all(dir));
        }
    }

    fn dirs(&self) -> impl Iterator<Item = (String, PathBuf)> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        // Neither namespaces nor names hold an underscore.
        entries.filter_map(|entry| {
            Some((entry.file_name().to_str()?.rsplit_once('_')?.1.to_owned(), entry.path()))
        })
    }
}

fn remove(result: io::Result<()>) {
    if let Err(error) = result
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(error = %error, "cannot remove a log");
    }
}
