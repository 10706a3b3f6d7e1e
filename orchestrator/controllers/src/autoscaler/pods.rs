//! Which Pods count for a metric, and what they asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt;

use super::config::Autoscaling;
use super::samples::{Sample, Samples, milli};
use crate::objects::pods::{is_failed, is_pending, is_terminating, ready_condition};

/// Values of Pods by name, in thousandths.
pub(super) type Values = BTreeMap<String, i64>;

/// The Pods of a target, as far as a metric is concerned.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Crowd {
    /// What was measured, without Pods whose measure says nothing.
    pub(super) values: Values,
    /// How many Pods count as they were measured.
    pub(super) ready: i64,
    /// Pods that do not do their work yet.
    pub(super) unready: BTreeSet<String>,
    /// Pods of which nothing was measured.
    pub(super) missing: BTreeSet<String>,
}

/// Sorts the Pods. What was measured of Pods that are going or have failed does not count.
pub(super) fn crowd(
    pods: &[Arc<Pod>],
    samples: &Samples,
    is_cpu: bool,
    (options, now): (&Autoscaling, Timestamp),
) -> Crowd {
    let values = samples.iter().map(|(name, sample)| (name.clone(), sample.milli)).collect();
    let mut crowd = Crowd { values, ..Crowd::default() };
    for pod in pods {
        let name = pod.name_any();
        if is_terminating(pod) || is_failed(pod) {
            crowd.values.remove(&name);
        } else if is_pending(pod) {
            crowd.values.remove(&name);
            crowd.unready.insert(name);
        } else if let Some(sample) = samples.get(&name) {
            if is_cpu && is_starting(pod, sample, options, now) {
                crowd.values.remove(&name);
                crowd.unready.insert(name);
            } else {
                crowd.ready += 1;
            }
        } else {
            crowd.missing.insert(name);
        }
    }
    crowd
}

/// Whether a Pod's use of processors is not yet what its work needs.
fn is_starting(pod: &Pod, sample: &Sample, options: &Autoscaling, now: Timestamp) -> bool {
    let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    let (Some(ready), Some(started)) = (ready_condition(pod), started) else { return true };
    let changed = ready.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let since_start = |at: Timestamp| at.duration_since(started.0);
    let is_unready = ready.status == "False";
    if since_start(now) < signed(options.cpu_initialization_period) {
        return is_unready || sample.at.duration_since(changed) < sample.window;
    }
    is_unready && since_start(changed) < signed(options.initial_readiness_delay)
}

fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// How much of a resource each Pod, or its container of this name, asked for.
pub(super) fn requests(pods: &[Arc<Pod>], resource: &str, container: Option<&str>) -> Result<Values, String> {
    let of_pod = |pod: &Arc<Pod>| Ok((pod.name_any(), request(pod, resource, container)?));
    pods.iter().map(of_pod).collect()
}

fn request(pod: &Pod, resource: &str, container: Option<&str>) -> Result<i64, String> {
    let name = pod.name_any();
    let Some(spec) = &pod.spec else { return Ok(0) };
    let init = spec.init_containers.iter().flatten();
    let sidecars = init.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let mut all = spec.containers.iter().chain(sidecars);
    let of =
        |container: &Container| container.resources.as_ref()?.requests.as_ref()?.get(resource).map(milli);
    if let Some(wanted) = container {
        let found = all.find(|container| container.name == wanted);
        let found = found.ok_or_else(|| format!("container {wanted} not found in Pod {name}"))?;
        return of(found).ok_or_else(|| missing(resource, &found.name, &name));
    }
    let whole = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let Some(whole) = whole.filter(|whole| !whole.is_empty()) else {
        let known =
            |container: &Container| of(container).ok_or_else(|| missing(resource, &container.name, &name));
        return all.map(known).sum();
    };
    if let Some(quantity) = whole.get(resource) {
        return Ok(milli(quantity));
    }
    // What the Pod as a whole does not say, its containers do.
    let parts: Vec<i64> = all.filter_map(of).collect();
    let lacking = || format!("missing pod-level request for {resource} in Pod {name}");
    if parts.is_empty() { Err(lacking()) } else { Ok(parts.iter().sum()) }
}

fn missing(resource: &str, container: &str, pod: &str) -> String {
    format!("missing request for {resource} in container {container} of Pod {pod}")
}
