//! `wherry apiserver`: the API server by itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::task::TaskTracker;
use wherry_api::clock::{Clock, SystemClock};
use wherry_orchestrator::pki::{Pki, Subjects};
use wherry_orchestrator::{Config, ControlPlane, Tokens, kubeconfig};

use crate::args::ApiserverArgs;
use crate::paths;
use crate::process::{Stop, announce, create_data_dir, listen, new_uid, reachable};

/// Runs until SIGTERM or SIGINT, then drains.
pub(crate) async fn run(args: ApiserverArgs, started: tokio::time::Instant) -> anyhow::Result<()> {
    let stop = Stop::new()?;
    let authorization = args.authorization.config()?;
    let tokens = args.token_auth_file.as_deref().map(tokens).transpose()?.unwrap_or_default();
    let audit = args.audit.config()?;
    let account_tokens = args.account_tokens.tokens()?;
    let authentication = args.authentication.open(account_tokens.issuers.clone())?;
    let front_proxies = args.front_proxies.headers()?;
    let data_dir = data_dir(args.data_dir)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let listener = listen(args.listen).await?;
    let address = listener.local_addr()?;
    let pki =
        Pki::open(&data_dir.join("pki"), &subjects(address, args.service_cidr.hosts().next()), clock.now())?;
    let kubeconfig_path = data_dir.join("kubeconfig");
    kubeconfig::write(&kubeconfig_path, reachable(address), &pki)?;
    let config = Config {
        data_dir,
        listener,
        pki,
        service_cidr: args.service_cidr,
        clock,
        tokens,
        authentication,
        front_proxies,
        account_tokens,
        authorization,
        audit,
        encryption: args.encryption.file(),
        ids: Arc::new(new_uid),
        node_endpoint: None,
    };
    let plane = Box::pin(ControlPlane::start_api(config)).await?;
    let tasks = TaskTracker::new();
    tasks.spawn(kubeconfig::keep(kubeconfig_path.clone(), reachable(address), plane.certificates()));
    announce(started, &kubeconfig_path)?;
    stop.asked().await;
    tracing::info!("draining");
    plane.shutdown().await;
    Ok(())
}

/// The directory given, or the one of this user.
pub(crate) fn data_dir(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let root = rustix::process::geteuid().is_root();
    let path = given.or_else(|| paths::default_data_dir(root, |name| std::env::var_os(name)));
    let path = path.context("no home directory is set; say where to keep the data with --data-dir")?;
    let path = std::path::absolute(path)?;
    create_data_dir(&path)?;
    Ok(path)
}

fn tokens(path: &Path) -> anyhow::Result<Tokens> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Tokens::parse(&text).with_context(|| format!("cannot use {}", path.display()))
}

fn subjects(address: SocketAddr, cluster_ip: Option<IpAddr>) -> Subjects {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut server_addresses = vec![localhost];
    server_addresses.extend(cluster_ip);
    if !address.ip().is_unspecified() && !server_addresses.contains(&address.ip()) {
        server_addresses.push(address.ip());
    }
    Subjects {
        server_addresses,
        server_names: Vec::new(),
        node_name: "localhost".to_owned(),
        node_addresses: vec![localhost],
    }
}
