//! What an update of a Pod may change.

use wherry_schema::{Object, Value};

use super::{container, containers, resources, toleration};
use crate::kinds::pod_resources::quality;
use crate::object::Fields;
use crate::validation::values::{in_range, required};
use crate::validation::{Errors, Path, internal};

const FIELDS: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be \
    set to 1 if it was previously negative)";

/// Refuses a change of anything in a Pod's spec that a running Pod could not follow.
pub(crate) fn check_update(spec: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    for list in ["containers", "initContainers"] {
        if spec.items(list).len() != old.items(list).len() {
            errors.forbidden(&path.child(list), "pod updates may not add or remove containers");
            return;
        }
        for (index, container) in spec.items(list).iter().enumerate() {
            let path = path.child(list).index(index);
            required(container, "image", &path, errors);
            container::check_image(container, &path, errors);
        }
    }
    if !check_deadline(spec, old, &path.child("activeDeadlineSeconds"), errors) {
        return;
    }
    check_tolerations(
        spec.items("tolerations"),
        old.items("tolerations"),
        &path.child("tolerations"),
        errors,
    );
    check_gates(spec.items("schedulingGates"), old.items("schedulingGates"), &path, errors);
    if spec == old {
        return;
    }
    let mut munged = munge(spec, old);
    if !old.items("schedulingGates").is_empty() {
        check_gated(&mut munged, old, &path, errors);
    }
    if munged != *old {
        let difference = internal::difference("PodSpec", old, &munged);
        let detail = format!("pod updates may not change fields other than {FIELDS}\n{difference}");
        errors.forbidden(&path, &detail);
    }
}

/// The new spec with what may be changed as it was.
fn munge(spec: &Value, old: &Value) -> Value {
    let mut munged = spec.clone();
    for list in ["containers", "initContainers"] {
        for (container, before) in munged.items_mut(list).iter_mut().zip(old.items(list)) {
            container.assign("image", before.field("image").cloned());
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        munged.assign(field, old.field(field).cloned());
    }
    let grace = "terminationGracePeriodSeconds";
    if old.int(grace).is_some_and(|seconds| seconds < 0) && munged.int(grace) == Some(1) {
        munged.assign(grace, old.field(grace).cloned());
    }
    munged
}

fn check_deadline(spec: &Value, old: &Value, path: &Path, errors: &mut Errors) -> bool {
    match (spec.int("activeDeadlineSeconds"), old.int("activeDeadlineSeconds")) {
        (Some(new), _) if !(0..=i64::from(i32::MAX)).contains(&new) => {
            in_range(new, (0, i64::from(i32::MAX)), path, errors);
            false
        }
        (Some(new), Some(old)) if old < new => {
            errors.invalid(path, new, "must be less than or equal to previous value");
            false
        }
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            errors.invalid(path, &Value::Null, detail);
            true
        }
        _ => true,
    }
}

fn check_tolerations(new: &[Value], old: &[Value], path: &Path, errors: &mut Errors) {
    let bare = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration.take("tolerationSeconds");
        toleration
    };
    let kept: Vec<Value> = new.iter().map(bare).collect();
    if old.iter().any(|toleration| !kept.contains(&bare(toleration))) {
        errors.forbidden(path, "existing toleration can not be modified except its tolerationSeconds");
        return;
    }
    toleration::check(new, path, errors);
}

fn check_gates(new: &[Value], old: &[Value], path: &Path, errors: &mut Errors) {
    let known = |name: &str| old.iter().any(|gate| gate.text("name") == name);
    for (index, gate) in new.iter().enumerate().filter(|(_, gate)| !known(gate.text("name"))) {
        let detail =
            format!("only deletion is allowed, but found new scheduling gate '{}'", gate.text("name"));
        errors.forbidden(&path.child("schedulingGates").index(index).child("name"), &detail);
    }
}

/// Where a Pod that waits may run can still be narrowed.
fn check_gated(munged: &mut Value, old: &Value, path: &Path, errors: &mut Errors) {
    let (new, before) = (munged.map("nodeSelector"), old.map("nodeSelector"));
    if new != before {
        let kept = |(key, value): (&wherry_schema::Str, &Value)| new.and_then(|n| n.get(key)) == Some(value);
        if !before.into_iter().flat_map(Object::iter).all(kept) {
            let shown = new.map_or(Value::Null, |new| Value::Object(new.clone()));
            let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
            errors.invalid(&path.child("nodeSelector"), &shown, detail);
        }
        munged.assign("nodeSelector", old.field("nodeSelector").cloned());
    }
    let field = "affinity.nodeAffinity";
    let terms = |spec: &Value| {
        let selector = spec.field(field)?.field("requiredDuringSchedulingIgnoredDuringExecution")?;
        Some(selector.items("nodeSelectorTerms").to_vec())
    };
    if munged.field(field) != old.field(field) {
        if let Some(old_terms) = terms(old) {
            check_terms(&terms(munged).unwrap_or_default(), &old_terms, &path.child(field), errors);
        }
        munged.assign(field, old.field(field).cloned());
        if munged.map("affinity").is_some_and(Object::is_empty) {
            munged.assign("affinity", old.field("affinity").cloned());
        }
    }
}

