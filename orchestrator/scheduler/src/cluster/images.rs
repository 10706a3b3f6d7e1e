//! Which images are on which nodes.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;

/// An image on a node, under one of its names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeImage {
    pub(crate) name: Arc<str>,
    pub(crate) size: i64,
}

/// How many nodes have each image.
#[derive(Debug, Default)]
pub(crate) struct Images {
    nodes: HashMap<Arc<str>, usize>,
}

impl Images {
    /// The number of nodes with the image of this name.
    pub(crate) fn nodes_with(&self, name: &str) -> usize {
        self.nodes.get(name).copied().unwrap_or(0)
    }

    /// The images that a node reports, under all their names.
    pub(super) fn of_node(&mut self, node: &Node) -> Vec<NodeImage> {
        let listed = node.status.iter().flat_map(|status| status.images.iter().flatten());
        let mut images = Vec::new();
        for image in listed {
            for name in image.names.iter().flatten() {
                let known = self.nodes.get_key_value(name.as_str());
                let name = known.map_or_else(|| Arc::from(name.as_str()), |(name, _)| name.clone());
                images.push(NodeImage { name, size: image.size_bytes.unwrap_or(0) });
            }
        }
        images.sort_unstable();
        images.dedup_by(|one, other| one.name == other.name);
        images
    }

    pub(super) fn add(&mut self, images: &[NodeImage]) {
        for image in images {
            *self.nodes.entry(image.name.clone()).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, images: &[NodeImage]) {
        for image in images {
            if let Some(count) = self.nodes.get_mut(&image.name) {
                *count -= 1;
                if *count == 0 {
                    self.nodes.remove(&image.name);
                }
            }
        }
    }
}
