//! What pods may take of the node's disk, and the end of those that take more, as upstream words it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use wherry_runtime_api::ContainerId;
use wherry_runtime_api::disk::DiskUsage;

use super::jobs::{Done, uid};
use super::plan::{Action, Plan, Views, World};
use crate::context::Context;
use crate::runtimes::Handler;

/// How long nobody looks after a look. Nothing tells that a disk fills.
pub(super) const LOOKS_EVERY: Duration = Duration::from_secs(10);
const STORAGE: &str = "ephemeral-storage";

/// What a pod takes of the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Its own volumes, by name.
    pub(crate) volumes: BTreeMap<String, DiskUsage>,
    /// Its containers with their logs, by name.
    pub(crate) containers: BTreeMap<String, DiskUsage>,
}

impl Usage {
    /// All of it together.
    pub(crate) fn total(&self) -> DiskUsage {
        self.volumes.values().chain(self.containers.values()).copied().sum()
    }
}

/// Asks for a look at what the pod takes, if it may not take all it likes.
pub(super) fn plan(world: &World<'_>, views: &Views<'_>, plan: &mut Plan) {
    let running: Vec<_> =
        views.all().filter(|view| view.life.is_alive()).filter_map(|view| view.newest).collect();
    if running.is_empty() || !is_limited(world.pod) {
        return;
    }
    if plan.is_due(world.memory.storage.due(world.now)) {
        let containers = running.iter().map(|running| (running.status.id.clone(), running.handler)).collect();
        plan.actions.push(Action::MeasureStorage { containers });
    }
}

/// Looks at what the pod takes.
pub(super) async fn measure(
    ctx: Arc<Context>,
    pod: Arc<Pod>,
    containers: Vec<(ContainerId, Handler)>,
) -> Option<Done> {
    disk_usage(ctx, pod, containers).await.map(Done::Storage)
}

/// What the pod takes, with its containers that run; `None` if the look was given up.
pub(crate) async fn disk_usage(
    ctx: Arc<Context>,
    pod: Arc<Pod>,
    containers: Vec<(ContainerId, Handler)>,
) -> Option<Usage> {
    let mut usage = Usage::default();
    for (id, handler) in containers {
        // One that ended meanwhile takes nothing worth ending its pod for.
        let written = ctx.runtimes.get(handler).disk_usage(&id).await.unwrap_or_default();
        usage.containers.insert(id.name, written);
    }
    let files = tokio::task::spawn_blocking(move || {
        for (name, taken) in &mut usage.containers {
            *taken = *taken + ctx.logs.usage(&pod, name);
        }
        usage.volumes = ctx.volumes.usage(uid(&pod));
        usage
    });
    files.await.ok()
}

fn is_limited(pod: &Pod) -> bool {
    empty_dirs(pod).next().is_some() || containers(pod).any(|container| limit(container).is_some())
}

/// What the pod takes too much of.
pub(super) fn excess(pod: &Pod, usage: &Usage) -> Option<String> {
    for (name, limit) in empty_dirs(pod) {
        if exceeds(usage.volumes.get(name), limit) {
            return Some(format!("Usage of EmptyDir volume {name:?} exceeds the limit {:?}. ", limit.0));
        }
    }
    let total = containers(pod).filter_map(limit).filter_map(parsed).reduce(|sum, limit| sum + limit);
    let taken = usage.total().bytes;
    if let Some(total) = total.filter(|total| i128::from(taken) > total.value()) {
        return Some(format!(
            "Pod ephemeral local storage usage exceeds the total limit of containers {total}. "
        ));
    }
    containers(pod).find_map(|container| {
        let limit = limit(container)?;
        exceeds(usage.containers.get(&container.name), limit).then(|| {
            format!("Container {} exceeded its local ephemeral storage limit {:?}. ", container.name, limit.0)
        })
    })
}

/// The volumes on disk that have a limit. Those in memory, of whatever pages, are file systems of that size.
fn empty_dirs(pod: &Pod) -> impl Iterator<Item = (&str, &Quantity)> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| {
        let is_on_disk = |medium: &str| medium.is_empty();
        let source =
            volume.empty_dir.as_ref().filter(|source| source.medium.as_deref().is_none_or(is_on_disk))?;
        Some((volume.name.as_str(), source.size_limit.as_ref()?))
    })
}

fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| &spec.containers)
}

fn limit(container: &Container) -> Option<&Quantity> {
    container.resources.as_ref()?.limits.as_ref()?.get(STORAGE)
}

fn exceeds(taken: Option<&DiskUsage>, limit: &Quantity) -> bool {
    taken.zip(parsed(limit)).is_some_and(|(taken, limit)| i128::from(taken.bytes) > limit.value())
}

fn parsed(limit: &Quantity) -> Option<wherry_api::quantity::Quantity> {
    limit.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case::within(&[("v", 900), ("w", 5000)], &[], None)]
    #[case::volume(&[("v", 1100)], &[], Some("Usage of EmptyDir volume \"v\" exceeds the limit \"1k\". "))]
    #[case::container(&[], &[("a", 2100)], Some("Container a exceeded its local ephemeral storage limit \"2k\". "))]
    #[case::pod(
        &[("w", 4000)], &[("a", 2000), ("b", 4500)],
        Some("Pod ephemeral local storage usage exceeds the total limit of containers 10k. ")
    )]
    fn what_is_too_much_is_named(
        #[case] volumes: &[(&str, u64)],
        #[case] containers: &[(&str, u64)],
        #[case] expected: Option<&str>,
    ) {
        let limited = |name: &str, limit: &str| -> Value {
            json!({ "name": name, "resources": { "limits": { STORAGE: limit } } })
        };
        let spec = json!({
            "containers": [limited("a", "2k"), limited("b", "8k")],
            "volumes": [{ "name": "v", "emptyDir": { "sizeLimit": "1k" } }, { "name": "w", "emptyDir": {} },
                { "name": "m", "emptyDir": { "medium": "Memory", "sizeLimit": "1" } },
                { "name": "h", "emptyDir": { "medium": "HugePages-2Mi", "sizeLimit": "1" } }],
        });
        let pod: Pod = serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap();
        let of = |bytes: u64| DiskUsage { bytes, inodes: 1 };
        let by_name = |list: &[(&str, u64)]| {
            list.iter().map(|(name, bytes)| ((*name).to_owned(), of(*bytes))).collect()
        };
        let usage = Usage { volumes: by_name(volumes), containers: by_name(containers) };
        assert_eq!(excess(&pod, &usage).as_deref(), expected);
        assert!(is_limited(&pod));
    }
}
