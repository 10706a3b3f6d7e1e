//! Which Pod holds which address: two pools of addresses and the journal that survives the agent.
//!
//! Guarantees:
//! - An address is written down before it is handed out, and no two Pods hold the same one.
//! - An address given back is handed out again only after every other free one, so that what still
//!   remembers its last holder (connections, caches, the rules of other nodes) has time to forget.
//! - A killed agent loses nothing: the journal is appended to with one write per change, a torn last line is
//!   a change nobody was told about. After a power loss no Pod is left, so nothing is synced per change.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use parking_lot::Mutex;
use wherry_api::ranges::numbered;

use super::NetworkError;
use super::layout::bits;

/// An address somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// The address.
    pub(super) ip: IpAddr,
    /// Whether it is from the pool of Pods with a network namespace.
    pub(super) netns: bool,
}

/// The addresses of one kind of Pod, free ones in the order they are handed out: never used ones first.
#[derive(Debug)]
pub(super) struct Pool {
    range: IpNet,
    /// The addresses that Pods may have, by their numbers within the range.
    hosts: Range<u32>,
    /// The lowest of them that was never handed out.
    fresh: u32,
    returned: VecDeque<IpAddr>,
}

impl Pool {
    /// A pool of these numbers of a range.
    pub(super) fn new(range: IpNet, hosts: Range<u32>) -> Self {
        let fresh = hosts.start;
        Self { range, hosts, fresh, returned: VecDeque::new() }
    }

    /// A pool without addresses.
    pub(super) fn empty(range: IpNet) -> Self {
        Self::new(range, 0..0)
    }

    /// The number of an address that is of this pool.
    fn number(&self, ip: IpAddr) -> Option<u32> {
        let within = self.range.contains(&ip).then(|| bits(ip) - bits(self.range.network()))?;
        u32::try_from(within).ok().filter(|number| self.hosts.contains(number))
    }

    fn contains(&self, ip: IpAddr) -> bool {
        self.number(ip).is_some()
    }

    /// The address that is next to be handed out.
    fn next(&self) -> Option<IpAddr> {
        if self.fresh < self.hosts.end {
            return numbered(self.range, self.fresh);
        }
        self.returned.front().copied()
    }

    /// Removes one address from the free ones.
    fn take(&mut self, ip: IpAddr) {
        let Some(number) = self.number(ip) else { return };
        if number >= self.fresh {
            let range = self.range;
            self.returned.extend((self.fresh..number).filter_map(|number| numbered(range, number)));
            self.fresh = number + 1;
        } else {
            self.returned.retain(|free| *free != ip);
        }
    }

    fn give_back(&mut self, ip: IpAddr) {
        self.take(ip);
        self.returned.push_back(ip);
    }

    fn exhausted(&self) -> NetworkError {
        NetworkError::Exhausted { range: self.range.to_string(), size: self.hosts.len() }
    }
}

/// The numbers of a range that hosts may have: all but the first and the last.
pub(super) fn host_addresses(range: IpNet) -> Range<u32> {
    1..u32::try_from(bits(range.broadcast()) - bits(range.network())).unwrap_or(u32::MAX)
}

/// The addresses of all Pods of this node.
pub(super) struct Ipam {
    state: Mutex<State>,
}

struct State {
    namespaced: Pool,
    local: Pool,
    held: BTreeMap<String, Lease>,
    journal: Journal,
}

impl Ipam {
    /// Reads the journal in `directory`; leases outside both pools are dropped.
    pub(super) fn open(directory: &Path, namespaced: Pool, local: Pool) -> Result<Self, NetworkError> {
        let path = directory.join("addresses");
        let failed = |step| move |source| NetworkError::Journal { step, path: path.clone(), source };
        fs::create_dir_all(directory).map_err(failed.clone()("create the folder of"))?;
        let text = match fs::read(directory.join("addresses")) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed("read")(error)),
        };
        let journal = Journal { path: directory.join("addresses"), file: None, lines: 0 };
        let mut state = State { namespaced, local, held: BTreeMap::new(), journal };
        state.replay(&text);
        state.rewrite()?;
        Ok(Self { state: Mutex::new(state) })
    }

    /// The Pod's address: the one it holds, else a new one.
    pub(super) fn allocate(&self, uid: &str, needs_netns: bool) -> Result<Lease, NetworkError> {
        check_uid(uid)?;
        let mut state = self.state.lock();
        if let Some(lease) = state.held.get(uid) {
            // A namespace serves a Pod that does not need one just as well.
            let fits = lease.netns || !needs_netns;
            return if fits {
                Ok(*lease)
            } else {
                Err(NetworkError::NamespaceNeeded { uid: uid.to_owned() })
            };
        }
        let pool = if needs_netns { &state.namespaced } else { &state.local };
        let ip = pool.next().ok_or_else(|| pool.exhausted())?;
        state.record(&format!("+ {ip} {uid}\n"))?;
        state.hold(uid, ip);
        Ok(Lease { ip, netns: needs_netns })
    }

    /// What the Pod holds.
    pub(super) fn get(&self, uid: &str) -> Option<Lease> {
        self.state.lock().held.get(uid).copied()
    }

    /// Gives the Pod's address back, if it holds one.
    pub(super) fn release(&self, uid: &str) -> Result<(), NetworkError> {
        let mut state = self.state.lock();
        let Some(lease) = state.held.get(uid).copied() else { return Ok(()) };
        state.record(&format!("- {}\n", lease.ip))?;
        state.drop_lease(uid);
        state.compact()
    }

    /// All Pods that hold an address.
    pub(super) fn known(&self) -> Vec<String> {
        self.state.lock().held.keys().cloned().collect()
    }

    /// All leases, by Pod.
    pub(super) fn leases(&self) -> BTreeMap<String, Lease> {
        self.state.lock().held.clone()
    }
}

