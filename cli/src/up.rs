//! `wherry up`: a whole cluster in one process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wherry_api::clock::{Clock, SystemClock};
use wherry_node::{EndpointTls, NodeEndpoint, NodeError};
use wherry_orchestrator::pki::{Pki, Subjects};
use wherry_orchestrator::{Authorization, Config, ControlPlane, Tokens, UserInfo, kubeconfig};

use crate::args::UpArgs;
use crate::certificate::{endpoint_tls, follow};
use crate::network::{Network, node_ip};
use crate::paths;
use crate::process::{Stop, announce, create_data_dir, listen, new_uid, reachable};

/// What the command line and the machine settled.
struct Plan {
    data_dir: PathBuf,
    node_name: String,
    node_ip: IpAddr,
    network: Network,
}

/// Runs until SIGTERM or SIGINT, then drains.
pub(crate) async fn run(args: UpArgs, started: tokio::time::Instant) -> anyhow::Result<()> {
    let stop = Stop::new()?;
    let plan = Plan::new(&args)?;
    let audit = args.audit.config()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let listener = listen(args.listen).await?;
    let address = listener.local_addr()?;
    let pki = Pki::open(&plan.data_dir.join("pki"), &plan.subjects(address), clock.now())?;
    let config = Config { audit, ..plan.control_plane(listener, &pki, &clock) };
    let plane = ControlPlane::start(config).await?;
    let kubeconfig_path = plan.data_dir.join("kubeconfig");
    kubeconfig::write(&kubeconfig_path, reachable(address), &pki)?;

    let stop_node = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(kubeconfig::keep(kubeconfig_path.clone(), reachable(address), plane.certificates()));
    let (sender, tls) = watch::channel(endpoint_tls(&pki));
    tasks.spawn(follow(plane.certificates(), sender));
    let node = wherry_node::run(
        wherry_node::Clients {
            node: plane.client_as(node_user(&plan.node_name), "kubelet"),
            proxy: plane.client_as(UserInfo::new("system:kube-proxy", &[]), "kube-proxy"),
        },
        plan.node(tls, &clock)?,
        stop_node.clone(),
    );
    let mut node = tasks.spawn(node);
    let client = plane.client("wherry-up", "wherry");
    let serve = async {
        node_ready(client, &plan.node_name).await?;
        announce(started, &kubeconfig_path)?;
        std::future::pending::<anyhow::Result<()>>().await
    };
    let stopped = tokio::select! {
        () = stop.asked() => Ok(None),
        ended = &mut node => Ok(Some(ended)),
        failed = serve => failed.map(|()| None),
    };
    tracing::info!("draining");
    stop_node.cancel();
    let ended = match &stopped {
        Ok(Some(_)) => None,
        Ok(None) | Err(_) => Some(node.await),
    };
    plane.shutdown().await;
    match stopped?.or(ended) {
        Some(ended) => node_result(ended),
        None => Ok(()),
    }
}

/// Who a node is to the API server.
fn node_user(name: &str) -> UserInfo {
    UserInfo::new(&format!("system:node:{name}"), &["system:nodes"])
}

/// Waits until the node says that it takes Pods.
async fn node_ready(client: Client, name: &str) -> anyhow::Result<()> {
    let ready = |node: Option<&Node>| {
        let conditions = node.and_then(|n| n.status.as_ref()).and_then(|s| s.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
    };
    await_condition(Api::all(client), name, ready).await.context("cannot watch the node")?;
    Ok(())
}

fn node_result(ended: Result<Result<(), NodeError>, tokio::task::JoinError>) -> anyhow::Result<()> {
    ended.context("the node agent stopped unexpectedly")?.context("the node agent failed")
}

impl Plan {
    fn new(args: &UpArgs) -> anyhow::Result<Self> {
        let root = rustix::process::geteuid().is_root();
        let data_dir = match &args.data_dir {
            Some(dir) => std::path::absolute(dir)?,
            None => paths::default_data_dir(root, |name| std::env::var_os(name))
                .context("no home directory is set; say where to keep the cluster with --data-dir")?,
        };
        create_data_dir(&data_dir)?;
        let node_name = match &args.node_name {
            Some(name) => name.clone(),
            None => rustix::system::uname().nodename().to_string_lossy().to_lowercase(),
        };
        wherry_api::names::dns1123_subdomain(&node_name).map_err(anyhow::Error::msg).with_context(|| {
            format!("{node_name:?} cannot be the node's name; choose one with --node-name")
        })?;
        let network = Network::resolve(args, root)?;
        Ok(Self { data_dir, node_name, node_ip: node_ip(&network), network })
    }

    fn subjects(&self, address: SocketAddr) -> Subjects {
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut server_addresses = vec![localhost];
        server_addresses.extend(self.network.service_cidr.hosts().next());
        for ip in [address.ip(), self.node_ip] {
            if !ip.is_unspecified() && !server_addresses.contains(&ip) {
                server_addresses.push(ip);
            }
        }
        Subjects {
            server_addresses,
            server_names: vec![self.node_name.clone()],
            node_name: self.node_name.clone(),
            node_addresses: vec![localhost, self.node_ip],
        }
    }

    fn control_plane(&self, listener: TcpListener, pki: &Pki, clock: &Arc<dyn Clock>) -> Config {
        Config {
            data_dir: self.data_dir.clone(),
            listener,
            pki: pki.clone(),
            service_cidr: self.network.service_cidr,
            clock: clock.clone(),
            tokens: Tokens::default(),
            authorization: Authorization::NodeRbac,
            audit: None,
            ids: Arc::new(new_uid),
            node_endpoint: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        }
    }

    fn node(
        &self,
        tls: watch::Receiver<EndpointTls>,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<wherry_node::Config> {
        Ok(wherry_node::Config {
            node_name: self.node_name.clone(),
            data_dir: self.data_dir.clone(),
            network: self.network.mode,
            pod_cidr: self.network.pod_cidr,
            cluster_cidr: self.network.cluster_cidr,
            service_cidr: self.network.service_cidr,
            node_ip: self.node_ip,
            endpoint: NodeEndpoint { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), tls },
            shim_program: std::env::current_exe().context("cannot tell the path of the wherry binary")?,
            max_pods: wherry_node::Config::MAX_PODS,
            endpoint_drain: wherry_node::Config::ENDPOINT_DRAIN,
            clock: clock.clone(),
        })
    }
}
