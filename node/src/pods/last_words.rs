//! What a container left as its last words: its termination message file or, if it asks for that and failed, the end of
//! its log.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Pod;
use wherry_runtime_api::ContainerId;

use super::pod_files::message_path;
use super::specs::find_container;
use crate::logs::{LogDir, last_lines};

/// Most bytes of a termination message that are read, as kubelet does.
const MAX_MESSAGE: u64 = 4096;
/// Most lines, and most bytes of these, that are taken of a log, as kubelet does.
const MAX_LOG_LINES: u64 = 80;
const MAX_LOG_BYTES: usize = 2048;

/// Where last words are found.
pub(super) struct Place<'a> {
    /// The pod's directory.
    pub(super) pod_dir: PathBuf,
    /// The logs of the node.
    pub(super) logs: &'a LogDir,
}

impl Place<'_> {
    /// The last words of a container that ended with this code, if it left any.
    pub(super) fn read(&self, pod: &Pod, id: &ContainerId, code: i32) -> Option<String> {
        let container = find_container(pod, &id.name);
        let policy = container.as_ref().and_then(|found| found.termination_message_policy.as_deref());
        let of_log = || self.log(pod, id).filter(|_| code != 0 && policy == Some("FallbackToLogsOnError"));
        self.file(id).or_else(of_log)
    }

    fn file(&self, id: &ContainerId) -> Option<String> {
        let file = fs::File::open(message_path(&self.pod_dir, &id.name, id.attempt)).ok()?;
        let mut bytes = Vec::new();
        file.take(MAX_MESSAGE).read_to_end(&mut bytes).ok()?;
        words(&bytes)
    }

    fn log(&self, pod: &Pod, id: &ContainerId) -> Option<String> {
        let mut attempts = self.logs.attempts(pod, &id.name).into_iter();
        let (_, path) = attempts.find(|(attempt, _)| *attempt == id.attempt)?;
        words(&last_lines(&path, MAX_LOG_LINES, MAX_LOG_BYTES).ok()?)
    }
}

fn words(bytes: &[u8]) -> Option<String> {
    Some(String::from_utf8_lossy(bytes).into_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wherry_runtime_api::SandboxId;

    use super::*;

    #[test]
    fn the_log_speaks_for_a_container_that_failed_and_left_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let logs = LogDir::new(dir.path().join("logs")).0;
        let place = Place { pod_dir: dir.path().join("pod"), logs: &logs };
        let pod = |policy: &str| -> Pod {
            let main = json!({ "name": "main", "terminationMessagePolicy": policy });
            let meta = json!({ "name": "web", "namespace": "shop", "uid": "u-1" });
            serde_json::from_value(json!({ "metadata": meta, "spec": { "containers": [main] } })).unwrap()
        };
        let fallback = pod("FallbackToLogsOnError");
        let id = ContainerId { sandbox: SandboxId("u-1".to_owned()), name: "main".to_owned(), attempt: 0 };
        let lines = (0..200).map(|n| format!("2026-01-01T00:00:00.000000000Z stdout F line {n:03}\n"));
        fs::write(logs.prepare(&fallback, "main", 0).unwrap(), lines.collect::<String>()).unwrap();
        assert_eq!(place.read(&fallback, &id, 0), None);
        assert_eq!(place.read(&pod("File"), &id, 1), None);
        let shown = place.read(&fallback, &id, 1).unwrap();
        assert!(shown.starts_with("line 120\n") && shown.ends_with("line 199\n"), "{shown}");
        let file = message_path(&place.pod_dir, "main", 0);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "my own words").unwrap();
        assert_eq!(place.read(&fallback, &id, 1).as_deref(), Some("my own words"));
    }
}
