//! What Pods count for: themselves while they have not ended, and what their containers ask for.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::amounts::{add, raise};
use super::read::{amounts, at, int, items, text};
use super::scope::{Scope, crosses_namespaces};
use super::{Amounts, one};
use crate::data::Data;
use crate::quantity::Quantity;

const NAMES: &[&str] = &[
    "pods",
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];
/// What every container must state where a quota limits it. It was a mistake, and is kept for compatibility.
const STATED: &[&str] = &["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
const HUGE: &str = "hugepages-";

/// Whether a quota of this name is about Pods.
pub(super) fn tracks(name: &str) -> bool {
    let bare = name.strip_prefix("requests.");
    NAMES.contains(&name)
        || name.starts_with(HUGE)
        || bare.is_some_and(|bare| bare.starts_with(HUGE) || is_foreign(bare))
}

/// Whether it is a resource that somebody else brings.
fn is_foreign(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/")
}

/// What a Pod takes; nothing but its place in the store once it has ended.
pub(super) fn usage(pod: &dyn Data, now: Timestamp) -> Amounts {
    if is_over(pod, now) {
        return Amounts::new();
    }
    compute(&total(pod, "requests"), &total(pod, "limits"))
}

/// Whether the Pod has ended, or should have and is stuck.
fn is_over(pod: &dyn Data, now: Timestamp) -> bool {
    if matches!(text(pod, "status.phase"), "Failed" | "Succeeded") {
        return true;
    }
    let deleted = text(pod, "metadata.deletionTimestamp").parse::<Timestamp>();
    let grace = int(pod, "metadata.deletionGracePeriodSeconds").map(SignedDuration::from_secs);
    matches!((deleted, grace), (Ok(deleted), Some(grace)) if now.duration_since(deleted) > grace)
}

/// Requests and limits under the names that quotas give them.
fn compute(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut usage = Amounts::from([("pods".to_owned(), one())]);
    for (name, amount) in requests {
        let known = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage");
        if known || name.starts_with(HUGE) {
            usage.insert(name.clone(), *amount);
        }
        if known || name.starts_with(HUGE) || is_foreign(name) {
            usage.insert(format!("requests.{name}"), *amount);
        }
    }
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(amount) = limits.get(name) {
            usage.insert(format!("limits.{name}"), *amount);
        }
    }
    usage
}

/// What a Pod asks for: its containers together, or while it begins, if that is more; what it asks for as a whole
/// replaces that; its overhead comes on top.
fn total(pod: &dyn Data, list: &str) -> Amounts {
    let mut sums = Amounts::new();
    for container in items(pod, "spec.containers") {
        add(&mut sums, &of_container(pod, container, list));
    }
    let (mut sidecars, mut most) = (Amounts::new(), Amounts::new());
    for container in items(pod, "spec.initContainers") {
        let mut needed = of_container(pod, container, list);
        if text(container, "restartPolicy") == "Always" {
            add(&mut sums, &needed);
            add(&mut sidecars, &needed);
            needed.clone_from(&sidecars);
        } else {
            add(&mut needed, &sidecars);
        }
        raise(&mut most, &needed);
    }
    raise(&mut sums, &most);
    let whole = amounts(pod, &format!("spec.resources.{list}"));
    let replaces = |name: &str| matches!(name, "cpu" | "memory") || name.starts_with(HUGE);
    sums.extend(whole.into_iter().filter(|(name, _)| replaces(name)));
    let mut overhead = amounts(pod, "spec.overhead");
    if list == "limits" {
        // Who has no limit gets none by the overhead.
        overhead.retain(|name, _| sums.get(name).is_some_and(|sum| !sum.is_zero()));
    }
    add(&mut sums, &overhead);
    sums
}

/// What a container asks for, or still has while it is being made smaller.
fn of_container(pod: &dyn Data, container: &dyn Data, list: &str) -> Amounts {
    let mut asked = amounts(container, &format!("resources.{list}"));
    let name = text(container, "name");
    let mut statuses = ["containerStatuses", "initContainerStatuses"]
        .into_iter()
        .flat_map(|list| items(pod, &format!("status.{list}")).collect::<Vec<_>>());
    let Some(status) = statuses.find(|status| text(*status, "name") == name) else { return asked };
    let mut has = amounts(status, &format!("resources.{list}"));
    if list == "requests" {
        raise(&mut has, &amounts(status, "allocatedResources"));
    }
    if is_infeasible(pod) && !has.is_empty() {
        return has;
    }
    raise(&mut asked, &has);
    asked
}

/// Whether the node says that the Pod can never have what it asks for now.
fn is_infeasible(pod: &dyn Data) -> bool {
    items(pod, "status.conditions").any(|condition| {
        text(condition, "type") == "PodResizePending" && text(condition, "reason") == "Infeasible"
    })
}

/// Which containers do not state what is limited: `must specify limits.memory for: c; requests.cpu for: c`.
pub(super) fn missing(pod: &dyn Data, limited: &[&str]) -> Option<String> {
    let required: Vec<&str> = STATED.iter().copied().filter(|name| limited.contains(name)).collect();
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in ["spec.containers", "spec.initContainers"].iter().flat_map(|list| items(pod, list)) {
        let stated =
            compute(&amounts(container, "resources.requests"), &amounts(container, "resources.limits"));
        for name in required.iter().filter(|name| !stated.contains_key(**name)) {
            missing.entry(name).or_default().insert(text(container, "name"));
        }
    }
    let say = |(name, containers): (&str, BTreeSet<&str>)| {
        format!("{name} for: {}", containers.into_iter().collect::<Vec<_>>().join(","))
    };
    let told: Vec<String> = missing.into_iter().map(say).collect();
    (!told.is_empty()).then(|| format!("must specify {}", told.join("; ")))
}

/// Whether the scope is about a Pod.
pub(super) fn is_in(scope: &Scope, pod: &dyn Data) -> bool {
    let terminating = || int(pod, "spec.activeDeadlineSeconds").is_some_and(|seconds| seconds >= 0);
    match scope.name.as_str() {
        "Terminating" => terminating(),
        "NotTerminating" => !terminating(),
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => scope.holds_of(&[text(pod, "spec.priorityClassName")]),
        "CrossNamespacePodAffinity" => crosses_namespaces(pod),
        _ => false,
    }
}

/// Whether a Pod asks for nothing. Its status says so once the API server has seen it.
fn is_best_effort(pod: &dyn Data) -> bool {
    let class = text(pod, "status.qosClass");
    if !class.is_empty() {
        return class == "BestEffort";
    }
    let asks = |owner: &dyn Data| {
        let lists = [amounts(owner, "resources.requests"), amounts(owner, "resources.limits")];
        let counts = |name: &str, amount: &Quantity| matches!(name, "cpu" | "memory") && !amount.is_zero();
        lists.iter().flatten().any(|(name, amount)| counts(name, amount))
    };
    let containers = ["spec.containers", "spec.initContainers"];
    !at(pod, "spec").is_some_and(asks) && !containers.iter().flat_map(|list| items(pod, list)).any(asks)
}
