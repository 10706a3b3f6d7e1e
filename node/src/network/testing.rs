//! For tests: a network namespace of their own, and little servers and clients in the Pods' namespaces.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use super::{NetworkConfig, NetworkMode};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs a test in new network and mount namespaces.
pub(crate) fn isolated<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("these tests need root");
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        // The files of `ip netns` are the test's own, too.
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        // So are directories in which namespaces stay mounted: they could not be removed.
        mount(Some("tmpfs"), &std::env::temp_dir(), Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
    };
    std::thread::spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// A bridge network on a fresh data directory.
pub(crate) fn bridge_config(data_dir: &Path) -> NetworkConfig {
    NetworkConfig {
        mode: NetworkMode::Bridge,
        pod_cidr: "10.244.3.0/24".parse().unwrap(),
        cluster_cidr: "10.244.0.0/16".parse().unwrap(),
        service_cidr: "10.96.0.0/16".parse().unwrap(),
        data_dir: data_dir.to_owned(),
        cni: None,
    }
}

/// The same with addresses of both families.
pub(crate) fn dual_stack_config(data_dir: &Path) -> NetworkConfig {
    NetworkConfig {
        pod_cidr: "10.244.3.0/24,fd00:244:0:3::/64".parse().unwrap(),
        cluster_cidr: "10.244.0.0/16,fd00:244::/56".parse().unwrap(),
        service_cidr: "10.96.0.0/16,fd00:96::/112".parse().unwrap(),
        ..bridge_config(data_dir)
    }
}

/// The same with addresses of IPv6 alone.
pub(crate) fn six_config(data_dir: &Path) -> NetworkConfig {
    NetworkConfig {
        pod_cidr: "fd00:244:0:3::/64".parse().unwrap(),
        cluster_cidr: "fd00:244::/56".parse().unwrap(),
        service_cidr: "fd00:96::/112".parse().unwrap(),
        ..bridge_config(data_dir)
    }
}

/// Runs something inside a network namespace; what it opens stays in there.
pub(crate) fn inside<T: Send + 'static>(
    netns: Option<&PathBuf>,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let netns = netns.map(|path| File::open(path).unwrap());
    let run = move || {
        if let Some(netns) = netns {
            setns(netns, CloneFlags::CLONE_NEWNET).unwrap();
        }
        work()
    };
    std::thread::spawn(run).join().unwrap()
}

/// A server that answers every connection with its name and the client's address.
pub(crate) fn serve_tcp(netns: Option<&PathBuf>, address: &str, name: &'static str) {
    let address = address.to_owned();
    let listener = inside(netns, move || TcpListener::bind(address).unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = write!(stream, "{name} {}", stream.peer_addr().unwrap().ip());
        }
    });
}

/// What a server of [`serve_tcp`] answers.
pub(crate) fn ask_tcp(netns: Option<&PathBuf>, address: &str) -> io::Result<String> {
    let address: SocketAddr = address.parse().unwrap();
    inside(netns, move || {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })
}

/// A server that answers every datagram with its name.
pub(crate) fn serve_udp(netns: Option<&PathBuf>, address: &str, name: &'static str) {
    let address = address.to_owned();
    let socket = inside(netns, move || UdpSocket::bind(address).unwrap());
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(name.as_bytes(), from);
        }
    });
}

/// A socket for [`ask_udp`]: one flow.
pub(crate) fn udp_client(netns: Option<&PathBuf>, address: &'static str) -> UdpSocket {
    inside(netns, move || {
        let any = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
        let socket = UdpSocket::bind(any).unwrap();
        socket.connect(address).unwrap();
        socket
    })
}

/// What a server of [`serve_udp`] answers.
pub(crate) fn ask_udp(socket: &UdpSocket, patience: Duration) -> io::Result<String> {
    socket.set_read_timeout(Some(patience))?;
    socket.send(b"?")?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}
