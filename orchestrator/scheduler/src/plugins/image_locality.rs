//! Prefers nodes that have the Pod's images already.
//!
//! An image counts by its size, and less if few nodes have it, so that Pods do not heap up where it came first.

use super::Ask;
use crate::cluster::NodeInfo;

const MIB: i64 = 1024 * 1024;
/// Smaller images are fetched in no time.
const LEAST: i64 = 23 * MIB;
/// Larger ones, for each container, make no more difference.
const MOST: i64 = 1000 * MIB;

pub(super) fn rate(ask: &Ask<'_>, node: &NodeInfo) -> i64 {
    let images = &ask.template.images;
    if node.images.is_empty() || images.is_empty() {
        return 0;
    }
    let nodes = i64::try_from(ask.cluster.node_count()).unwrap_or(i64::MAX).max(1);
    let sum = images.iter().map(|image| {
        let found = node.images.binary_search_by(|present| (*present.name).cmp(image.as_str()));
        let Ok(at) = found else { return 0 };
        let having = i64::try_from(ask.cluster.images.nodes_with(image)).unwrap_or(0);
        super::whole(super::float(node.images[at].size) * (super::float(having) / super::float(nodes)))
    });
    let most = MOST.saturating_mul(i64::try_from(images.len()).unwrap_or(1));
    let sum = sum.sum::<i64>().clamp(LEAST, most);
    100 * (sum - LEAST) / (most - LEAST)
}
