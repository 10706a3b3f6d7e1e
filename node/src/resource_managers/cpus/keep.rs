//! Has containers that run keep to their processors: what everybody shares is more or less, as some have processors for
//! themselves or give them back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use wherry_runtime_api::{ContainerId, CpuSet, RuntimeError};

use super::Cpus;
use crate::containers::Running;
use crate::context::{Context, chain};

/// How long a container is left where it was, if it could not be told.
const RETRY: Duration = Duration::from_secs(10);

/// Moves containers until `shutdown`; without processors of their own there is nothing to do.
pub(crate) async fn keep(ctx: Arc<Context>, shutdown: CancellationToken) {
    let Some(cpus) = ctx.managers.cpus() else { return };
    let (mut given, mut containers) = (cpus.follow(), ctx.containers.changes());
    let mut told = HashMap::new();
    loop {
        let all_told = settle(&ctx, cpus, &mut told).await;
        tokio::select! {
            () = shutdown.cancelled() => return,
            Ok(()) = given.changed() => {}
            Ok(()) = containers.changed() => {}
            () = tokio::time::sleep(RETRY), if !all_told => {}
        }
    }
}

/// Tells those that run on other processors than they were told last; says whether all know.
async fn settle(ctx: &Context, cpus: &Cpus, told: &mut HashMap<ContainerId, CpuSet>) -> bool {
    let pods = ctx.containers.pods();
    let containers = pods.iter().flat_map(|uid| ctx.containers.of_pod(uid));
    let running: Vec<_> = containers.filter(Running::is_running).collect();
    let ids: HashSet<&ContainerId> = running.iter().map(|container| &container.status.id).collect();
    told.retain(|id, _| ids.contains(id));
    let mut all_told = true;
    for Running { handler, status } in running {
        let wanted = cpus.of(&status.id.sandbox.0, &status.id.name);
        if told.get(&status.id) == Some(&wanted) {
            continue;
        }
        match ctx.runtimes.get(handler).set_cpus(&status.id, &wanted).await {
            Ok(()) => drop(told.insert(status.id, wanted)),
            // It has just ended.
            Err(RuntimeError::NotFound(_) | RuntimeError::NotRunning(_)) => {}
            Err(error) => {
                warn!(container = %status.id, cpus = %wanted, error = %chain(&error), "cannot move a container");
                all_told = false;
            }
        }
    }
    all_told
}
