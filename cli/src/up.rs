//! `wherry up`: a whole cluster in one process.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wherry_api::clock::{Clock, SystemClock};
use wherry_api::ingress;
use wherry_api::kinds::SwitchedOn;
use wherry_api::ranges::numbered;
use wherry_orchestrator::pki::{Pki, Subjects};
use wherry_orchestrator::{
    AccountTokens, Authentication, Authorization, Config, ControlPlane, ControllerOptions,
    SchedulerConfiguration, Tokens, UserInfo, kubeconfig, scheduler_configuration,
};

use crate::args::UpArgs;
use crate::certificate::{endpoint_tls, follow};
use crate::node::{NodePlan, node_result};
use crate::process::{BUILD, Stop, announce, new_uid};
use crate::serving::{Machine, Serving};

/// Runs until SIGTERM or SIGINT, then drains.
pub(crate) async fn run(args: UpArgs, started: tokio::time::Instant) -> anyhow::Result<()> {
    let stop = Stop::new()?;
    let mut plan = NodePlan::new(&args.node, args.controllers.prefixes())?;
    plan.ingress = args.node.ingress.doors(args.controllers.gateway_api);
    let server = args.server;
    let audit = server.audit.config()?;
    let scheduler = scheduler_configuration(args.scheduler_config.as_deref())?;
    let account_tokens = server.account_tokens.tokens()?;
    let authentication = server.authentication.open(account_tokens.issuers.clone())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let machine = Machine { gateway: plan.network.gateway(), ip: Some(plan.ips.ip) };
    let serving = Serving::open(&server.listen, machine).await?;
    let address = serving.reachable();
    let pki = Pki::open(&plan.data_dir.join("pki"), &plan.subjects(&serving), clock.now())?;
    let config = Config {
        audit,
        account_tokens,
        authentication,
        encryption: server.encryption.file(),
        runtime_config: server.runtime_config,
        controllers: args.controllers.options(&plan.network)?,
        scheduler,
        ..plan.control_plane(serving, &pki, &clock)
    };
    let plane = Box::pin(ControlPlane::start(config)).await?;
    let kubeconfig_path = plan.data_dir.join("kubeconfig");
    kubeconfig::write(&kubeconfig_path, address, &pki)?;

    let stop_node = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(kubeconfig::keep(kubeconfig_path.clone(), address, plane.certificates()));
    let (sender, tls) = watch::channel(Some(endpoint_tls(&pki)));
    tasks.spawn(follow(plane.certificates(), sender));
    let node = wherry_node::run(
        wherry_node::Clients {
            node: plane.client_as(node_user(&plan.name), "kubelet"),
            proxy: plane.client_as(UserInfo::new("system:kube-proxy", &[]), "kube-proxy"),
            ingress: Some(plane.client_as(ingress_user(), ingress::ACCOUNT)),
        },
        plan.config(IpAddr::V4(Ipv4Addr::LOCALHOST), tls, &clock),
        stop_node.clone(),
    );
    let mut node = tasks.spawn(node);
    let client = plane.client("wherry-up", "wherry");
    let serve = async {
        plan.ready(client).await?;
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

/// Who the Ingress controller is to the API server.
fn ingress_user() -> UserInfo {
    let name = format!("system:serviceaccount:kube-system:{}", ingress::ACCOUNT);
    UserInfo::new(&name, &["system:serviceaccounts", "system:serviceaccounts:kube-system"])
}

impl NodePlan {
    fn subjects(&self, serving: &Serving) -> Subjects {
        let others = numbered(self.network.service_cidr.primary(), 1).into_iter().chain([self.ips.ip]);
        Subjects {
            server_addresses: serving.names(others),
            server_names: vec![self.name.clone(), format!("kubernetes.default.svc.{}", self.cluster_domain)],
            node_name: self.name.clone(),
            node_addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST), self.ips.ip],
        }
    }

    fn control_plane(&self, serving: Serving, pki: &Pki, clock: &Arc<dyn Clock>) -> Config {
        Config {
            data_dir: self.data_dir.clone(),
            address: serving.address,
            listeners: serving.listeners,
            advertised: serving.advertised,
            pki: pki.clone(),
            service_cidr: self.network.service_cidr,
            cluster_dns: self.network.own_dns(),
            clock: clock.clone(),
            tokens: Tokens::default(),
            authentication: Authentication::default(),
            front_proxies: None,
            account_tokens: AccountTokens::default(),
            authorization: Authorization::NodeRbac,
            audit: None,
            encryption: None,
            controllers: ControllerOptions::default(),
            scheduler: SchedulerConfiguration::default(),
            runtime_config: SwitchedOn::default(),
            ids: Arc::new(new_uid),
            build: BUILD,
            node_endpoint: Some((self.name.clone(), IpAddr::V4(Ipv4Addr::LOCALHOST))),
        }
    }
}
