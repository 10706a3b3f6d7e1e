//! `kubectl proxy`: the API server without TLS, for clients that speak plain HTTP.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// A proxy that runs; ended when dropped.
pub struct Proxy {
    process: Child,
    place: String,
}

impl Proxy {
    /// Runs `kubectl proxy` with these flags; returns when it says where it listens.
    pub fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("kubectl is installed");
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().expect("stdout is piped"))
            .read_line(&mut line)
            .expect("kubectl says where it listens");
        let place = line.trim().strip_prefix("Starting to serve on ").map(str::to_owned);
        Self { process, place: place.unwrap_or_else(|| panic!("{line:?} names no place")) }
    }

    /// Where it listens: an address or a path.
    pub fn place(&self) -> &str {
        &self.place
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // One that has ended by itself has failed the test already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
