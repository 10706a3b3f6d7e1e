//! The network of a node whose operator has one: plugins of the Container Network Interface, called as containerd does.
//!
//! Every Pod gets a namespace, those of wasm containers too, and an interface `eth0` in it from whatever the first configuration of
//! the directory names. Nothing else of the node is touched: no bridge, no routes, no rules of policies. What plugins did is kept by
//! `wherry-cni`, so an agent that starts again finds its Pods, and can take away those that are gone.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wherry_api::ranges::IpFamily;
use wherry_cni::{Attachment, NetworkList, Outcome, Plugins};

use super::namespace::{Namespaces, SixSettings};
use super::turns::Turns;
use super::{NetworkConfig, NetworkError, PodAddress, PodNetwork, sysctl};
use crate::context::chain;
use crate::file_watch::FileWatch;

const INTERFACE: &str = "eth0";
/// When plugins that can be asked how they are, and a directory that is not there, are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Where configurations and programs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CniDirectories {
    /// The configurations.
    pub conf: PathBuf,
    /// The plugins.
    pub bin: Vec<PathBuf>,
}

/// What plugins are told of a Pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// `CNI_ARGS`.
    pub(crate) args: Vec<(String, String)>,
    /// By the capability that it is for.
    pub(crate) capabilities: BTreeMap<String, Value>,
}

/// See the module.
pub struct CniNetwork {
    directory: PathBuf,
    plugins: Plugins,
    namespaces: Namespaces,
    /// Why no Pod can be connected, if none can.
    trouble: watch::Sender<Option<String>>,
    turns: Turns,
}

impl CniNetwork {
    /// Finds what earlier agents connected, and forgets namespaces of nobody.
    pub(super) async fn open(config: &NetworkConfig, places: &CniDirectories) -> Result<Self, NetworkError> {
        let directory = config.data_dir.join("network");
        let kept = directory.join("cni");
        let plugins =
            Plugins::open(places.bin.clone(), kept).map_err(|error| NetworkError::cni(error.into()))?;
        let namespaces = Namespaces::open(directory.join("netns"), SixSettings::OfOthers)?;
        // Plugins take it for granted.
        sysctl("net/ipv4/ip_forward", "1")?;
        if config.pod_cidr.of(IpFamily::V6).is_some() {
            sysctl("net/ipv6/conf/all/forwarding", "1")?;
        }
        let trouble = watch::Sender::new(None);
        let network =
            Self { directory: places.conf.clone(), plugins, namespaces, trouble, turns: Turns::default() };
        let known = network.known().await;
        for uid in network.namespaces.list()?.into_iter().filter(|uid| !known.contains(uid)) {
            network.namespaces.remove(&uid)?;
        }
        network.look().await;
        if let Ok(list) = NetworkList::load(&network.directory)
            && let Err(error) = network.plugins.collect(&list).await
        {
            tracing::warn!(error = %chain(&error), "plugins could not be told which Pods there are");
        }
        Ok(network)
    }

    /// Connects a Pod, or finds what it has.
    pub(crate) async fn connect(
        &self,
        uid: &str,
        told: Told,
        made: Option<&Path>,
    ) -> Result<PodAddress, NetworkError> {
        let _turn = self.turns.of(uid).await;
        // An address that nobody can have: which namespace it is is told by what plugins did in it.
        let namespace = self.namespaces.ensure(uid, Ipv4Addr::BROADCAST.into(), made).await?;
        let metadata = namespace.file.metadata();
        let netns_id =
            metadata.map_err(|source| NetworkError::netns("identify", &namespace.path, source))?.ino();
        let attached = self.plugins.attached(uid, netns_id).map_err(NetworkError::cni)?;
        // After a restart of the machine a namespace may have the number of another.
        let is_there = namespace.netlink.find(INTERFACE).await?.is_some();
        if let Some(outcome) = attached.filter(|_| is_there) {
            if let Err(error) = self.plugins.check(uid).await {
                // What runs in it keeps its addresses: of some plugins more is amiss with their checks than with what they made.
                tracing::warn!(pod_uid = uid, error = %chain(&error), "plugins do not find the Pod as they left it");
            }
            return address(&outcome, namespace.path);
        }
        // Of a namespace that is gone, or a part of what was to be.
        self.plugins.detach(uid).await.map_err(NetworkError::cni)?;
        let list = NetworkList::load(&self.directory).map_err(NetworkError::NotInitialized)?;
        namespace.netlink.up(namespace.netlink.get("lo").await?.index).await?;
        let attachment = Attachment {
            container_id: uid.to_owned(),
            netns: namespace.path.clone(),
            netns_id,
            interface: INTERFACE.to_owned(),
            args: told.args,
            capabilities: told.capabilities,
        };
        let outcome = self.plugins.attach(&list, &attachment).await.map_err(NetworkError::cni)?;
        address(&outcome, namespace.path)
    }

