//! One `wherry up` with the kubectl to drive it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::{wait, wherry_binary};

/// How a cluster is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// More flags of `wherry up`.
    pub flags: Vec<String>,
    /// More environment of the process.
    pub env: Vec<(String, String)>,
}

/// A running cluster; stopped, with everything it ran, when dropped.
pub struct Cluster {
    dir: PathBuf,
    options: Options,
    process: Option<Child>,
    /// The `ready in N ms` line of the last start.
    ready_line: String,
}

impl Cluster {
    /// Starts a cluster whose data is in `dir/data`; returns when it says that it is ready.
    pub fn start(dir: &Path, options: Options) -> Self {
        let mut cluster = Self { dir: dir.to_owned(), options, process: None, ready_line: String::new() };
        cluster.launch();
        cluster
    }

    /// Starts the process again after [`Self::kill`] or [`Self::terminate`].
    pub fn launch(&mut self) {
        let log =
            File::options().create(true).append(true).open(self.log_path()).expect("the log file opens");
        let mut process = Command::new(wherry_binary())
            .args(["up", "--node-name", "node-1", "--data-dir"])
            .arg(self.data_dir())
            .args(&self.options.flags)
            .envs(self.options.env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("wherry starts");
        let stdout = process.stdout.take().expect("stdout is piped");
        self.process = Some(process);
        self.ready_line.clear();
        BufReader::new(stdout).read_line(&mut self.ready_line).expect("wherry writes its ready line");
        assert!(self.ready_line.starts_with("ready in "), "wherry did not get ready:\n{}", self.log());
    }

    /// What the last start printed: `ready in N ms: export KUBECONFIG=...`.
    pub fn ready_line(&self) -> &str {
        self.ready_line.trim()
    }

    /// The cluster's data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data_dir().join("kubeconfig")
    }

    /// What the process logged, over all its starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The id of the running process.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().map(Child::id).expect("the cluster runs")
    }

    /// SIGKILL: the process gets no chance to save anything.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("a child can be killed");
            process.wait().expect("a child can be awaited");
        }
    }

    /// SIGTERM; answers whether the process drained and exited with 0.
    pub fn terminate(&mut self) -> bool {
        let Some(mut process) = self.process.take() else { return false };
        let pid = Pid::from_raw(i32::try_from(process.id()).expect("a pid fits"));
        kill(pid, Signal::SIGTERM).expect("a child can be signalled");
        process.wait().expect("a child can be awaited").success()
    }

    /// A kubectl command for this cluster, not yet run.
    pub fn kubectl_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.env("KUBECONFIG", self.kubeconfig()).env("HOME", &self.dir).args(args).stdin(Stdio::null());
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
        assert!(output.status.success(), "kubectl {}:\n{out}{err}{}", args.join(" "), self.diagnosis());
        out.into_owned()
    }

    /// Runs kubectl, which must fail; its standard error.
    pub fn kubectl_fails(&self, args: &[&str]) -> String {
        let output = self.try_kubectl(args);
        assert!(
            !output.status.success(),
            "kubectl {} succeeded: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stdout)
        );
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// `kubectl get ... -o json`, parsed.
    pub fn get(&self, args: &[&str]) -> Value {
        let json = self.kubectl(&[&["get", "-o", "json"], args].concat());
        serde_json::from_str(&json).expect("kubectl prints JSON")
    }

    /// `kubectl apply -f -` of a manifest; what kubectl said.
    pub fn apply(&self, manifest: &str) -> String {
        let output = self.try_apply(manifest);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "kubectl apply:\n{out}{err}\nof {manifest}");
        out.into_owned()
    }

    /// `kubectl apply -f -` of a manifest, whatever comes of it.
    pub fn try_apply(&self, manifest: &str) -> Output {
        let mut command = self.kubectl_command(&["apply", "-f", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kubectl is installed");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        stdin.write_all(manifest.as_bytes()).expect("kubectl reads its input");
        drop(stdin);
        child.wait_with_output().expect("kubectl ends")
    }

    /// Waits until `kubectl wait` is satisfied.
    pub fn wait_for(&self, condition: &str, what: &[&str]) {
        let condition = format!("--for={condition}");
        self.kubectl(&[&["wait", "--timeout=90s", &condition], what].concat());
    }

    /// Waits until the command's output satisfies `seen`; the output.
    pub fn kubectl_until(&self, args: &[&str], seen: impl Fn(&str) -> bool) -> String {
        wait::until(&format!("kubectl {}", args.join(" ")), || {
            let output = self.try_kubectl(args);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if output.status.success() && seen(&text) { Ok(text) } else { Err(text) }
        })
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("wherry.log")
    }

    /// What a person would look at first when a step failed.
    fn diagnosis(&self) -> String {
        let look = |args: &[&str]| String::from_utf8_lossy(&self.try_kubectl(args).stdout).into_owned();
        format!(
            "\n--- nodes\n{}\n--- pods\n{}\n--- events\n{}\n--- log\n{}",
            look(&[
                "get",
                "nodes",
                "-o",
                "jsonpath={range .items[*]}{.metadata.name} {.spec.taints} {.status.conditions}{end}"
            ]),
            look(&["get", "pods", "-A", "-o", "wide"]),
            look(&["get", "events", "-A"]),
            self.log()
                .lines()
                .rev()
                .take(60)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
                .join("\n")
        )
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.process.is_some() {
            // Deployments first, or their controllers would make new Pods.
            self.try_kubectl(&[
                "delete",
                "deployments,replicasets,pods",
                "--all",
                "-A",
                "--grace-period=0",
                "--timeout=30s",
            ]);
            self.terminate();
        }
    }
}
