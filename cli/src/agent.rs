//! `wherry agent`: a node of a cluster whose control plane is elsewhere.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use kube::config::Kubeconfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wherry_api::clock::{Clock, SystemClock};
use wherry_node::{Clients, Joining, join, pod_range};

use crate::args::AgentArgs;
use crate::network::NodePrefixes;
use crate::node::{NodePlan, node_result};
use crate::process::Stop;

/// Runs until SIGTERM or SIGINT, then drains.
pub(crate) async fn run(args: AgentArgs, started: tokio::time::Instant) -> anyhow::Result<()> {
    let mut asked = std::pin::pin!(Stop::new()?.asked());
    let mut plan = NodePlan::new(&args.node, NodePrefixes::DEFAULT)?;
    plan.ips = args.node_ip.unwrap_or(plan.ips);
    plan.ingress = args.node.ingress.doors_asked_for();
    let ingress = args.ingress.client(plan.ingress).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let path = &args.bootstrap_kubeconfig;
    let bootstrap = Kubeconfig::read_from(path).with_context(|| format!("cannot use {}", path.display()))?;
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let joining = Joining {
        bootstrap,
        node_name: plan.name.clone(),
        node_ip: plan.ips.ip,
        data_dir: plan.data_dir.clone(),
        clock: clock.clone(),
    };
    let joined = tokio::select! {
        () = &mut asked => return Ok(()),
        joined = join(joining, &tasks, &stop) => joined.context("cannot join the cluster")?,
    };
    plan.network.pod_cidr = if let Some(given) = args.pod_cidr {
        given
    } else {
        tokio::select! {
            () = &mut asked => return Ok(()),
            given = pod_range(joined.client.clone(), &plan.name) => given?,
        }
    };
    let clients = Clients { node: joined.client.clone(), proxy: joined.client.clone(), ingress };
    let config = plan.config(plan.ips.ip, joined.tls, &clock);
    let mut node = tasks.spawn(wherry_node::run(clients, config, stop.clone()));
    let told = async {
        plan.ready(joined.client).await?;
        let line = format!("ready in {} ms: node {}\n", started.elapsed().as_millis(), plan.name);
        std::io::stdout().lock().write_all(line.as_bytes())?;
        std::future::pending::<anyhow::Result<()>>().await
    };
    let ended = tokio::select! {
        () = &mut asked => Ok(None),
        ended = &mut node => Ok(Some(ended)),
        failed = told => failed.map(|()| None),
    };
    tracing::info!("draining");
    stop.cancel();
    let ended = match ended? {
        Some(ended) => ended,
        None => node.await,
    };
    tasks.close();
    tasks.wait().await;
    node_result(ended)
}
