//! Prefers nodes with more room left.

use super::{Normalize, Score};
use crate::cluster::NodeInfo;
use crate::pod::PodInfo;

pub(super) const SCORE: Score = Score { rate, normalize: Normalize::Not, weight: 1 };

fn rate(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let all = &node.allocatable;
    let shares = [
        (node.scored.cpu.saturating_add(pod.scored.cpu), all.cpu),
        (node.scored.memory.saturating_add(pod.scored.memory), all.memory),
    ];
    let counted: Vec<_> =
        shares.into_iter().filter(|(_, all)| *all > 0).map(|(used, all)| free(used, all)).collect();
    let count = i64::try_from(counted.len()).unwrap_or(1).max(1);
    counted.iter().sum::<i64>() / count
}

/// The part that stays free, from 0 to 100.
fn free(used: i64, all: i64) -> i64 {
    let free = i128::from(all.saturating_sub(used).max(0));
    i64::try_from(free * 100 / i128::from(all)).unwrap_or(0)
}
