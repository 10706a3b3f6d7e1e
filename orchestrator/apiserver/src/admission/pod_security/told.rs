//! What the node of a Pod is told of its namespace: the level it was admitted at, for a runtime that gives a guest no more
//! than that. Nodes may not read namespaces; the server alone writes this annotation, and it stays as long as the Pod.

use wherry_schema::Value;

use super::policy;
use super::policy::Level;
use crate::error::Failure;
use crate::verbs::Cx;

const PATH: [&str; 3] = ["metadata", "annotations", "run.wherry.dev/level"];

/// Writes the level into a new Pod; one that is held to nothing is not told so.
pub(in crate::admission) fn tell(cx: &Cx<'_>, pod: &mut Value) -> Result<(), Failure> {
    let level = policy(cx)?.map(|policy| policy.enforce.level).filter(|level| *level != Level::Privileged);
    write(pod, level.map(|level| level.name().into()));
    Ok(())
}

/// What it was told when it was made stays.
pub(in crate::admission) fn keep(pod: &mut Value, old: &Value) {
    write(pod, old.at(&PATH).cloned());
}

fn write(pod: &mut Value, level: Option<Value>) {
    if let Some(level) = level {
        pod.set(&PATH, level);
        return;
    }
    let removed = pod.remove(&PATH).is_some();
    let annotations = pod.at(&PATH[..2]).and_then(Value::as_object);
    if removed && annotations.is_some_and(wherry_schema::Object::is_empty) {
        pod.remove(&PATH[..2]);
    }
}
