//! A bus of a test's own, which is dbus-daemon's.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::address::Address;

const CONFIG: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=SOCKET</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>"#;

/// A bus that ends with this.
#[derive(Debug)]
pub struct Bus {
    process: Child,
    /// Where it is.
    pub address: Address,
}

impl Bus {
    /// Starts a bus whose socket is in the directory; returns when it takes connections.
    ///
    /// # Panics
    /// If there is no dbus-daemon, or it does not start.
    pub fn start(dir: &Path) -> Self {
        let (socket, config) = (dir.join("bus"), dir.join("bus.conf"));
        let written = std::fs::write(&config, CONFIG.replace("SOCKET", &socket.to_string_lossy()));
        written.expect("a file can be written");
        let mut process = Command::new("dbus-daemon")
            .args(["--nofork", "--print-address=1", "--config-file"])
            .arg(&config)
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon is missing: run scripts/setup --test");
        let mut told = String::new();
        let output = process.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut told).expect("it tells where it is");
        Self { process, address: told.trim().parse().expect("it tells its address") }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
