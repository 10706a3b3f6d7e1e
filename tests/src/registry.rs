//! A loopback image registry with everything the scripts built pushed to it.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{wait, workspace};

/// The account as `htpasswd -B` writes it.
const ACCOUNTS: &str = "ada:$2b$04$LKQK9P5W12CU70fP279HmOSCloJN1TVNL/a9EQ4CQMz4T7wL5JChq\n";

/// Debian's `docker-registry` on port 5000 of all addresses of the test's network namespace; stopped when dropped.
pub struct Registry {
    process: Child,
}

impl Registry {
    /// Where images are pulled from.
    pub const ADDRESS: &'static str = "127.0.0.1:5000";

    /// Where the same images are pulled from with an account.
    pub const PRIVATE: &'static str = "127.0.0.1:5001";
    /// The user of that account, and the password.
    pub const ACCOUNT: (&'static str, &'static str) = ("ada", "secret");

    /// Starts a registry that keeps its blobs in `dir` and pushes every example and test image to it.
    pub fn start(dir: &Path) -> Self {
        let registry = Self::serve(dir, Self::ADDRESS, "");
        push_images();
        registry
    }

    /// Starts another that has what the one in `dir` has, for those with an account.
    pub fn start_private(dir: &Path) -> Self {
        let accounts = dir.join("accounts");
        std::fs::write(&accounts, ACCOUNTS).expect("the test's directory is writable");
        let auth = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", accounts.display());
        Self::serve(dir, Self::PRIVATE, &auth)
    }

    fn serve(dir: &Path, address: &str, more: &str) -> Self {
        let (_, port) = address.split_once(':').expect("an address has a port");
        let config = dir.join(format!("registry-{port}.yml"));
        let yaml = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: ':{port}'}}\n{more}",
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
        wait::until("the registry to listen", || TcpStream::connect(address).map_err(|e| e.to_string()));
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
