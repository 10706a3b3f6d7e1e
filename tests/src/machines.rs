//! Clusters of several machines.

use std::process::Command;

use tempfile::TempDir;

use crate::{Agent, Cluster, DUAL_STACK, Host, Link, Options, Registry, SIX, wait, wherry_binary};

/// A cluster, whose first machine is the test's own network namespace, with agents on the others. Dropped in this order.
pub struct Machines {
    /// Those of the other machines.
    pub agents: Vec<Agent>,
    /// The control plane and the first machine's node.
    pub cluster: Cluster,
    /// The other machines.
    pub hosts: Vec<Host>,
    /// The first machine's addresses: those of its links, in each family that they have.
    pub routers: Vec<String>,
    _registry: Registry,
    _dirs: Vec<TempDir>,
}

impl Machines {
    /// The names of nodes.
    pub const NODES: [&'static str; 3] = ["node-1", "node-2", "node-3"];

    /// Three machines with addresses of both families: two on one link, the third behind a router, which is the first.
    pub fn three() -> Self {
        let (near, far) = (Link::new("near", "10.9.1"), Link::new("far", "10.9.2"));
        let hosts = vec![near.host(Self::NODES[1], 2), far.host(Self::NODES[2], 2)];
        Self::start(&near, hosts, &DUAL_STACK)
    }

    /// Two machines on one link that have no addresses of IPv4.
    pub fn two_of_six() -> Self {
        let link = Link::of_six("six", "10.9.6");
        let hosts = vec![link.host(Self::NODES[1], 2)];
        Self::start(&link, hosts, &SIX)
    }

    fn start(link: &Link, hosts: Vec<Host>, ranges: &[&str]) -> Self {
        link.is_default();
        let dirs: Vec<_> = (0..=hosts.len())
            .map(|_| tempfile::tempdir().expect("a temporary directory can be made"))
            .collect();
        let registry = Registry::start(dirs[0].path());
        let routers = link.routers();
        let router = if routers[0].contains(':') { format!("[{}]", routers[0]) } else { routers[0].clone() };
        let ranges: Vec<String> = ranges.iter().map(|word| (*word).to_owned()).collect();
        let flags = [vec!["--listen".to_owned(), format!("{router}:6443")], ranges.clone()].concat();
        let cluster = Cluster::start(dirs[0].path(), Options { flags, ..Options::default() });
        let (invitation, mirror) = (invitation(&cluster), format!("http://{router}:5000"));
        let agents = hosts.iter().zip(&dirs[1..]);
        let agents = agents
            .map(|(host, dir)| Agent::on_host(dir.path(), host, &invitation, (&mirror, &ranges)))
            .collect();
        approve_all(&cluster, hosts.len());
        cluster.wait_for("condition=Ready", &["nodes", "--all"]);
        Self { agents, cluster, hosts, routers, _registry: registry, _dirs: dirs }
    }

    /// The addresses of all machines, in each family that they have.
    pub fn addresses(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.routers.iter().map(String::as_str).collect();
        for address in self.hosts.iter().flat_map(|host| [host.address(), host.address6()]) {
            if !all.contains(&address) {
                all.push(address);
            }
        }
        all
    }
}

/// What an agent joins with.
fn invitation(cluster: &Cluster) -> String {
    let mut command = Command::new(wherry_binary());
    command.args(["token", "create", "--ttl", "10m", "--data-dir"]).arg(cluster.data_dir());
    let output = command.output().expect("the binary is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a kubeconfig is text")
}

/// Approves the certificates that nodes serve with.
fn approve_all(cluster: &Cluster, count: usize) {
    wait::until("requests for serving certificates", || {
        let list = cluster.get(&["csr"]);
        let requests = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let serving = requests
            .iter()
            .filter(|request| request["spec"]["signerName"] == "kubernetes.io/kubelet-serving");
        let names: Vec<_> = serving.filter_map(|request| request["metadata"]["name"].as_str()).collect();
        if names.len() < count {
            return Err(format!("{names:?}"));
        }
        cluster.kubectl(&[&["certificate", "approve"], &names[..]].concat());
        Ok(())
    });
}
