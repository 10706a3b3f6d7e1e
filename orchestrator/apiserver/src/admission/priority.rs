//! The priority of Pods, and which class is that of Pods that name none.

use wherry_schema::Value;

use super::kind;
use crate::codec;
use crate::error::Failure;
use crate::extract::GLOBAL_DEFAULT;
use crate::kinds::priority_class::SYSTEM;
use crate::object::{self, Fields};
use crate::verbs::Cx;

/// Resolves the class of a Pod's priority to its number.
pub(super) fn admit(cx: &Cx<'_>, pod: &mut Value) -> Result<(), Failure> {
    let name = pod.text("spec.priorityClassName").to_owned();
    let system = SYSTEM.iter().find(|(n, _)| *n == name);
    let (value, policy, class) = match system {
        Some((_, value)) => (*value, String::new(), Some(name)),
        None if name.is_empty() => default_priority(cx)?,
        None => {
            let key = codec::key(kind("scheduling.k8s.io", "PriorityClass"), "", &name);
            let Some(found) = cx.state.find(&key)? else {
                let why = format!("no PriorityClass with name {name} was found");
                return Err(Failure::forbidden(cx.kind, object::called(pod), &why));
            };
            (found.int("value").unwrap_or(0), found.text("preemptionPolicy").to_owned(), Some(name))
        }
    };
    if pod.int("spec.priority").is_some_and(|given| given != value) {
        let given = pod.int("spec.priority").unwrap_or(0);
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {value} from the given PriorityClass name"
        );
        return Err(Failure::forbidden(cx.kind, object::called(pod), &why));
    }
    pod.put("spec.priority", value);
    if let Some(class) = class {
        pod.put("spec.priorityClassName", class);
    }
    let policy = if policy.is_empty() { "PreemptLowerPriority".to_owned() } else { policy };
    let given = pod.text("spec.preemptionPolicy");
    if !given.is_empty() && given != policy {
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        );
        return Err(Failure::forbidden(cx.kind, object::called(pod), &why));
    }
    pod.put("spec.preemptionPolicy", policy);
    Ok(())
}

/// Refuses a second class that would be the default.
pub(super) fn validate(cx: &Cx<'_>, class: &Value) -> Result<(), Failure> {
    if !class.flag("globalDefault") {
        return Ok(());
    }
    match default_priority(cx)?.2 {
        Some(known) if known != object::name(class) => {
            let why =
                format!("PriorityClass {known} is already marked as default. Only one default can exist");
            Err(Failure::forbidden(cx.kind, object::name(class), &why))
        }
        _ => Ok(()),
    }
}

/// The priority of Pods that name none: that of the global default class, else 0.
fn default_priority(cx: &Cx<'_>) -> Result<(i64, String, Option<String>), Failure> {
    let prefix = codec::prefix(kind("scheduling.k8s.io", "PriorityClass"), None);
    let mut best = (0, String::new(), None);
    let snapshot = cx.state.store.snapshot();
    let defaults =
        snapshot.range(&prefix, None).filter(|class| class.attributes.get(GLOBAL_DEFAULT).is_some());
    for entry in defaults {
        let class = codec::decode(&entry.key, &entry.value)?;
        let value = class.int("value").unwrap_or(0);
        if best.2.is_none() || value < best.0 {
            best = (value, class.text("preemptionPolicy").to_owned(), Some(object::name(&class).to_owned()));
        }
    }
    Ok(best)
}
