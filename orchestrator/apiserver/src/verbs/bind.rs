//! Binding: the scheduler says on which node a Pod runs.

use wherry_schema::{FieldValidation, Format, Value};

use super::Cx;
use super::incoming::{self, Expected};
use super::update::{Part, Wanted, update};
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::request::query::WriteOptions;
use crate::status::Status;
use crate::validation::{Errors, Path};

/// Reads a Binding.
pub(crate) fn parse(
    bytes: &[u8],
    format: Format,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), Failure> {
    incoming::read(Expected { group: "", version: "v1", kind: "Binding" }, bytes, format, validation)
}

/// Binds the Pod of this name and answers the body that says so.
pub(crate) async fn bind(
    cx: &Cx<'_>,
    name: &str,
    binding: &Value,
    options: &WriteOptions,
) -> Result<Vec<u8>, Failure> {
    check(name, binding)?;
    let node = binding.text("target.name").to_owned();
    let uid = binding.text("metadata.uid").to_owned();
    let now = cx.state.timestamp();
    let change = &mut |old: &Value| {
        let refuse = |why: String| Failure::Conflict {
            subject: "pods/binding".to_owned(),
            group: String::new(),
            resource: "pods/binding".to_owned(),
            name: name.to_owned(),
            reason: why,
        };
        if !uid.is_empty() && uid != old.text("metadata.uid") {
            let found = old.text("metadata.uid");
            return Err(refuse(format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"
            )));
        }
        if object::terminating(old) {
            return Err(refuse(format!("pod {name} is being deleted, cannot be assigned to a host")));
        }
        if !old.text("spec.nodeName").is_empty() {
            let found = old.text("spec.nodeName");
            return Err(refuse(format!("pod {name} is already assigned to node {found:?}")));
        }
        if !old.items("spec.schedulingGates").is_empty() {
            return Err(refuse(format!("pod {name} has non-empty .spec.schedulingGates")));
        }
        let mut pod = old.clone();
        pod.put("spec.nodeName", node.as_str());
        pod.take("status.nominatedNodeName");
        merge_map(&mut pod, binding, "metadata.annotations");
        merge_map(&mut pod, binding, "metadata.labels");
        mark_scheduled(&mut pod, &now);
        Ok(Wanted::Owned(pod))
    };
    update(cx, name, Part::Binding, options, change).await?;
    Ok(Status::success(None, 201).to_json())
}

/// Refuses a Binding that is of another Pod or of nothing. Upstream answers the latter with a bare error.
fn check(name: &str, binding: &Value) -> Result<(), Failure> {
    if object::name(binding) != name {
        let text = "name in URL does not match name in Binding object";
        return Err(Failure::BadRequest(text.to_owned()));
    }
    let mut errors = Errors::default();
    let kind = binding.text("target.kind");
    if !matches!(kind, "" | "Node") {
        errors.unsupported(&Path::new("target.kind"), kind, &["Node", "<empty>"]);
    }
    if binding.text("target.name").is_empty() {
        errors.required(&Path::new("target.name"), "");
    }
    if errors.is_empty() { Ok(()) } else { Err(Failure::Unversioned(errors.to_string())) }
}

fn merge_map(pod: &mut Value, binding: &Value, path: &str) {
    for (key, value) in binding.map(path).into_iter().flat_map(wherry_schema::Object::iter) {
        let mut full: Vec<&str> = path.split('.').collect();
        full.push(key);
        pod.set(&full, value.clone());
    }
}

fn mark_scheduled(pod: &mut Value, now: &str) {
    let mut conditions = pod.items("status.conditions").to_vec();
    conditions.retain(|c| c.text("type") != "PodScheduled");
    let mut condition = Value::object();
    condition.put("type", "PodScheduled");
    condition.put("status", "True");
    condition.put("lastProbeTime", Value::Null);
    condition.put("lastTransitionTime", now);
    conditions.push(condition);
    pod.put("status.conditions", conditions);
}
