//! Network namespaces with a name: a file per Pod on which the namespace is mounted.
//!
//! A namespace is made, or entered, by a thread of its own that ends at once: what stays is the mount, and a
//! netlink socket opened inside. The file below the mount holds the namespace's identity, so that an agent
//! restarted in another mount namespace (where the mount is not) finds the namespace through the processes
//! that live in it, and mounts it again.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{NSFS_MAGIC, statfs};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::netlink::Netlink;
use super::{NetworkError, sysctl};

const THIS: &str = "/proc/thread-self/ns/net";

/// What a new namespace is set to before it has an interface.
const SETTINGS: [(&str, &str); 4] = [
    // Any user of a container may bind any port, and ping: there is nothing to protect in a Pod's own stack.
    ("net/ipv4/ip_unprivileged_port_start", "0"),
    ("net/ipv4/ping_group_range", "0 2147483647"),
    // The node routes also between Pods of one bridge; a redirect would lead around the Services' rules.
    ("net/ipv4/conf/all/accept_redirects", "0"),
    ("net/ipv4/conf/default/accept_redirects", "0"),
];

/// What is set besides where Pods have no IPv6 addresses. Only of new interfaces: the loopback interface keeps ::1.
const WITHOUT_SIX: [(&str, &str); 1] = [("net/ipv6/conf/default/disable_ipv6", "1")];

/// What is set where they have, also in a namespace of a time when they had none.
const WITH_SIX: [(&str, &str); 9] = [
    ("net/ipv6/conf/all/accept_redirects", "0"),
    ("net/ipv6/conf/default/accept_redirects", "0"),
    // Addresses are given out once each: nobody has to wait until none was found to have the same, or asks routers for more.
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_ra", "0"),
    ("net/ipv6/conf/default/autoconf", "0"),
    // No addresses of the link: with them Pods of one bridge would reach each other past the node and its rules.
    ("net/ipv6/conf/default/addr_gen_mode", "1"),
    ("net/ipv6/conf/default/disable_ipv6", "0"),
    ("net/ipv6/conf/eth0/disable_ipv6", "0"),
];

/// The folder of all Pods' namespaces.
#[derive(Clone)]
pub(super) struct Namespaces {
    directory: PathBuf,
    six: SixSettings,
}

/// What is set of IPv6 in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SixSettings {
    /// Pods have addresses of it.
    With,
    /// They have none.
    Without,
    /// Whatever others set who connect the Pod.
    OfOthers,
}

/// One namespace and a socket inside it.
pub(super) struct Namespace {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) netlink: Netlink,
}

impl Namespaces {
    /// Uses, and makes, the folder.
    pub(super) fn open(directory: PathBuf, six: SixSettings) -> Result<Self, NetworkError> {
        match fs::create_dir_all(&directory) {
            Ok(()) => Ok(Self { directory, six }),
            Err(source) => Err(failed(&directory, "make the folder")(source)),
        }
    }

    /// Where a Pod's namespace is mounted.
    pub(super) fn path(&self, uid: &str) -> PathBuf {
        self.directory.join(uid)
    }

    /// The Pod's namespace: the one there is, else the one that was made for it, else a new one.
    pub(super) async fn ensure(
        &self,
        uid: &str,
        ip: IpAddr,
        made: Option<&Path>,
    ) -> Result<Namespace, NetworkError> {
        let path = self.directory.join(uid);
        let runtime = Handle::current();
        let (inside, made, six) = (path.clone(), made.map(Path::to_owned), self.six);
        let (file, netlink) = on_thread(&path, move || {
            let _context = runtime.enter();
            let file = enter(&inside, ip, made.as_deref())?;
            set(match six {
                SixSettings::With => &WITH_SIX,
                SixSettings::Without => &WITHOUT_SIX,
                SixSettings::OfOthers => &[],
            })?;
            Ok((file, Netlink::open().map_err(NetworkError::NetlinkSocket)?))
        })
        .await?;
        Ok(Namespace { path, file, netlink })
    }

