//! One `wherry apiserver`, as a server of its own, and a kubectl for it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::process::{launch, read};
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
        Self::begin(&["--service-cidr", "10.96.0.0/16", "--authorization-mode", "AlwaysAllow"], |_, _| ())
    }

    /// Starts a server in which roles and bindings decide who may do what.
    pub fn with_roles() -> Self {
        Self::begin(&["--service-cidr", "10.96.0.0/16", "--authorization-mode", "RBAC"], |_, _| ())
    }

    /// Starts a server that records requests as a policy says, in [`Self::audit_log`].
    pub fn with_audit(policy: &str) -> Self {
        let flags = ["--service-cidr", "10.96.0.0/16", "--authorization-mode", "AlwaysAllow"];
        Self::begin(&flags, |command, dir| record(command, dir, policy))
    }

    /// Starts a server with roles that tells in its log, and in its audit log, as much as it can, and that reaches
    /// Services at addresses of localhost.
    pub fn talkative() -> Self {
        let flags = ["--service-cidr", "127.96.0.0/16", "--authorization-mode", "RBAC"];
        let policy = "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: RequestResponse}]}";
        Self::begin(&flags, |command, dir| {
            command.env("WHERRY_LOG", "trace");
            record(command, dir, policy);
        })
    }

    fn begin(flags: &[&str], change: impl FnOnce(&mut Command, &Path)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let tokens = dir.path().join("tokens.csv");
        std::fs::write(&tokens, TOKENS).expect("the temporary directory is writable");
        let mut command = Command::new(wherry_binary());
        command.arg("apiserver");
        change(&mut command, dir.path());
        command.args(["--listen", "127.0.0.1:0"]).args(flags).arg("--token-auth-file").arg(&tokens);
        command.arg("--data-dir").arg(dir.path().join("data"));
        let (process, _) = launch(&mut command, &dir.path().join("log"));
        Self { dir, process }
    }

    /// Ends the process at once, as a power cut does; its files stay.
    pub fn kill(&mut self) {
        // A server that has ended already is as good.
        drop(self.process.kill());
        drop(self.process.wait());
    }

    /// A file of its cluster.
    pub fn file(&self, name: &str) -> Vec<u8> {
        let path = self.dir.path().join("data").join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
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
        read(&self.dir.path().join("log"))
    }

    /// A kubectl command for this server, not yet run.
    pub fn kubectl_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.env("KUBECONFIG", self.kubeconfig()).env("HOME", self.dir.path());
        command.args(args).stdin(Stdio::null());
        command
    }

    /// Runs kubectl, whatever comes of it.
    pub fn try_kubectl(&self, args: &[&str]) -> Output {
        self.kubectl_command(args).output().expect("kubectl is installed")
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
        self.kill();
    }
}

/// Lets a server record requests as a policy says.
fn record(command: &mut Command, dir: &Path, policy: &str) {
    let path = dir.join("policy.yaml");
    std::fs::write(&path, policy).expect("the temporary directory is writable");
    command.arg("--audit-policy-file").arg(path);
    command.arg("--audit-log-path").arg(dir.join("audit.log"));
}
