//! A Redis of its own for a test, on loopback.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::time::{Duration, sleep, timeout};
use wherry_wasm_runtime::Redis;

use crate::support::PATIENCE;

/// Ends with it.
pub(crate) struct Server {
    pub(crate) port: u16,
    process: Option<Child>,
    dir: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut server = Self { port, process: None, dir: tempfile::tempdir().unwrap() };
        server.run(&[]).await;
        server
    }

    /// Runs it, after it ended too, with what it kept.
    pub(crate) async fn run(&mut self, flags: &[&str]) {
        let port = self.port.to_string();
        let mut command = Command::new("redis-check-rdb");
        command.arg0("redis-server").args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port,
            "--appendonly",
            "yes",
            "--dir",
        ]);
        command.arg(self.dir.path()).args(flags).stdout(Stdio::null());
        self.process = Some(command.spawn().expect("scripts/setup --test installs redis-tools"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let listens = async {
            while TcpStream::connect(address).is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, listens).await.expect("Redis did not start");
    }

    pub(crate) fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Neither answers nor ends.
    pub(crate) fn hang(&self) {
        let id = i32::try_from(self.process.as_ref().unwrap().id()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::STOP).unwrap();
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// As a node knows it.
    pub(crate) fn known(&self, quota: usize) -> Redis {
        Redis::new(&format!("redis://127.0.0.1:{}/3", self.port), None, quota).unwrap()
    }

    /// What it holds, asked past the runtime.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/3", self.port)).unwrap();
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query(&mut client.get_connection().unwrap()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
