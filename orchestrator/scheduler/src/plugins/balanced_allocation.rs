//! Prefers nodes whose CPU and memory are used in equal parts, so that neither is left over alone.

use super::{Normalize, Score};
use crate::cluster::NodeInfo;
use crate::pod::PodInfo;

pub(super) const SCORE: Score = Score { rate, normalize: Normalize::Not, weight: 1 };

/// In millionths.
const WHOLE: i128 = 1_000_000;

fn rate(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let all = &node.allocatable;
    let cpu = part(node.requested.cpu.saturating_add(pod.requests.cpu), all.cpu);
    let memory = part(node.requested.memory.saturating_add(pod.requests.memory), all.memory);
    // Of two parts the standard deviation is half their distance.
    let deviation = cpu.zip(memory).map_or(0, |(cpu, memory)| (cpu - memory).abs() / 2);
    i64::try_from((WHOLE - deviation) * 100 / WHOLE).unwrap_or(0)
}

fn part(used: i64, all: i64) -> Option<i128> {
    (all > 0).then(|| (i128::from(used) * WHOLE / i128::from(all)).min(WHOLE))
}
