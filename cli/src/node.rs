//! What the command line and the machine settle about a node, of `wherry up` as of `wherry agent`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use tokio::sync::{SetOnce, watch};
use wherry_api::clock::Clock;
use wherry_node::{
    CgroupRoot, CniDirectories, CredentialProviders, DnsSettings, EndpointTls, EvictionSettings, ImageLimits,
    IngressDoors, ManifestUrl, NetworkMode, NodeEndpoint, NodeError, Registries, ResourceSettings,
    ShutdownGrace, SignaturePolicy, Sysctls,
};
use wherry_wasm_runtime::Redis;

use crate::args::NodeArgs;
use crate::network::{Addresses, Network, NodePrefixes, node_ips};

/// A node to be run.
pub(crate) struct NodePlan {
    pub(crate) data_dir: PathBuf,
    pub(crate) name: String,
    pub(crate) ips: Addresses,
    pub(crate) network: Network,
    pub(crate) cluster_domain: String,
    pub(crate) max_pods: u32,
    pub(crate) max_container_restart_period: Duration,
    pub(crate) sysctls: Sysctls,
    pub(crate) resources: ResourceSettings,
    pub(crate) cgroup_root: CgroupRoot,
    cni: Option<CniDirectories>,
    oci_runtime: PathBuf,
    pub(crate) pod_manifests: Option<PathBuf>,
    manifest_url: Option<ManifestUrl>,
    pub(crate) shutdown_grace: ShutdownGrace,
    pub(crate) eviction: EvictionSettings,
    pub(crate) registries: Arc<Registries>,
    image_signature_policy: Arc<SignaturePolicy>,
    pub(crate) credential_providers: Arc<CredentialProviders>,
    pub(crate) image_limits: ImageLimits,
    compiles_wasm: bool,
    keyvalue_redis: Option<Redis>,
    pub(crate) ingress: IngressDoors,
    registered: Arc<SetOnce<()>>,
}

impl NodePlan {
    pub(crate) fn new(args: &NodeArgs, prefixes: NodePrefixes) -> anyhow::Result<Self> {
        let root = rustix::process::geteuid().is_root();
        let data_dir = args.data_dir.clone().open()?;
        let name = match &args.node_name {
            Some(name) => name.clone(),
            None => rustix::system::uname().nodename().to_string_lossy().to_lowercase(),
        };
        wherry_api::names::dns1123_subdomain(&name)
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("{name:?} cannot be the node's name; choose one with --node-name"))?;
        let network = Network::resolve(args, prefixes, root)?;
        let max_container_restart_period = Duration::from_secs(args.max_container_restart_period);
        let sysctls = Sysctls::allowing(&args.allowed_unsafe_sysctls)
            .context("--allowed-unsafe-sysctls cannot be used")?;
        let eviction = args.eviction_settings().context("the flags about eviction cannot be used")?;
        Ok(Self {
            data_dir,
            name,
            ips: node_ips(&network),
            network,
            cluster_domain: cluster_domain(&args.cluster_domain)?,
            max_pods: args.max_pods,
            max_container_restart_period,
            sysctls,
            resources: args.resources.settings()?,
            cgroup_root: args.cgroup_root.clone(),
            cni: cni(args, &network)?,
            oci_runtime: args.oci_runtime.clone(),
            pod_manifests: args.pod_manifest_path.clone(),
            manifest_url: args.manifest_url.url()?,
            shutdown_grace: args.shutdown.grace()?,
            eviction,
            registries: args.images.registries()?,
            image_signature_policy: args.images.signature_policy()?,
            credential_providers: args.images.credential_providers()?,
            image_limits: args.images.limits()?,
            compiles_wasm: args.images.compile_wasm,
            keyvalue_redis: args.keyvalue.redis()?,
            ingress: IngressDoors::default(),
            registered: Arc::default(),
        })
    }

    /// Waits until the node says that it takes Pods: by what this run has told of it, not by what one before left.
    pub(crate) async fn ready(&self, client: Client) -> anyhow::Result<()> {
        self.registered.wait().await;
        await_condition(Api::all(client), &self.name, is_ready).await.context("cannot watch the node")?;
        Ok(())
    }

    /// How the agent is set up that serves at this address.
    pub(crate) fn config(
        &self,
        listen: IpAddr,
        tls: watch::Receiver<Option<EndpointTls>>,
        clock: &Arc<dyn Clock>,
    ) -> wherry_node::Config {
        wherry_node::Config {
            node_name: self.name.clone(),
            data_dir: self.data_dir.clone(),
            network: self.network.mode,
            pod_cidr: self.network.pod_cidr,
            cluster_cidr: self.network.cluster_cidr,
            service_cidr: self.network.service_cidr,
            dns: DnsSettings {
                domain: self.cluster_domain.clone(),
                servers: self.network.dns.iter().collect(),
            },
            node_ip: self.ips.ip,
            node_ip6: self.ips.ip6,
            endpoint: NodeEndpoint { listen: SocketAddr::from((listen, 0)), tls },
            max_pods: self.max_pods,
            endpoint_drain: wherry_node::Config::ENDPOINT_DRAIN,
            max_container_restart_period: self.max_container_restart_period,
            sysctls: self.sysctls.clone(),
            resources: self.resources.clone(),
            cgroup_root: self.cgroup_root.clone(),
            pod_manifests: self.pod_manifests.clone(),
            manifest_url: self.manifest_url.clone(),
            shutdown_grace: self.shutdown_grace.clone(),
            eviction: self.eviction.clone(),
            registries: self.registries.clone(),
            image_signature_policy: self.image_signature_policy.clone(),
            credential_providers: self.credential_providers.clone(),
            image_limits: self.image_limits,
            compiles_wasm: self.compiles_wasm,
            keyvalue_redis: self.keyvalue_redis.clone(),
            ingress: self.ingress,
            cni: self.cni.clone(),
            oci_runtime: self.oci_runtime.clone(),
            registered: self.registered.clone(),
            clock: clock.clone(),
        }
    }
}

/// Where plugins connect Pods.
fn cni(args: &NodeArgs, network: &Network) -> anyhow::Result<Option<CniDirectories>> {
    let Some(conf) = &args.cni_conf_dir else { return Ok(None) };
    ensure!(
        network.mode == NetworkMode::Bridge,
        "--cni-conf-dir needs root and --network bridge: plugins make network namespaces"
    );
    let absolute =
        |path: &PathBuf| std::path::absolute(path).context("--cni-conf-dir and --cni-bin-dir cannot be used");
    let bin = args.cni_bin_dir.iter().map(absolute).collect::<anyhow::Result<_>>()?;
    Ok(Some(CniDirectories { conf: absolute(conf)?, bin }))
}

fn cluster_domain(given: &str) -> anyhow::Result<String> {
    let domain = given.trim_end_matches('.');
    wherry_api::names::dns1123_subdomain(domain)
        .map_err(anyhow::Error::msg)
        .with_context(|| format!("--cluster-domain {given:?} cannot be a domain"))?;
    Ok(domain.to_owned())
}

fn is_ready(node: Option<&Node>) -> bool {
    let conditions = node.and_then(|node| node.status.as_ref()).and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}

/// How the agent ended.
pub(crate) fn node_result(
    ended: Result<Result<(), NodeError>, tokio::task::JoinError>,
) -> anyhow::Result<()> {
    ended.context("the node agent stopped unexpectedly")?.context("the node agent failed")
}