fn check_terms(new: &[Value], old: &[Value], path: &Path, errors: &mut Errors) {
    let path = path.child("requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
    if new.len() != old.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.invalid(&path, &Value::Array(new.to_vec()), detail);
        return;
    }
    for (index, (term, before)) in new.iter().zip(old).enumerate() {
        let added = ["matchExpressions", "matchFields"].iter().all(|list| {
            let (now, was) = (term.items(list), before.items(list));
            was.iter().all(|requirement| now.contains(requirement))
        });
        if !added {
            let detail = "only additions are allowed (no mutations or deletions)";
            errors.invalid(&path.index(index), term, detail);
        }
    }
}

/// The rules of a change of the ephemeral containers: there may only be more.
pub(crate) fn check_ephemeral_update(object: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("spec.ephemeralContainers");
    let spec = object.field("spec").unwrap_or(&Value::Null);
    containers::check_ephemeral_list(spec, &path, errors);
    let new = object.items("spec.ephemeralContainers");
    for container in old.items("spec.ephemeralContainers") {
        let name = container.text("name");
        match new.iter().find(|candidate| candidate.text("name") == name) {
            None => {
                let detail = format!("existing ephemeral containers {name:?} may not be removed\n");
                errors.forbidden(&path, &detail);
            }
            Some(changed) if changed != container => {
                let difference = internal::difference("EphemeralContainer", container, changed);
                let detail =
                    format!("existing ephemeral containers {name:?} may not be changed\n{difference}");
                errors.forbidden(&path, &detail);
            }
            Some(_) => {}
        }
    }
}

/// The rules of a change of the resources of a Pod that runs.
pub(crate) fn check_resize(object: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let (Some(spec), Some(before)) = (object.field("spec"), old.field("spec")) else { return };
    let known = old.text("status.qosClass");
    if !known.is_empty() && quality(object) != known {
        let detail = "Pod QOS Class may not change as a result of resizing";
        errors.invalid(&path, known, detail);
    }
    for list in ["initContainers", "containers"] {
        for (index, (container, was)) in spec.items(list).iter().zip(before.items(list)).enumerate() {
            if list == "containers" || is_sidecar(was) {
                check_resized(container, was, &path.child(list).index(index).child("resources"), errors);
            }
        }
    }
    check_resized(spec, before, &path.child("resources"), errors);
    resources::check_pod(spec, &path.child("resources"), errors);
    let (mut munged, told) = (spec.clone(), errors.causes().len());
    keep_resources(&mut munged, before);
    for list in ["containers", "initContainers"] {
        for (container, was) in munged.items_mut(list).iter_mut().zip(before.items(list)) {
            let detail = match (list, is_sidecar(container)) {
                ("containers", _) => "only cpu and memory resources are mutable",
                (_, true) => "only cpu and memory resources for sidecar containers are mutable",
                (_, false) => "resources for non-sidecar init containers are immutable",
            };
            if list == "containers" || is_sidecar(container) {
                keep_resources(container, was);
            }
            if container != was {
                errors.forbidden(&path, detail);
            }
        }
    }
    if errors.causes().len() == told && munged != *before {
        errors.forbidden(&path, "only cpu and memory resources are mutable");
    }
}

fn is_sidecar(container: &Value) -> bool {
    container.text("restartPolicy") == "Always"
}

/// A request or limit once made can be changed, not taken back.
fn check_resized(container: &Value, was: &Value, path: &Path, errors: &mut Errors) {
    for list in ["limits", "requests"] {
        let get = |container: &Value, name: &str| {
            container.field("resources").and_then(|r| r.map(list)?.get(name).cloned())
        };
        for name in ["cpu", "memory"] {
            if get(was, name).is_some() && get(container, name).is_none() {
                errors.forbidden(&path.child(list), &format!("resource {list} cannot be removed"));
            }
        }
    }
}

/// Makes cpu and memory of a container, or of a Pod itself, what they were.
fn keep_resources(container: &mut Value, was: &Value) {
    for list in ["limits", "requests"] {
        for name in ["cpu", "memory"] {
            let before = was.field("resources").and_then(|r| r.map(list)?.get(name).cloned());
            let path = ["resources", list, name];
            match before {
                Some(before) => container.set(&path, before),
                None => drop(container.remove(&path)),
            }
        }
        if container.field("resources").and_then(|r| r.map(list)).is_some_and(Object::is_empty) {
            container.remove(&["resources", list]);
        }
    }
    let is_new = was.field("resources").is_none();
    if is_new && container.map("resources").is_some_and(Object::is_empty) {
        container.remove(&["resources"]);
    }
}
