//! The LimitRanges of a namespace: what Pods get that ask for nothing, and what nobody may ask for.

use wherry_api::quantity::Quantity;
use wherry_schema::{Object, Value};

use super::kind;
use crate::codec;
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::validation::values::{amount_of, amounts};
use crate::verbs::Cx;

const LISTS: &[&str] = &["spec.containers", "spec.initContainers"];
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

fn ranges(cx: &Cx<'_>) -> Result<Vec<Value>, Failure> {
    let prefix = codec::prefix(kind("", "LimitRange"), Some(cx.namespace));
    let snapshot = cx.state.store.snapshot();
    snapshot.range(&prefix, None).map(|entry| codec::decode(&entry.key, &entry.value)).collect()
}

/// Gives the containers of a Pod the defaults of the namespace.
pub(super) fn admit(cx: &Cx<'_>, pod: &mut Value) -> Result<(), Failure> {
    for range in ranges(cx)? {
        let (limits, requests) = defaults(&range);
        let mut notes = Vec::new();
        for list in LISTS {
            let what = if *list == "spec.initContainers" { "init container" } else { "container" };
            for container in pod.items_mut(list) {
                notes.extend(fill(container, what, ("request", "requests"), &requests));
                notes.extend(fill(container, what, ("limit", "limits"), &limits));
            }
        }
        if !notes.is_empty() {
            let text = format!("LimitRanger plugin set: {}", notes.join("; "));
            pod.set(&["metadata", "annotations", ANNOTATION], text);
        }
    }
    Ok(())
}

/// The default limits and requests of containers.
fn defaults(range: &Value) -> (Object, Object) {
    let (mut limits, mut requests) = (Object::new(), Object::new());
    for item in range.items("spec.limits").iter().filter(|item| item.text("type") == "Container") {
        for (target, list) in [(&mut limits, "default"), (&mut requests, "defaultRequest")] {
            for (name, amount) in item.map(list).into_iter().flat_map(Object::iter) {
                target.insert(name.clone(), amount.clone());
            }
        }
    }
    (limits, requests)
}

/// Sets what a container does not say; answers what was set.
fn fill(container: &mut Value, what: &str, (one, list): (&str, &str), defaults: &Object) -> Option<String> {
    let mut set: Vec<String> = Vec::new();
    for (name, amount) in defaults.iter() {
        let path = ["resources", list, name.as_str()];
        if container.at(&path).is_none() {
            container.set(&path, amount.clone());
            set.push(name.to_string());
        }
    }
    (!set.is_empty()).then(|| format!("{} {one} for {what} {}", set.join(", "), container.text("name")))
}

/// Refuses a Pod or a claim that asks for too much, too little, or leaves too much room.
pub(super) fn validate(cx: &Cx<'_>, object: &Value) -> Result<(), Failure> {
    let mut problems = Vec::new();
    for range in ranges(cx)? {
        for item in range.items("spec.limits") {
            match (item.text("type"), cx.kind.kind) {
                ("PersistentVolumeClaim", "PersistentVolumeClaim") => {
                    let requests = totals(&[object.map("spec.resources.requests")]);
                    check_claim(item, &requests, &mut problems);
                }
                ("Container", "Pod") => {
                    for container in LISTS.iter().flat_map(|list| object.items(list)) {
                        let list = |name: &str| container.field("resources").and_then(|r| r.map(name));
                        check(
                            item,
                            "Container",
                            &totals(&[list("requests")]),
                            &totals(&[list("limits")]),
                            &mut problems,
                        );
                    }
                }
                ("Pod", "Pod") => {
                    let of = |name: &str| pod_totals(object, name);
                    check(item, "Pod", &of("requests"), &of("limits"), &mut problems);
                }
                _ => {}
            }
        }
    }
    match problems.as_slice() {
        [] => Ok(()),
        [one] => Err(Failure::forbidden(cx.kind, object::called(object), one)),
        many => Err(Failure::forbidden(cx.kind, object::called(object), &format!("[{}]", many.join(", ")))),
    }
}

