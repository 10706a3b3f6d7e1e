//! Prefers nodes whose resources are used in equal parts, so that none is left over alone.

use super::resource_score::shares;
use super::{Ask, float, whole};
use crate::cluster::NodeInfo;

pub(super) fn rate(ask: &Ask<'_>, node: &NodeInfo) -> i64 {
    let (specs, wanted) = (&ask.args.balanced, &ask.template.requests);
    // Pods that ask for nothing would all end on the node that is balanced best.
    if specs.iter().all(|spec| wanted.amount(&spec.name) == 0) {
        return 0;
    }
    let parts = shares(specs, wanted, &node.requested, node);
    let parts = parts.map(|(used, all, _)| (float(used) / float(all)).min(1.0));
    whole((1.0 - deviation(parts)) * 100.0)
}

/// The standard deviation.
fn deviation(parts: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = parts.clone().count();
    let length = float(i64::try_from(count).unwrap_or(i64::MAX));
    match count {
        0 | 1 => 0.0,
        // Of two parts it is half their distance.
        2 => (parts.fold(0.0, |distance, part| part - distance) / 2.0).abs(),
        _ => {
            let mean = parts.clone().sum::<f64>() / length;
            (parts.map(|part| (part - mean) * (part - mean)).sum::<f64>() / length).sqrt()
        }
    }
}
