//! What the agent is told at its start.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{SetOnce, watch};
use wherry_api::clock::Clock;
use wherry_api::ranges::Ranges;

use crate::admission::Sysctls;
use crate::cgroups::CgroupRoot;
use crate::dns::DnsSettings;
use crate::eviction::EvictionSettings;
use crate::images::{CredentialProviders, ImageLimits, Registries, SignaturePolicy};
use crate::ingress::IngressDoors;
use crate::network::{CniDirectories, Layout, NetworkMode};
use crate::resource_managers::ResourceSettings;
use crate::shutdown::ShutdownGrace;
use crate::static_pods::ManifestUrl;

/// How the agent of one node is set up.
#[derive(Clone)]
pub struct Config {
    /// The Node's name.
    pub node_name: String,
    /// Where everything of this node is kept.
    pub data_dir: PathBuf,
    /// Whether Pods get addresses of a bridge or of the loopback range.
    pub network: NetworkMode,
    /// The Pod addresses of this node.
    pub pod_cidr: Ranges,
    /// The Pod addresses of the cluster.
    pub cluster_cidr: Ranges,
    /// The addresses of Services.
    pub service_cidr: Ranges,
    /// What Pods are told about finding hosts by their names.
    pub dns: DnsSettings,
    /// The address under which this node is reached.
    pub node_ip: IpAddr,
    /// The same of IPv6, if it has one beside.
    pub node_ip6: Option<Ipv6Addr>,
    /// Where logs are served.
    pub endpoint: NodeEndpoint,
    /// How many Pods the scheduler may place here.
    pub max_pods: u32,
    /// How long a ready Pod goes on serving after it was deleted, so that proxies stop sending to it first.
    pub endpoint_drain: Duration,
    /// The longest wait before a container that ended is started again.
    pub max_container_restart_period: Duration,
    /// The kernel settings that Pods may have.
    pub sysctls: Sysctls,
    /// What is kept from Pods, and what containers can have for themselves.
    pub resources: ResourceSettings,
    /// The cgroup that those of Pods are below.
    pub cgroup_root: CgroupRoot,
    /// How Pods end when the agent is asked to stop.
    pub shutdown_grace: ShutdownGrace,
    /// The directory of manifests of static Pods, if there is one.
    pub pod_manifests: Option<PathBuf>,
    /// Where manifests of static Pods are asked for, if somewhere.
    pub manifest_url: Option<ManifestUrl>,
    /// When the node is short of something, and what it then does to its Pods.
    pub eviction: EvictionSettings,
    /// Where images are fetched from.
    pub registries: Arc<Registries>,
    /// Which images may run by whom they are signed.
    pub image_signature_policy: Arc<SignaturePolicy>,
    /// Plugins that know accounts of registries.
    pub credential_providers: Arc<CredentialProviders>,
    /// Where requests are taken for Ingresses.
    pub ingress: IngressDoors,
    /// When images go that nothing uses.
    pub image_limits: ImageLimits,
    /// Plugins that connect Pods instead of the node itself, in bridge mode.
    pub cni: Option<CniDirectories>,
    /// The OCI runtime of Pods whose RuntimeClass names none: a path, or a name looked up in `PATH`.
    pub oci_runtime: PathBuf,
    /// Whether WebAssembly is compiled here, if this build can.
    pub compiles_wasm: bool,
    /// Where Pods of WebAssembly that say so have what they keep by `wasi:keyvalue`.
    pub keyvalue_redis: Option<wherry_wasm_runtime::Redis>,
    /// Set as soon as the Node says what this run has to say of it.
    pub registered: Arc<SetOnce<()>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Config {
    /// The default of [`Config::max_pods`]: wasm Pods are small.
    pub const MAX_PODS: u32 = 500;
    /// The default of [`Config::endpoint_drain`].
    pub const ENDPOINT_DRAIN: Duration = Duration::from_millis(300);
    /// The default of [`Config::max_container_restart_period`].
    pub const MAX_CONTAINER_RESTART_PERIOD: Duration = Duration::from_mins(5);

    /// The addresses under which this node is reached.
    pub(crate) fn node_ips(&self) -> Vec<IpAddr> {
        std::iter::once(self.node_ip).chain(self.node_ip6.map(IpAddr::V6)).collect()
    }

    /// The addresses at which the node itself is: those it is reached at, and the gateways of its Pods.
    pub(crate) fn own_addresses(&self) -> Vec<IpAddr> {
        // Plugins give the node whatever addresses they like.
        let layout = Layout::of(self.pod_cidr).ok().filter(|_| self.cni.is_none());
        let gateways =
            layout.iter().flat_map(|layout| layout.families().map(|family| layout.gateway(family)));
        self.node_ips().into_iter().chain(gateways.flatten()).collect()
    }

    /// The addresses at which this node answers for the cluster's names. One that is no Service's is somebody else's.
    pub(crate) fn own_dns(&self) -> Vec<IpAddr> {
        let servers = self.dns.servers.iter().copied();
        servers.filter(|server| self.service_cidr.contains(*server)).collect()
    }
}

/// The HTTPS endpoint of the node.
#[derive(Clone)]
pub struct NodeEndpoint {
    /// The address to listen on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// What it serves with; nobody is served while there is nothing. New certificates count from the next connection
    /// on.
    pub tls: watch::Receiver<Option<EndpointTls>>,
}

/// What the node's endpoint serves with, as PEM; whoever calls it shows a certificate signed by `client_ca`.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointTls {
    /// The certificate chain of the server.
    pub cert: String,
    /// The private key of the server.
    pub key: String,
    /// The certificates of the authorities that sign clients.
    pub client_ca: String,
}
