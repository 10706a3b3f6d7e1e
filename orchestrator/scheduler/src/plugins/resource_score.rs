//! What scores by resources share: how much of each a node would have given away.

use super::ResourceSpec;
use crate::cluster::NodeInfo;
use crate::pod::resources::Resources;

/// For each resource that counts at this node: what would be requested with the Pod, what there is, and the weight.
pub(super) fn shares<'a>(
    specs: &'a [ResourceSpec],
    wanted: &'a Resources,
    used: &'a Resources,
    node: &'a NodeInfo,
) -> impl Iterator<Item = (i64, i64, i64)> + Clone + 'a {
    specs.iter().filter_map(move |spec| {
        let name = spec.name.as_str();
        let (wanted, all) = (wanted.amount(name), node.allocatable.amount(name));
        let is_extended = !matches!(name, "cpu" | "memory" | "ephemeral-storage");
        if all == 0 || name == "pods" || (is_extended && wanted == 0) {
            return None;
        }
        let used = if matches!(name, "cpu" | "memory") { used } else { &node.requested };
        Some((used.amount(name).saturating_add(wanted), all, spec.weight))
    })
}