impl State {
    fn pool(&mut self, ip: IpAddr) -> Option<&mut Pool> {
        [&mut self.namespaced, &mut self.local].into_iter().find(|pool| pool.contains(ip))
    }

    fn hold(&mut self, uid: &str, ip: IpAddr) {
        let netns = self.namespaced.contains(ip);
        if let Some(pool) = self.pool(ip) {
            pool.take(ip);
            self.held.insert(uid.to_owned(), Lease { ip, netns });
        }
    }

    fn drop_lease(&mut self, uid: &str) {
        let Some(lease) = self.held.remove(uid) else { return };
        if let Some(pool) = self.pool(lease.ip) {
            pool.give_back(lease.ip);
        }
    }

    fn replay(&mut self, text: &str) {
        // What follows the last line end is a change that was being written when the agent died.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            if self.replay_line(line).is_none() {
                tracing::warn!(line, "ignored a damaged line in the journal of Pod addresses");
            }
        }
    }

    fn replay_line(&mut self, line: &str) -> Option<()> {
        let (change, rest) = line.split_once(' ')?;
        match change {
            "+" => {
                let (ip, uid) = rest.split_once(' ')?;
                let ip: IpAddr = ip.parse().ok()?;
                check_uid(uid).ok()?;
                let free = self.held.iter().all(|(holder, lease)| holder != uid && lease.ip != ip);
                free.then(|| self.hold(uid, ip))
            }
            "-" => {
                let ip: IpAddr = rest.parse().ok()?;
                self.held.retain(|_, lease| lease.ip != ip);
                if let Some(pool) = self.pool(ip) {
                    pool.give_back(ip);
                }
                Some(())
            }
            _ => None,
        }
    }

    fn record(&mut self, line: &str) -> Result<(), NetworkError> {
        if self.journal.file.is_none() {
            self.rewrite()?;
        }
        self.journal.append(line)
    }

    fn compact(&mut self) -> Result<(), NetworkError> {
        let live = self.held.len() + self.namespaced.returned.len() + self.local.returned.len();
        if self.journal.lines > 2 * live + 1024 { self.rewrite() } else { Ok(()) }
    }

    /// Replaces the journal by the shortest one that says the same.
    fn rewrite(&mut self) -> Result<(), NetworkError> {
        let returned = self.namespaced.returned.iter().chain(&self.local.returned);
        let mut lines: Vec<String> = returned.map(|ip| format!("- {ip}\n")).collect();
        lines.extend(self.held.iter().map(|(uid, lease)| format!("+ {} {uid}\n", lease.ip)));
        self.journal.replace(&lines)
    }
}

/// The file. After a failed write its end is unknown, so `file` is dropped and the next change rewrites it.
struct Journal {
    path: PathBuf,
    file: Option<File>,
    lines: usize,
}

impl Journal {
    fn append(&mut self, line: &str) -> Result<(), NetworkError> {
        let Some(mut file) = self.file.take() else {
            return Err(self.failed("append to")(io::ErrorKind::NotFound.into()));
        };
        file.write_all(line.as_bytes()).map_err(self.failed("append to"))?;
        self.file = Some(file);
        self.lines += 1;
        Ok(())
    }

    fn replace(&mut self, lines: &[String]) -> Result<(), NetworkError> {
        self.file = None;
        let new = self.path.with_extension("new");
        let written = (|| {
            let mut file = File::create(&new)?;
            file.write_all(lines.concat().as_bytes())?;
            file.sync_data()?;
            fs::rename(&new, &self.path)?;
            OpenOptions::new().append(true).open(&self.path)
        })();
        self.file = Some(written.map_err(self.failed("rewrite"))?);
        self.lines = lines.len();
        Ok(())
    }

    fn failed(&self, step: &'static str) -> impl FnOnce(io::Error) -> NetworkError + use<> {
        let path = self.path.clone();
        move |source| NetworkError::Journal { step, path, source }
    }
}

/// A uid is a word of the journal and the name of a file.
fn check_uid(uid: &str) -> Result<(), NetworkError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=128).contains(&uid.len()) && uid.bytes().all(allowed) && !uid.starts_with('.') {
        return Ok(());
    }
    Err(NetworkError::PodUid { uid: uid.to_owned() })
}

#[cfg(test)]
#[path = "ipam_tests.rs"]
mod tests;
