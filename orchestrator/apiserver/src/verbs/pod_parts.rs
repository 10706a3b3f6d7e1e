//! The parts of a running Pod that subresources change: its ephemeral containers, and what its containers may use.

use wherry_schema::Value;

use super::update::Part;
use crate::object::Fields;

/// Makes everything but the part what it was.
pub(crate) fn keep(part: Part, object: &mut Value, old: &Value) {
    let mut kept = old.clone();
    kept.assign("metadata", object.field("metadata").cloned());
    if part == Part::Ephemeral {
        kept.assign("spec.ephemeralContainers", object.field("spec.ephemeralContainers").cloned());
    } else {
        for list in ["containers", "initContainers"] {
            resize(kept.items_mut(&format!("spec.{list}")), object.items(&format!("spec.{list}")));
        }
        if object.has("spec.resources") {
            kept.assign("spec.resources", object.field("spec.resources").cloned());
        }
    }
    *object = kept;
}

/// Gives containers the resources and the policies that those of the same name have.
fn resize(containers: &mut [Value], wanted: &[Value]) {
    for container in containers {
        let Some(found) = wanted.iter().find(|other| other.text("name") == container.text("name")) else {
            continue;
        };
        for field in ["resources", "resizePolicy"] {
            container.assign(field, found.field(field).cloned());
        }
    }
}
