//! One `wherry apiserver`, as a server of its own, and a kubectl for it.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::wherry_binary;

/// The users of the server: a token, a name, an uid and groups each.
const TOKENS: &str = "golden-admin,admin,admin,\"system:masters\"\n\
    golden-alice,alice,alice-uid,\"dev\"\n\
    golden-bob,bob,bob-uid,\"ops\"\n\
    golden-carol,carol,carol-uid\n";

/// A running API server in a directory of its own; killed when dropped.
pub struct ApiServer {
    dir: tempfile::TempDir,
    process: Child,
}

impl ApiServer {
    /// Starts a server on a free port of localhost; returns when it says that it is ready. Everybody may do everything.
    pub fn start() -> Self {
        Self::begin("AlwaysAllow", None)
    }

    /// Starts a server in which roles and bindings decide who may do what.
    pub fn with_roles() -> Self {
        Self::begin("RBAC", None)
    }

    /// Starts a server that records requests as a policy says, in [`Self::audit_log`].
    pub fn with_audit(policy: &str) -> Self {
        Self::begin("AlwaysAllow", Some(policy))
    }

    fn begin(mode: &str, policy: Option<&str>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let tokens = dir.path().join("tokens.csv");
        std::fs::write(&tokens, TOKENS).expect("the temporary directory is writable");
        let log = File::create(dir.path().join("log")).expect("the temporary directory is writable");
        let mut command = Command::new(wherry_binary());
        command.arg("apiserver");
        if let Some(policy) = policy {
            let path = dir.path().join("policy.yaml");
            std::fs::write(&path, policy).expect("the temporary directory is writable");
            command.arg("--audit-policy-file").arg(path);
            command.arg("--audit-log-path").arg(dir.path().join("audit.log"));
        }
        let mut process = command
            .args(["--listen", "127.0.0.1:0", "--service-cidr", "10.96.0.0/16"])
            .args(["--authorization-mode", mode, "--token-auth-file"])
            .arg(&tokens)
            .arg("--data-dir")
            .arg(dir.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("wherry starts");
        let stdout = process.stdout.take().expect("stdout is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("wherry writes its ready line");
        let server = Self { dir, process };
        assert!(line.starts_with("ready in "), "wherry did not get ready:\n{}", server.log());
        server
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("data/kubeconfig")
    }

    /// A directory that goes with the server.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        let text = std::fs::read_to_string(self.kubeconfig()).expect("the server writes a kubeconfig");
        let config: serde_json::Value = serde_json::from_str(&text).expect("the kubeconfig is JSON");
        config["clusters"][0]["cluster"]["server"].as_str().expect("it names the server").to_owned()
    }

    /// What was recorded of requests.
    pub fn audit_log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("audit.log")).unwrap_or_default()
    }

    /// What the process logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Runs kubectl, whatever comes of it.
    pub fn try_kubectl(&self, args: &[&str]) -> Output {
        let mut command = Command::new("kubectl");
        command.env("KUBECONFIG", self.kubeconfig()).env("HOME", self.dir.path());
        command.args(args).stdin(Stdio::null()).output().expect("kubectl is installed")
    }

    /// Runs kubectl, which must succeed; its standard output.
    pub fn kubectl(&self, args: &[&str]) -> String {
        let output = self.try_kubectl(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "kubectl {}:\n{out}{err}\n{}", args.join(" "), self.log());
        out.into_owned()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // A server that has ended already is as good.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