    /// Unmounts and removes the Pod's namespace, if there is one; it ends with its last process.
    pub(super) fn remove(&self, uid: &str) -> Result<(), NetworkError> {
        let path = self.directory.join(uid);
        match umount2(&path, MntFlags::MNT_DETACH) {
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(error) => return Err(failed(&path, "unmount the file")(error.into())),
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed(&path, "remove the file")(error))
            }
            _ => Ok(()),
        }
    }

    /// The uids of all Pods that have a file here.
    pub(super) fn list(&self) -> Result<Vec<String>, NetworkError> {
        let read = || -> io::Result<Vec<String>> {
            let entries = fs::read_dir(&self.directory)?;
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        };
        read().map_err(failed(&self.directory, "list the folder"))
    }
}

/// Connects to a port on localhost of the namespace mounted at `path`.
pub(super) async fn connect(path: &Path, port: u16) -> Result<TcpStream, NetworkError> {
    let inside = path.to_owned();
    let stream = on_thread(path, move || {
        enter_mounted(&inside)?;
        let addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), (Ipv6Addr::LOCALHOST, port).into()];
        let stream = std::net::TcpStream::connect(&addresses[..1])
            .or_else(|first| std::net::TcpStream::connect(&addresses[1..]).map_err(|_| first));
        let stream = stream.map_err(|source| NetworkError::Connect { port, source })?;
        stream.set_nonblocking(true).map_err(|source| NetworkError::Connect { port, source })?;
        Ok(stream)
    })
    .await?;
    TcpStream::from_std(stream).map_err(|source| NetworkError::Connect { port, source })
}

/// Runs work that changes the thread's network namespace on a thread that ends with it.
async fn on_thread<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, NetworkError> + Send + 'static,
) -> Result<T, NetworkError> {
    let (done, result) = oneshot::channel();
    let thread = std::thread::Builder::new().name("wherry-netns".to_owned()).spawn(move || {
        // Nobody waits any more when the caller was cancelled; what was made is found by the next attempt.
        let _ = done.send(work());
    });
    thread.map_err(failed(path, "start a thread for the set-up"))?;
    let ended = |_| failed(path, "finish the set-up")(io::ErrorKind::BrokenPipe.into());
    result.await.unwrap_or_else(|error| Err(ended(error)))
}

/// Puts the calling thread into the Pod's namespace.
fn enter(path: &Path, ip: IpAddr, made: Option<&Path>) -> Result<File, NetworkError> {
    if is_namespace(path) {
        return enter_mounted(path);
    }
    if !enter_unmounted(path, ip) {
        if let Some(made) = made {
            enter_mounted(made)?;
        } else {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|error| failed(path, "create")(error.into()))?;
        }
        set(&SETTINGS)?;
    }
    let identity = fs::read_link(THIS).map_err(failed(path, "read the identity"))?;
    fs::write(path, identity.as_os_str().as_encoded_bytes()).map_err(failed(path, "make the file"))?;
    mount(Some(THIS), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(|error| failed(path, "mount the file")(error.into()))?;
    File::open(path).map_err(failed(path, "open the file"))
}

fn set(settings: &[(&str, &'static str)]) -> Result<(), NetworkError> {
    settings.iter().try_for_each(|(name, value)| sysctl(name, value))
}

fn enter_mounted(path: &Path) -> Result<File, NetworkError> {
    let file = File::open(path).map_err(failed(path, "open the file"))?;
    setns(&file, CloneFlags::CLONE_NEWNET).map_err(|error| failed(path, "enter")(error.into()))?;
    Ok(file)
}

fn is_namespace(path: &Path) -> bool {
    statfs(path).is_ok_and(|info| info.filesystem_type() == NSFS_MAGIC)
}

/// Enters the namespace the file tells of through a process that lives in it. The kernel gives the identity of
/// a dead namespace to a new one, so the namespace must also have the Pod's address.
fn enter_unmounted(path: &Path, ip: IpAddr) -> bool {
    let Ok(identity) = fs::read(path) else { return false };
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    let namespaces = processes.flatten().map(|process| process.path().join("ns/net"));
    let mut candidates = namespaces.filter(|namespace| {
        fs::read_link(namespace).is_ok_and(|link| link.as_os_str().as_encoded_bytes() == identity)
    });
    let Some(file) = candidates.find_map(|namespace| File::open(namespace).ok()) else { return false };
    setns(&file, CloneFlags::CLONE_NEWNET).is_ok() && UdpSocket::bind((ip, 0)).is_ok()
}

fn failed(path: &Path, step: &'static str) -> impl FnOnce(io::Error) -> NetworkError + use<> {
    let path = path.to_owned();
    move |source| NetworkError::Namespace { step, path, source }
}
