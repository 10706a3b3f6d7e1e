//! What a client and a command say to each other, whatever protocol the client speaks.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Pieces of input, output and sizes on their way.
pub(super) const IN_FLIGHT: usize = 16;

/// The protocols of commands, newest first, without what tells encodings apart.
pub(super) const PROTOCOLS: [&str; 5] =
    ["v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];

/// The size of a client's window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Size {
    /// Columns.
    pub(super) width: u16,
    /// Rows.
    pub(super) height: u16,
}

/// Something for the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The command wrote this.
    Stdout(Bytes),
    /// The command complained.
    Stderr(Bytes),
    /// How it ended; the last message.
    Ended(Ended),
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With this exit code.
    Code(i32),
    /// It could not be run.
    Failed(String),
}

impl Ended {
    /// The `Status` that clients since version 4 of the protocol read.
    pub(super) fn status(&self) -> Value {
        match self {
            Self::Code(0) => json!({ "metadata": {}, "status": "Success" }),
            Self::Code(code) => json!({
                "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "message": self.words(),
                "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
            }),
            Self::Failed(why) => json!({
                "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
                "message": self.words(), "details": { "causes": [{ "message": why }] },
            }),
        }
    }

    /// The bytes for a client: a `Status`, or words for one that does not know it.
    pub(super) fn bytes(&self, as_status: bool) -> Bytes {
        match self {
            _ if as_status => self.status().to_string().into(),
            Self::Code(0) => Bytes::new(),
            Self::Code(_) | Self::Failed(_) => self.words().into(),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Code(code) => format!("command terminated with non-zero exit code: {code}"),
            Self::Failed(why) => format!("Internal error occurred: {why}"),
        }
    }
}

/// A client's side of a command.
pub(super) struct Session {
    /// What the client types; ends when the client says so, or is gone.
    pub(super) input: mpsc::Receiver<Bytes>,
    /// The sizes its window takes.
    pub(super) sizes: mpsc::Receiver<Size>,
    /// What goes to the client; closed when the client is gone.
    pub(super) output: mpsc::Sender<Message>,
}

/// The client's protocol's side of a [`Session`].
pub(super) struct Ends {
    /// Where input goes.
    pub(super) input: mpsc::Sender<Bytes>,
    /// Where sizes go.
    pub(super) sizes: mpsc::Sender<Size>,
    /// Where output comes from.
    pub(super) output: mpsc::Receiver<Message>,
}

impl Session {
    /// A session and its other side.
    pub(super) fn new() -> (Self, Ends) {
        let ((to_input, input), (to_sizes, sizes)) = (mpsc::channel(IN_FLIGHT), mpsc::channel(IN_FLIGHT));
        let (output, from_output) = mpsc::channel(IN_FLIGHT);
        (Self { input, sizes, output }, Ends { input: to_input, sizes: to_sizes, output: from_output })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_told_as_clients_read_them() {
        assert_eq!(Ended::Code(0).status()["status"], "Success");
        let status = Ended::Code(42).status();
        assert_eq!((&status["reason"], &status["status"]), (&json!("NonZeroExitCode"), &json!("Failure")));
        assert_eq!(status["details"]["causes"][0], json!({ "reason": "ExitCode", "message": "42" }));
        assert_eq!(Ended::Code(0).bytes(false), "");
        assert_eq!(Ended::Failed("no".into()).bytes(false), "Internal error occurred: no");
    }

    #[test]
    fn sizes_are_read() {
        let size: Size = serde_json::from_str(r#"{"Width":80,"Height":24}"#).unwrap();
        assert_eq!(size, Size { width: 80, height: 24 });
    }
}
