//! Defaults of what extends the API: webhooks, admission policies, custom resources, API services, flow control.

use super::{child, default, items, text};
use crate::value::{Object, Str, Value};

/// A configuration of webhooks; those that change objects also say whether they are called again.
pub(super) fn webhooks(configuration: &mut Object, mutating: bool) {
    for hook in items(configuration, "webhooks") {
        default(hook, &"failurePolicy", text(&"Fail"));
        default(hook, &"timeoutSeconds", 10);
        matched(hook, &["rules"]);
        if mutating {
            default(hook, &"reinvocationPolicy", text(&"Never"));
        }
        if let Some(config) = child(hook, "clientConfig") {
            service(config);
        }
    }
}

/// What is matched, and by which rules.
fn matched(matched: &mut Object, rules: &[&str]) {
    default(matched, &"matchPolicy", text(&"Equivalent"));
    default(matched, &"namespaceSelector", Value::object());
    default(matched, &"objectSelector", Value::object());
    for name in rules {
        for rule in items(matched, name) {
            default(rule, &"scope", text(&"*"));
        }
    }
}

/// A reference to a Service leads to its HTTPS port.
fn service(holder: &mut Object) {
    if let Some(service) = child(holder, "service") {
        default(service, &"port", 443);
    }
}

pub(super) fn policy(policy: &mut Object) {
    let Some(spec) = child(policy, "spec") else { return };
    default(spec, &"failurePolicy", text(&"Fail"));
    if let Some(constraints) = child(spec, "matchConstraints") {
        matched(constraints, &["resourceRules", "excludeResourceRules"]);
    }
}

pub(super) fn policy_binding(binding: &mut Object) {
    let resources = child(binding, "spec").and_then(|spec| child(spec, "matchResources"));
    if let Some(resources) = resources {
        matched(resources, &["resourceRules", "excludeResourceRules"]);
    }
}

pub(super) fn api_service(api: &mut Object) {
    if let Some(spec) = child(api, "spec") {
        service(spec);
    }
}

/// Names follow from the kind; the version to store is stored.
pub(super) fn custom_resource_definition(definition: &mut Object) {
    let mut storage = None;
    if let Some(spec) = child(definition, "spec") {
        names(spec);
        let conversion = spec.object_mut(Str::fixed(&"conversion"));
        default(conversion, &"strategy", text(&"None"));
        let client = child(conversion, "webhook").and_then(|webhook| child(webhook, "clientConfig"));
        client.into_iter().for_each(service);
        for version in items(spec, "versions") {
            let schema = child(version, "schema").and_then(|schema| schema.get_mut("openAPIV3Schema"));
            schema.into_iter().for_each(prune);
        }
        storage = items(spec, "versions")
            .find(|version| version.get("storage").and_then(Value::as_bool) == Some(true))
            .and_then(|version| version.get("name").cloned());
    }
    let status = definition.object_mut(Str::fixed(&"status"));
    let none = status.get("storedVersions").and_then(Value::as_array).is_none_or(Vec::is_empty);
    if let (true, Some(version)) = (none, storage) {
        status.insert(Str::fixed(&"storedVersions"), vec![version]);
    }
}

/// A keyword that is null says nothing.
fn prune(schema: &mut Value) {
    if let Some(list) = schema.as_array_mut() {
        list.iter_mut().for_each(prune);
    }
    let Some(fields) = schema.as_object_mut() else { return };
    fields.retain(|_, value| !value.is_null());
    for name in ["items", "additionalProperties", "not", "allOf", "anyOf", "oneOf"] {
        fields.get_mut(name).into_iter().for_each(prune);
    }
    for name in ["properties", "patternProperties", "definitions"] {
        for (_, property) in child(fields, name).into_iter().flat_map(Object::iter_mut) {
            prune(property);
        }
    }
}

fn names(spec: &mut Object) {
    let Some(names) = child(spec, "names") else { return };
    let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !kind.is_empty() {
        default(names, &"singular", kind.to_lowercase());
        default(names, &"listKind", format!("{kind}List"));
    }
}

pub(super) fn flow_schema(schema: &mut Object) {
    let Some(spec) = child(schema, "spec") else { return };
    positive(spec, &"matchingPrecedence", 1000);
}

pub(super) fn priority_level(level: &mut Object) {
    let Some(spec) = child(level, "spec") else { return };
    if let Some(exempt) = child(spec, "exempt") {
        default(exempt, &"nominalConcurrencyShares", 0);
        default(exempt, &"lendablePercent", 0);
    }
    let Some(limited) = child(spec, "limited") else { return };
    default(limited, &"nominalConcurrencyShares", 30);
    default(limited, &"lendablePercent", 0);
    let queuing = child(limited, "limitResponse").and_then(|response| child(response, "queuing"));
    if let Some(queuing) = queuing {
        positive(queuing, &"handSize", 8);
        positive(queuing, &"queues", 64);
        positive(queuing, &"queueLengthLimit", 50);
    }
}

/// Zero says nothing here.
fn positive(object: &mut Object, name: &'static &'static str, value: i64) {
    if object.get(name).and_then(Value::as_i64).is_none_or(|number| number == 0) {
        object.insert(Str::fixed(name), value);
    }
}
