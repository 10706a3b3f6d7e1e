//! Fields of Pods that this level of the API knows and does not serve: they are dropped from what clients write.

use wherry_schema::{Object, Value};

use crate::object::Fields;

const LISTS: &[&str] = &["containers", "initContainers", "ephemeralContainers"];

/// Drops them from the Pod's spec at a path.
pub(super) fn drop_unserved(object: &mut Value, path: &str) {
    object.take(&format!("{path}.schedulingGroup"));
    for list in LISTS {
        for container in object.items_mut(&format!("{path}.{list}")) {
            let stop = container.take("lifecycle.stopSignal").is_some();
            if stop && container.map("lifecycle").is_some_and(Object::is_empty) {
                container.take("lifecycle");
            }
        }
    }
}
