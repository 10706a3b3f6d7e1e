//! One `wherry up` with the kubectl to drive it.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::leftovers::Traces;
use crate::process::{kill_now, launch, read, terminate};
use crate::{Registry, isolated, old_kubectl, wait, wherry_binary};

/// The disk of a machine that runs tests may be nearly full.
pub(crate) const ENOUGH_DISK: [&str; 2] = ["--eviction-hard", "nodefs.available<1Mi"];

/// How a cluster is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// More flags of `wherry up`.
    pub flags: Vec<String>,
    /// More environment of the process.
    pub env: Vec<(String, String)>,
}

impl Options {
    /// A cluster in which containers that ended are started again without much of a wait.
    pub fn hasty() -> Self {
        Self { flags: vec!["--max-container-restart-period=1".to_owned()], env: Vec::new() }
    }

    /// A cluster whose Pods have addresses of IPv4 and of IPv6.
    pub fn dual_stack() -> Self {
        Self { flags: DUAL_STACK.map(str::to_owned).to_vec(), env: Vec::new() }
    }
}

/// The flags of a cluster of both families, of its agents as well.
pub const DUAL_STACK: [&str; 4] =
    ["--cluster-cidr", "10.244.0.0/16,fd00:244::/56", "--service-cidr", "10.96.0.0/16,fd00:96::/112"];

/// The flags of a cluster of IPv6 alone.
pub const SIX: [&str; 4] = ["--cluster-cidr", "fd00:244::/56", "--service-cidr", "fd00:96::/112"];

/// Runs a test with a cluster and a registry of its own, in a network namespace of its own.
pub fn in_cluster(options: Options, test: impl FnOnce(&mut Cluster) + Send) {
    isolated(|| {
        // Users that pods have for themselves go through it to their files.
        let dir = tempfile::Builder::new().permissions(Permissions::from_mode(0o711)).tempdir();
        let dir = dir.expect("a temporary directory can be made");
        let _registry = Registry::start(dir.path());
        let mut cluster = Cluster::start(dir.path(), options);
        test(&mut cluster);
    });
}

/// A Pod that runs one command of a test image to its end; `rest` goes on with its container.
pub fn one_shot(name: &str, image: &str, rest: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  containers:\n  \
         - name: main\n    image: 127.0.0.1:5000/{image}\n{rest}"
    )
}

/// A running cluster; stopped, with everything it ran, when dropped.
pub struct Cluster {
    dir: PathBuf,
    options: Options,
    process: Option<Child>,
    traces: Traces,
    /// The `ready in N ms` line of the last start.
    ready_line: String,
}

impl Cluster {
    /// Starts a cluster whose data is in `dir/data`; returns when it says that it is ready.
    pub fn start(dir: &Path, options: Options) -> Self {
        let traces = Traces::of(dir);
        let mut cluster =
            Self { dir: dir.to_owned(), options, process: None, traces, ready_line: String::new() };
        cluster.launch();
        cluster
    }

    /// Starts the process again after [`Self::kill`] or [`Self::terminate`].
    pub fn launch(&mut self) {
        let mut command = Command::new(wherry_binary());
        command
            .args(["up", "--node-name", "node-1", "--data-dir"])
            .arg(self.data_dir())
            .args(["--cgroup-root", self.traces.group()])
            .args(ENOUGH_DISK)
            .args(&self.options.flags)
            .envs(self.options.env.iter().map(|(k, v)| (k, v)));
        let (process, ready_line) = launch(&mut command, &self.log_path());
        (self.process, self.ready_line) = (Some(process), ready_line);
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
        read(&self.log_path())
    }

    /// The id of the running process.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().map(Child::id).expect("the cluster runs")
    }

    /// What is left of Pods on the node once all are gone: nothing, unless something was left behind.
    pub fn left_behind(&self) -> Vec<String> {
        self.traces.once_gone()
    }

    /// SIGKILL: the process gets no chance to save anything.
    pub fn kill(&mut self) {
        self.process.take().into_iter().for_each(kill_now);
    }

    /// SIGTERM; answers whether the process drained and exited with 0.
    pub fn terminate(&mut self) -> bool {
        self.process.take().is_some_and(terminate)
    }

    /// A kubectl command for this cluster, not yet run.
    pub fn kubectl_command(&self, args: &[&str]) -> Command {
        self.command("kubectl".as_ref(), args)
    }

    /// The same with a kubectl of 1.20.
    pub fn old_kubectl_command(&self, args: &[&str]) -> Command {
        self.command(&old_kubectl(), args)
    }

    fn command(&self, kubectl: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(kubectl);
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
        self.fed(&["apply", "-f", "-"], manifest)
    }

    /// `kubectl create -f -` of a manifest; what the server answered.
    pub fn create(&self, manifest: &str) -> Value {
        let output = self.try_create(manifest);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl create:\n{error}\nof {manifest}");
        serde_json::from_slice(&output.stdout).expect("kubectl prints JSON")
    }

    /// `kubectl create -f -` of a manifest, whatever comes of it.
    pub fn try_create(&self, manifest: &str) -> Output {
        self.fed(&["create", "-o", "json", "-f", "-"], manifest)
    }

    /// Runs kubectl on a manifest as its input.
    pub fn fed(&self, args: &[&str], manifest: &str) -> Output {
        let mut command = self.kubectl_command(args);
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

    /// The exit code of a Pod's first container, once it has ended.
    pub fn exit_code(&self, pod: &str) -> i64 {
        let path = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}";
        let code = self.kubectl_until(&["get", "pod", pod, "-o", path], |text| !text.is_empty());
        code.parse().expect("an exit code is a number")
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
    /// Removes all Pods and fails the test if something of them stays.
    fn drop(&mut self) {
        let mut left = Vec::new();
        if self.process.is_some() {
            if !std::thread::panicking() {
                // Those that make Pods first, or they would make new ones.
                let kinds = "deployments,replicasets,statefulsets,daemonsets,jobs,cronjobs,replicationcontrollers,pods";
                self.try_kubectl(&["delete", kinds, "--all", "-A", "--grace-period=1", "--wait=false"]);
                left = self.traces.once_gone();
            }
            self.terminate();
        }
        self.traces.erase();
        assert!(
            left.is_empty(),
            "left behind, though all Pods were deleted:\n{}\n{}",
            left.join("\n"),
            self.log()
        );
    }
}