    /// Looks whether Pods can be connected; says whether only another look could tell that this changed.
    async fn look(&self) -> bool {
        let (trouble, is_asked) = match NetworkList::load(&self.directory) {
            Ok(list) => {
                let status = self.plugins.status(&list).await;
                (status.err().map(|error| chain(&error)), list.tells_status())
            }
            Err(error) => (Some(chain(&NetworkError::NotInitialized(error))), false),
        };
        self.trouble.send_if_modified(|known| {
            let differs = *known != trouble;
            *known = trouble;
            differs
        });
        is_asked
    }

    /// Follows the directory of configurations.
    pub(crate) async fn follow(&self, stop: CancellationToken) {
        let watch = FileWatch::new().ok();
        loop {
            let watched = watch.as_ref().filter(|watch| watch.add_entries(&self.directory).is_ok());
            let looks_again = self.look().await || watched.is_none();
            let changed = async {
                match watched {
                    Some(watch) => drop(watch.changed().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = changed => {}
                () = tokio::time::sleep(LOOK_AGAIN), if looks_again => {}
            }
        }
    }
}

/// What the plugins gave: the first address of each family, as container runtimes choose.
fn address(outcome: &Outcome, netns: PathBuf) -> Result<PodAddress, NetworkError> {
    let ip6 = outcome.ips.iter().find_map(|ip| match ip {
        IpAddr::V6(ip6) => Some(*ip6),
        IpAddr::V4(_) => None,
    });
    let first = outcome.ips.first().copied();
    let ip = outcome.ips.iter().copied().find(IpAddr::is_ipv4).or(first).ok_or(NetworkError::NoAddress)?;
    Ok(PodAddress { ip, ip6: ip6.filter(|ip6| IpAddr::V6(*ip6) != ip), netns: Some(netns) })
}

#[async_trait]
impl PodNetwork for CniNetwork {
    async fn attach(&self, pod_uid: &str, _: bool) -> Result<PodAddress, NetworkError> {
        self.connect(pod_uid, Told::default(), None).await
    }

    async fn attach_made(&self, pod_uid: &str, made: &Path) -> Result<PodAddress, NetworkError> {
        self.connect(pod_uid, Told::default(), Some(made)).await
    }

    async fn detach(&self, pod_uid: &str) -> Result<(), NetworkError> {
        let _turn = self.turns.of(pod_uid).await;
        self.plugins.detach(pod_uid).await.map_err(NetworkError::cni)?;
        self.namespaces.remove(pod_uid)
    }

    fn namespace(&self, pod_uid: &str) -> Option<PathBuf> {
        Some(self.namespaces.path(pod_uid)).filter(|path| path.exists())
    }

    async fn known(&self) -> Vec<String> {
        self.plugins.known().unwrap_or_else(|error| {
            tracing::warn!(error = %chain(&error), "what plugins connected cannot be listed");
            Vec::new()
        })
    }

    fn plugins(&self) -> Option<&CniNetwork> {
        Some(self)
    }

    fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }
}
