//! Flow schemas say whether the priority level they name exists.
//!
//! The server applies the condition `Dangling` to each schema's status after whatever changed schemas or levels, and
//! before that change is answered: whoever reads next sees it.

use wherry_api::kinds::by_kind;
use wherry_schema::Value;

use crate::codec;
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::state::State;
use crate::verbs::{Cx, apply};

/// Who owns the condition.
const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";

const KIND: &str = "the kinds table has flow schemas and priority levels";

/// Makes the condition of every flow schema true. A schema that goes away or cannot be written is left for the next
/// change.
pub(crate) async fn mark(state: &State) {
    let schemas = by_kind("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema").expect(KIND);
    let cx = Cx::new(state, schemas, "");
    let _marking = state.flow.marking.lock().await;
    for (name, wanted) in outdated(&cx) {
        match apply::own_status(&cx, &name, MANAGER, wanted).await {
            Ok(()) | Err(Failure::NotFound { .. }) => {}
            Err(error) => tracing::warn!(name, %error, "the condition of a flow schema cannot be written"),
        }
    }
}

/// The schemas whose condition is not what it should be, and a status with the right one.
fn outdated(cx: &Cx<'_>) -> Vec<(String, Value)> {
    let levels = by_kind("flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration").expect(KIND);
    let snapshot = cx.state.store.snapshot();
    let prefix = cx.prefix();
    let schemas = snapshot.range(&prefix, None);
    let schemas = schemas.filter_map(|entry| codec::decode(&entry.key, &entry.value).ok());
    let judged = schemas.filter_map(|schema| {
        let level = schema.text("spec.priorityLevelConfiguration.name");
        let exists = snapshot.get(&codec::key(levels, "", level)).is_some();
        let mut wanted = condition(level, exists);
        let found = schema.items("status.conditions").iter().find(|c| c.text("type") == "Dangling");
        let fields = ["status", "reason", "message"];
        if found.is_some_and(|found| fields.iter().all(|field| object::same(found, &wanted, field))) {
            return None;
        }
        wanted.put("lastTransitionTime", cx.state.timestamp());
        let mut status = Value::object();
        status.put("conditions", vec![wanted]);
        Some((object::name(&schema).to_owned(), status))
    });
    judged.collect()
}

fn condition(level: &str, exists: bool) -> Value {
    let subject = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    let (status, reason, rest) = if exists {
        ("False", "Found", "and it exists")
    } else {
        ("True", "NotFound", "but there is no such object")
    };
    let mut condition = Value::object();
    condition.put("type", "Dangling");
    condition.put("status", status);
    condition.put("reason", reason);
    condition.put("message", format!("{subject} {rest}"));
    condition
}
