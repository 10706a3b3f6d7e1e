//! One `wherry agent`, which joins a cluster by a bootstrap token.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::{Cluster, wherry_binary};

/// A running agent in loopback mode; stopped when dropped.
pub struct Agent {
    dir: PathBuf,
    name: String,
    process: Option<Child>,
}

impl Agent {
    /// Starts an agent whose data is in `dir`; returns when its node is ready.
    pub fn start(dir: &Path, cluster: &Cluster, (name, pod_cidr): (&str, &str), token: &str) -> Self {
        fs::create_dir_all(dir).expect("the directory can be made");
        let text = fs::read_to_string(cluster.kubeconfig()).expect("the cluster has a kubeconfig");
        let mut bootstrap: Value = serde_json::from_str(&text).expect("the kubeconfig is JSON");
        bootstrap["users"][0]["user"] = json!({ "token": token });
        fs::write(dir.join("bootstrap"), bootstrap.to_string()).expect("the directory is writable");
        let mut agent = Self { dir: dir.to_owned(), name: name.to_owned(), process: None };
        agent.launch(pod_cidr);
        agent
    }

    /// Starts the process again after [`Self::terminate`].
    pub fn launch(&mut self, pod_cidr: &str) {
        let log = self.dir.join("log");
        let log = File::options().create(true).append(true).open(log).expect("the log file opens");
        let mut process = Command::new(wherry_binary())
            .args(["agent", "--network", "loopback", "--node-name", &self.name, "--pod-cidr", pod_cidr])
            .arg("--bootstrap-kubeconfig")
            .arg(self.dir.join("bootstrap"))
            .arg("--data-dir")
            .arg(self.dir.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("wherry starts");
        let stdout = process.stdout.take().expect("stdout is piped");
        self.process = Some(process);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("the agent writes its ready line");
        assert!(line.starts_with("ready in "), "the agent did not get ready:\n{}", self.log());
    }

    /// What the process logged, over all its starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// SIGTERM; answers whether the process drained and exited with 0.
    pub fn terminate(&mut self) -> bool {
        let Some(mut process) = self.process.take() else { return false };
        let pid = Pid::from_raw(i32::try_from(process.id()).expect("a pid fits"));
        kill(pid, Signal::SIGTERM).expect("a child can be signalled");
        process.wait().expect("a child can be awaited").success()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.terminate();
    }
}
