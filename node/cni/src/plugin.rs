//! One call of one plugin: its program, what it is told, what it answers.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::attachment::Attachment;
use crate::config::kind;

/// How long a plugin may take; container runtimes leave it to the four minutes of kubelet's calls.
const PATIENCE: Duration = Duration::from_mins(2);
/// What of an answer that is none is told.
const MOST_SAID: usize = 512;

/// Why a plugin did not do what it was to.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// There is no such program.
    #[error("failed to find plugin {kind:?} in path {path:?}")]
    Missing {
        /// Its name.
        kind: String,
        /// Where it was looked for.
        path: Vec<PathBuf>,
    },
    /// Its name names no program.
    #[error("{0}")]
    Kind(String),
    /// It cannot be run.
    #[error("plugin {kind:?} cannot be run")]
    Run {
        /// Its name.
        kind: String,
        /// The cause.
        source: io::Error,
    },
    /// It takes too long.
    #[error("plugin {kind:?} does not end within {} s", PATIENCE.as_secs())]
    Slow {
        /// Its name.
        kind: String,
    },
    /// It says that it failed.
    #[error("plugin type={kind:?} failed ({command}): {reason}")]
    Failed {
        /// Its name.
        kind: String,
        /// What it was to do.
        command: &'static str,
        /// The code of the specification, or its own; 0 where it said nothing.
        code: u64,
        /// What it says.
        reason: String,
    },
    /// What it says is no answer.
    #[error("plugin {kind:?} answered what is no JSON: {said:?}")]
    Answer {
        /// Its name.
        kind: String,
        /// The beginning of it.
        said: String,
    },
}

/// What plugins say when they fail.
#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    msg: String,
    #[serde(default)]
    details: String,
}

/// Where plugins are, and what one is to do.
pub(crate) struct Call<'a> {
    pub(crate) path: &'a [PathBuf],
    pub(crate) command: &'static str,
    /// What it is about, if not about all.
    pub(crate) attachment: Option<&'a Attachment>,
}

impl Call<'_> {
    /// Runs the plugin that the request names; its answer, if it gives any.
    pub(crate) async fn run(&self, request: Map<String, Value>) -> Result<Option<Value>, PluginError> {
        let kind = kind(&request).map_err(PluginError::Kind)?.to_owned();
        let program = self.path.iter().map(|directory| directory.join(&kind)).find(|path| path.is_file());
        let program =
            program.ok_or_else(|| PluginError::Missing { kind: kind.clone(), path: self.path.to_vec() })?;
        let failed = |source: io::Error| PluginError::Run { kind: kind.clone(), source };
        let path = std::env::join_paths(self.path).map_err(|error| failed(io::Error::other(error)))?;
        let mut command = Command::new(program);
        command.env("CNI_COMMAND", self.command).env("CNI_PATH", path);
        if let Some(attachment) = self.attachment {
            command.env("CNI_CONTAINERID", &attachment.container_id).env("CNI_IFNAME", &attachment.interface);
            command.env("CNI_NETNS", &attachment.netns).env("CNI_ARGS", attachment.args());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let mut stdin = child.stdin.take();
        let request = Value::Object(request).to_string();
        let tell = async move {
            if let Some(stdin) = &mut stdin {
                // One that does not listen says so by how it ends.
                stdin.write_all(request.as_bytes()).await.ok();
            }
        };
        let both = async { tokio::join!(tell, child.wait_with_output()).1 };
        let output = tokio::time::timeout(PATIENCE, both).await;
        let output = output.map_err(|_| PluginError::Slow { kind: kind.clone() })?.map_err(failed)?;
        if output.status.success() {
            return read(kind, &output.stdout);
        }
        let said: Said = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let reason = [said.msg, said.details]
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join("; ");
        let reason = if reason.is_empty() {
            format!("{}: {}", output.status, shortened(&output.stderr))
        } else {
            reason
        };
        Err(PluginError::Failed { kind, command: self.command, code: said.code, reason })
    }
}

/// The answer of a plugin that succeeded.
fn read(kind: String, stdout: &[u8]) -> Result<Option<Value>, PluginError> {
    if stdout.trim_ascii().is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(stdout)
        .map(Some)
        .map_err(|_| PluginError::Answer { kind, said: shortened(stdout) })
}

fn shortened(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(MOST_SAID)]).trim().to_owned()
}
