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
        let name = normalized(image);
        let Ok(at) = node.images.binary_search_by(|present| (*present.name).cmp(&name)) else { return 0 };
        let having = i64::try_from(ask.cluster.images.nodes_with(&name)).unwrap_or(0);
        super::whole(super::float(node.images[at].size) * (super::float(having) / super::float(nodes)))
    });
    let most = MOST.saturating_mul(i64::try_from(images.len()).unwrap_or(1));
    let sum = sum.sum::<i64>().clamp(LEAST, most);
    100 * (sum - LEAST) / (most - LEAST)
}

/// The name with its tag: `latest` if none is given.
fn normalized(image: &str) -> std::borrow::Cow<'_, str> {
    let after_slash = image.rfind('/').map_or(0, |at| at + 1);
    if image[after_slash..].contains(':') { image.into() } else { format!("{image}:latest").into() }
}
