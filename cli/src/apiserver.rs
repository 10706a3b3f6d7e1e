//! `wherry apiserver`: the API server by itself.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::task::TaskTracker;
use wherry_api::clock::{Clock, SystemClock};
use wherry_api::ranges::{IpFamily, numbered};
use wherry_orchestrator::pki::{Pki, Subjects};
use wherry_orchestrator::{
    Config, ControlPlane, ControllerOptions, SchedulerConfiguration, Tokens, kubeconfig,
};

use crate::args::ApiserverArgs;
use crate::network::routed_source;
use crate::process::{BUILD, Stop, announce, new_uid};
use crate::serving::{Machine, Serving};

/// Runs until SIGTERM or SIGINT, then drains.
pub(crate) async fn run(args: ApiserverArgs, started: tokio::time::Instant) -> anyhow::Result<()> {
    let stop = Stop::new()?;
    let authorization = args.authorization.config()?;
    let tokens = args.token_auth_file.as_deref().map(tokens).transpose()?.unwrap_or_default();
    let server = args.server;
    let audit = server.audit.config()?;
    let account_tokens = server.account_tokens.tokens()?;
    let authentication = server.authentication.open(account_tokens.issuers.clone())?;
    let front_proxies = args.front_proxies.headers()?;
    let data_dir = args.data_dir.open()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ip = routed_source(IpFamily::of(args.service_cidr.primary().addr()));
    let serving = Serving::open(&server.listen, Machine { gateway: None, ip }).await?;
    let subjects = subjects(serving.names(numbered(args.service_cidr.primary(), 1)));
    let pki = Pki::open(&data_dir.join("pki"), &subjects, clock.now())?;
    let (kubeconfig_path, address) = (data_dir.join("kubeconfig"), serving.reachable());
    kubeconfig::write(&kubeconfig_path, address, &pki)?;
    let config = Config {
        data_dir,
        address: serving.address,
        listeners: serving.listeners,
        advertised: serving.advertised,
        pki,
        service_cidr: args.service_cidr,
        cluster_dns: Vec::new(),
        clock,
        tokens,
        authentication,
        front_proxies,
        account_tokens,
        authorization,
        audit,
        encryption: server.encryption.file(),
        runtime_config: server.runtime_config,
        controllers: ControllerOptions::default(),
        scheduler: SchedulerConfiguration::default(),
        ids: Arc::new(new_uid),
        build: BUILD,
        node_endpoint: None,
    };
    let plane = Box::pin(ControlPlane::start_api(config)).await?;
    let tasks = TaskTracker::new();
    tasks.spawn(kubeconfig::keep(kubeconfig_path.clone(), address, plane.certificates()));
    announce(started, &kubeconfig_path)?;
    stop.asked().await;
    tracing::info!("draining");
    plane.shutdown().await;
    Ok(())
}

fn tokens(path: &Path) -> anyhow::Result<Tokens> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Tokens::parse(&text).with_context(|| format!("cannot use {}", path.display()))
}

fn subjects(server_addresses: Vec<IpAddr>) -> Subjects {
    Subjects {
        server_addresses,
        server_names: Vec::new(),
        node_name: "localhost".to_owned(),
        node_addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
    }
}
