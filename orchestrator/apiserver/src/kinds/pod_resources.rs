//! What a Pod as a whole asks for, and the quality of service that follows from what it and its containers ask for.

use wherry_api::quantity::Quantity;
use wherry_schema::{Object, Value};

use crate::object::Fields;
use crate::validation::resource_names::is_huge_page;

const COUNTED: [&str; 2] = ["cpu", "memory"];

/// Where a Pod limits itself: what it does not ask for is what its containers ask for together, else the limit.
pub(super) fn default_requests(object: &mut Value) {
    let Some(limits) = object.map("spec.resources.limits").cloned() else { return };
    let mut requests = object.map("spec.resources.requests").cloned().unwrap_or_default();
    for name in COUNTED {
        if requests.get(name).is_none()
            && let Some(sum) = of_containers(object, name)
        {
            requests.insert(name, sum.to_string());
        }
    }
    for (name, limit) in limits.iter() {
        let name = &**name;
        if requests.get(name).is_none() && (COUNTED.contains(&name) || is_huge_page(name)) {
            requests.insert(name, limit.clone());
        }
    }
    if !requests.is_empty() {
        object.put("spec.resources.requests", requests);
    }
}

/// What the containers ask for at the worst moment of the Pod's life, if any of them asks for some.
fn of_containers(object: &Value, name: &str) -> Option<Quantity> {
    let asked = |container: &Value| amount(container.map("resources.requests"), name);
    let (mut sidecars, mut starting) = (Quantity::default(), Quantity::default());
    let mut any = false;
    for container in object.items("spec.initContainers") {
        let own = asked(container);
        any |= own.is_some();
        let needed = sidecars + own.unwrap_or_default();
        if container.text("restartPolicy") == "Always" {
            sidecars = needed;
        }
        starting = starting.max(needed);
    }
    let running = object.items("spec.containers").iter().fold(sidecars, |sum, container| {
        let own = asked(container);
        any |= own.is_some();
        sum + own.unwrap_or_default()
    });
    any.then(|| running.max(starting))
}

/// The quality of service a Pod's requests and limits amount to; its own, if it has some, else those of its containers.
pub(crate) fn quality(object: &Value) -> &'static str {
    let own = class_of(std::iter::once(object.field("spec.resources")));
    if own != BEST_EFFORT {
        return own;
    }
    let containers = object.items("spec.containers").iter().chain(object.items("spec.initContainers"));
    class_of(containers.map(|container| container.field("resources")))
}

const BEST_EFFORT: &str = "BestEffort";

/// The class of all of these requirements together.
fn class_of<'a>(all: impl Iterator<Item = Option<&'a Value>>) -> &'static str {
    let (mut any, mut guaranteed) = (false, true);
    for resources in all {
        let list = |name: &str| resources.and_then(|resources| resources.map(name));
        let (requests, limits) = (list("requests"), list("limits"));
        any |= [requests, limits]
            .into_iter()
            .any(|list| COUNTED.iter().any(|name| amount(list, name).is_some()));
        guaranteed &= COUNTED.iter().all(|name| {
            let limit = amount(limits, name);
            limit.is_some() && amount(requests, name).is_none_or(|request| Some(request) == limit)
        });
    }
    match (any, guaranteed) {
        (false, _) => BEST_EFFORT,
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

fn amount(list: Option<&Object>, name: &str) -> Option<Quantity> {
    let quantity: Quantity = list?.get(name)?.as_str()?.parse().ok()?;
    (!quantity.is_zero()).then_some(quantity)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn pod(own: serde_json::Value, container: serde_json::Value) -> Value {
        let mut pod = json!({ "spec": { "containers": [{ "name": "a" }] } });
        pod["spec"]["resources"] = own;
        pod["spec"]["containers"][0]["resources"] = container;
        Value::from(pod)
    }

    #[rstest]
    #[case::its_own_counts(json!({"limits": {"cpu": "1", "memory": "1Gi"}}), json!({}), "Guaranteed")]
    #[case::not_that_of_containers(
        json!({"limits": {"cpu": "2"}}),
        json!({"limits": {"cpu": "1", "memory": "1Gi"}}),
        "Burstable"
    )]
    #[case::of_containers(json!({}), json!({"limits": {"cpu": "1", "memory": "1Gi"}}), "Guaranteed")]
    #[case::none(json!({}), json!({}), "BestEffort")]
    fn classes(#[case] own: serde_json::Value, #[case] container: serde_json::Value, #[case] class: &str) {
        assert_eq!(quality(&pod(own, container)), class);
    }

    #[test]
    fn a_pod_that_limits_itself_asks_for_what_its_containers_do_or_for_its_limit() {
        let mut object =
            pod(json!({"limits": {"cpu": "2", "memory": "1Gi"}}), json!({"requests": {"cpu": "300m"}}));
        default_requests(&mut object);
        assert_eq!(
            object.field("spec.resources.requests"),
            Some(&Value::from(json!({ "cpu": "300m", "memory": "1Gi" })))
        );
        let mut object = pod(json!({"requests": {"cpu": "1"}}), json!({}));
        let before = object.clone();
        default_requests(&mut object);
        assert_eq!(object, before);
    }
}
