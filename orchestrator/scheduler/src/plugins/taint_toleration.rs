//! A node's taints keep Pods away that do not tolerate them.

use k8s_openapi::api::core::v1::{Taint, Toleration};

use super::{Change, Filter, Misfit, Normalize, Score};
use crate::cluster::NodeInfo;
use crate::pod::PodInfo;

const REASON: &str = "node(s) had untolerated taint(s)";

pub(super) const FILTER: Filter = Filter { name: "TaintToleration", fits, helped_by: &[Change::NodeTaints] };

/// Fewer taints that would rather not have the Pod are better.
pub(super) const SCORE: Score = Score { rate, normalize: Normalize::Lowest, weight: 3 };

fn fits(pod: &PodInfo, node: &NodeInfo) -> Result<(), Misfit> {
    let mut keeping =
        node.taints().iter().filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"));
    if keeping.all(|taint| pod.tolerations.iter().any(|toleration| tolerates(toleration, taint))) {
        return Ok(());
    }
    Err(Misfit::one(REASON, true))
}

fn rate(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let concerns = |toleration: &&Toleration| {
        toleration.effect.as_deref().is_none_or(|effect| effect.is_empty() || effect == "PreferNoSchedule")
    };
    let tolerations: Vec<_> = pod.tolerations.iter().filter(concerns).collect();
    let untolerated = node.taints().iter().filter(|taint| {
        taint.effect == "PreferNoSchedule"
            && !tolerations.iter().any(|toleration| tolerates(toleration, taint))
    });
    i64::try_from(untolerated.count()).unwrap_or(i64::MAX)
}

/// Whether the toleration covers the taint.
pub(super) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (effect, key) = (given(&toleration.effect), given(&toleration.key));
    if effect.is_some_and(|effect| effect != taint.effect)
        || key.as_ref().is_some_and(|key| *key != taint.key)
    {
        return false;
    }
    let value = taint.value.as_deref().unwrap_or_default();
    let wanted = toleration.value.as_deref().unwrap_or_default();
    match toleration.operator.as_deref().unwrap_or("Equal") {
        "Exists" => true,
        "Equal" | "" => key.is_some() && wanted == value,
        "Lt" => compare(value, wanted).is_some_and(std::cmp::Ordering::is_lt),
        "Gt" => compare(value, wanted).is_some_and(std::cmp::Ordering::is_gt),
        _ => false,
    }
}

fn compare(taint: &str, toleration: &str) -> Option<std::cmp::Ordering> {
    Some(taint.parse::<i64>().ok()?.cmp(&toleration.parse::<i64>().ok()?))
}
