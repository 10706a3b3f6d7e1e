//! Prefers nodes that have compiled a wasm Pod's images already.
//!
//! Nodes compile an image when they fetch it and keep the code, so an image that is present starts at once. Such
//! images are too small for ImageLocality to look at, while compiling takes longer than fetching.

use super::Ask;
use crate::cluster::NodeInfo;

/// The part of the images that are present, from 0 to 100.
pub(super) fn rate(ask: &Ask<'_>, node: &NodeInfo) -> i64 {
    let images = &ask.template.images;
    if !ask.template.is_wasm || images.is_empty() {
        return 0;
    }
    let is_present =
        |image: &&String| node.images.binary_search_by(|present| (*present.name).cmp(image.as_str())).is_ok();
    let present = images.iter().filter(is_present).count();
    i64::try_from(100 * present / images.len()).unwrap_or(0)
}
