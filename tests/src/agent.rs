//! One `wherry agent`, which joins a cluster by a bootstrap token.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::{Value, json};

use crate::cluster::ENOUGH_DISK;
use crate::process::{launch, read, terminate};
use crate::{Cluster, wherry_binary};

/// A running agent in loopback mode; stopped when dropped.
pub struct Agent {
    dir: PathBuf,
    name: String,
    process: Option<Child>,
}

impl Agent {
    /// Starts an agent whose data is in `dir`; returns when its node is ready.
    pub fn start(dir: &Path, cluster: &Cluster, name: &str, token: &str) -> Self {
        fs::create_dir_all(dir).expect("the directory can be made");
        let text = fs::read_to_string(cluster.kubeconfig()).expect("the cluster has a kubeconfig");
        let mut bootstrap: Value = serde_json::from_str(&text).expect("the kubeconfig is JSON");
        bootstrap["users"][0]["user"] = json!({ "token": token });
        fs::write(dir.join("bootstrap"), bootstrap.to_string()).expect("the directory is writable");
        let mut agent = Self { dir: dir.to_owned(), name: name.to_owned(), process: None };
        agent.launch();
        agent
    }

    /// Starts the process again after [`Self::terminate`].
    pub fn launch(&mut self) {
        let mut command = Command::new(wherry_binary());
        command
            .arg("agent")
            .args(ENOUGH_DISK)
            .args(["--network", "loopback", "--node-name", &self.name])
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
    }
}
