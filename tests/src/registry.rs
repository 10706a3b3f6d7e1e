//! A loopback image registry with everything the scripts built pushed to it.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{wait, workspace};

/// Debian's `docker-registry` on port 5000 of all addresses of the test's network namespace; stopped when dropped.
pub struct Registry {
    process: Child,
}

impl Registry {
    /// Where images are pulled from.
    pub const ADDRESS: &'static str = "127.0.0.1:5000";

    /// Starts a registry that keeps its blobs in `dir` and pushes every example and test image to it.
    pub fn start(dir: &Path) -> Self {
        let config = dir.join("registry.yml");
        let yaml = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: ':5000'}}\n",
            dir.join("registry").display(),
        );
        std::fs::write(&config, yaml).expect("the test's directory is writable");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed by ./setup");
        let registry = Self { process };
        wait::until("the registry to listen", || {
            TcpStream::connect(Self::ADDRESS).map_err(|e| e.to_string())
        });
        push_images();
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn push_images() {
    let pushed = Command::new(workspace().join("scripts/oci-images"))
        .args(["push", Registry::ADDRESS])
        .output()
        .expect("scripts/oci-images runs");
    assert!(pushed.status.success(), "push: {}", String::from_utf8_lossy(&pushed.stderr));
}
