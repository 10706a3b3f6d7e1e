//! One `wherry agent`, which joins a cluster by a bootstrap token.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::{Value, json};

use crate::cluster::ENOUGH_DISK;
use crate::leftovers::Traces;
use crate::process::{launch, read, terminate};
use crate::{Cluster, Host, Registry, wherry_binary};

/// A running agent; stopped, with everything it ran, when dropped.
pub struct Agent {
    dir: PathBuf,
    name: String,
    /// What the command begins with.
    host: Vec<String>,
    flags: Vec<String>,
    process: Option<Child>,
    traces: Traces,
}

impl Agent {
    /// Starts an agent in loopback mode whose data is in `dir`, by a bootstrap token; returns when its node is ready.
    pub fn start(dir: &Path, cluster: &Cluster, name: &str, token: &str) -> Self {
        let text = fs::read_to_string(cluster.kubeconfig()).expect("the cluster has a kubeconfig");
        let mut bootstrap: Value = serde_json::from_str(&text).expect("the kubeconfig is JSON");
        bootstrap["users"][0]["user"] = json!({ "token": token });
        let flags = ["--network", "loopback"].map(str::to_owned).to_vec();
        Self::start_on(dir, name, &bootstrap.to_string(), (Vec::new(), flags))
    }

    /// Starts an agent with the network of a machine of its own and further flags, by a kubeconfig to join with. It pulls images from
    /// the registry of another.
    pub fn on_host(dir: &Path, host: &Host, invitation: &str, (registry, flags): (&str, &[String])) -> Self {
        let mirrors = json!({ "mirrors": { (Registry::ADDRESS): { "endpoint": [registry] } } });
        let file = dir.join("registries.yaml");
        fs::write(&file, mirrors.to_string()).expect("the directory is writable");
        let own = ["--network", "bridge", "--registries", &file.to_string_lossy()].map(str::to_owned);
        let flags = [&own[..], flags].concat();
        Self::start_on(dir, host.name(), invitation, (host.command(), flags))
    }

    fn start_on(dir: &Path, name: &str, bootstrap: &str, (host, flags): (Vec<String>, Vec<String>)) -> Self {
        fs::create_dir_all(dir).expect("the directory can be made");
        fs::write(dir.join("bootstrap"), bootstrap).expect("the directory is writable");
        let traces = Traces::of(dir);
        let (dir, name) = (dir.to_owned(), name.to_owned());
        let mut agent = Self { dir, name, host, flags, process: None, traces };
        agent.launch();
        agent
    }

    /// Starts the process again after [`Self::terminate`].
    pub fn launch(&mut self) {
        let binary = wherry_binary().into_os_string();
        let mut words = self.host.iter().map(Into::into).chain([binary]);
        let mut command = Command::new(words.next().expect("a command has a program"));
        command
            .args(words)
            .arg("agent")
            .args(ENOUGH_DISK)
            .args(["--node-name", &self.name, "--cgroup-root", self.traces.group()])
            .args(&self.flags)
            .arg("--bootstrap-kubeconfig")
            .arg(self.dir.join("bootstrap"))
            .arg("--data-dir")
            .arg(self.dir.join("data"));
        let (process, _) = launch(&mut command, &self.dir.join("log"));
        self.process = Some(process);
    }

    /// What the process logged, over all its starts.
    pub fn log(&self) -> String {
        read(&self.dir.join("log"))
    }

    /// SIGTERM; answers whether the process drained and exited with 0.
    pub fn terminate(&mut self) -> bool {
        self.process.take().is_some_and(terminate)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.terminate();
        self.traces.erase();
    }
}