/// Amounts by resource.
type Totals = Vec<(String, Quantity)>;

fn totals(lists: &[Option<&Object>]) -> Totals {
    let mut sums: Totals = Vec::new();
    for (name, amount) in lists.iter().flat_map(|list| amounts(*list)) {
        match sums.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum = *sum + amount,
            None => sums.push((name.to_owned(), amount)),
        }
    }
    sums
}

/// What a Pod asks for: all its containers together, or the init container that asks for most.
fn pod_totals(pod: &Value, list: &str) -> Totals {
    let of = |container: &Value| totals(&[container.field("resources").and_then(|r| r.map(list))]);
    let containers: Vec<Option<&Object>> = pod
        .items("spec.containers")
        .iter()
        .map(|container| container.field("resources").and_then(|r| r.map(list)))
        .collect();
    let mut sums = totals(&containers);
    for (name, amount) in pod.items("spec.initContainers").iter().flat_map(of) {
        match sums.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum = (*sum).max(amount),
            None => sums.push((name, amount)),
        }
    }
    sums
}

fn get(totals: &Totals, name: &str) -> Option<Quantity> {
    totals.iter().find(|(known, _)| known == name).map(|(_, amount)| *amount)
}

fn check(item: &Value, kind: &str, requests: &Totals, limits: &Totals, problems: &mut Vec<String>) {
    for (name, least) in amounts(item.map("min")) {
        let text = format!("minimum {name} usage per {kind} is {least}");
        match (get(requests, name), get(limits, name)) {
            (None, _) => problems.push(format!("{text}.  No request is specified")),
            (Some(request), _) if request < least => {
                problems.push(format!("{text}, but request is {request}"));
            }
            (_, Some(limit)) if limit < least => problems.push(format!("{text}, but limit is {limit}")),
            _ => {}
        }
    }
    for (name, most) in amounts(item.map("max")) {
        let text = format!("maximum {name} usage per {kind} is {most}");
        match (get(requests, name), get(limits, name)) {
            (_, None) => problems.push(format!("{text}.  No limit is specified")),
            (_, Some(limit)) if limit > most => problems.push(format!("{text}, but limit is {limit}")),
            (Some(request), _) if request > most => {
                problems.push(format!("{text}, but request is {request}"));
            }
            _ => {}
        }
    }
    for (name, ratio) in amounts(item.map("maxLimitRequestRatio")) {
        check_ratio((name, ratio), kind, (get(requests, name), get(limits, name)), problems);
    }
}

fn check_ratio(
    (name, ratio): (&str, Quantity),
    kind: &str,
    (request, limit): (Option<Quantity>, Option<Quantity>),
    problems: &mut Vec<String>,
) {
    let text = format!("{name} max limit to request ratio per {kind} is {ratio}");
    let (Some(request), Some(limit)) = (request.filter(|q| !q.is_zero()), limit.filter(|q| !q.is_zero()))
    else {
        let missing = if request.is_none_or(|q| q.is_zero()) { "request" } else { "limit" };
        problems.push(format!("{text}, but no {missing} is specified or {missing} is 0"));
        return;
    };
    if limit.as_milli() * 1000 > ratio.as_milli() * request.as_milli() {
        #[expect(clippy::cast_precision_loss, reason = "upstream shows the ratio as a float")]
        let found = limit.as_milli() as f64 / request.as_milli() as f64;
        problems.push(format!("{text}, but provided ratio is {found:.6}"));
    }
}

fn check_claim(item: &Value, requests: &Totals, problems: &mut Vec<String>) {
    for (bound, list) in [("minimum", "min"), ("maximum", "max")] {
        let Some(amount) = amount_of(item.map(list), "storage") else { continue };
        let text = format!("{bound} storage usage per PersistentVolumeClaim is {amount}");
        match get(requests, "storage") {
            None => problems.push(format!("{text}.  No request is specified")),
            Some(request) if (list == "min" && request < amount) || (list == "max" && request > amount) => {
                problems.push(format!("{text}, but request is {request}"));
            }
            Some(_) => {}
        }
    }
}
