//! Collects the JSON schemas of the kinds served and of everything they reach.

use std::collections::BTreeMap;

use k8s_openapi::api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::SchemaGenerator;
use serde_json::Value;

/// JSON schemas by full name, such as `io.k8s.api.core.v1.Pod`.
pub(crate) type Definitions = BTreeMap<String, Value>;

/// The types decoded by themselves: group, version, kind and the full name of the schema.
pub(crate) const ROOTS: &[(&str, &str, &str, &str)] = &[
    ("", "v1", "Binding", "io.k8s.api.core.v1.Binding"),
    ("", "v1", "ConfigMap", "io.k8s.api.core.v1.ConfigMap"),
    ("", "v1", "Endpoints", "io.k8s.api.core.v1.Endpoints"),
    ("", "v1", "Event", "io.k8s.api.core.v1.Event"),
    ("", "v1", "Namespace", "io.k8s.api.core.v1.Namespace"),
    ("", "v1", "Node", "io.k8s.api.core.v1.Node"),
    ("", "v1", "Pod", "io.k8s.api.core.v1.Pod"),
    ("", "v1", "Secret", "io.k8s.api.core.v1.Secret"),
    ("", "v1", "Service", "io.k8s.api.core.v1.Service"),
    ("", "v1", "ServiceAccount", "io.k8s.api.core.v1.ServiceAccount"),
    ("apps", "v1", "Deployment", "io.k8s.api.apps.v1.Deployment"),
    ("apps", "v1", "ReplicaSet", "io.k8s.api.apps.v1.ReplicaSet"),
    ("autoscaling", "v1", "Scale", "io.k8s.api.autoscaling.v1.Scale"),
    ("coordination.k8s.io", "v1", "Lease", "io.k8s.api.coordination.v1.Lease"),
    ("discovery.k8s.io", "v1", "EndpointSlice", "io.k8s.api.discovery.v1.EndpointSlice"),
    ("events.k8s.io", "v1", "Event", "io.k8s.api.events.v1.Event"),
    ("meta.k8s.io", "v1", "DeleteOptions", "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"),
    ("meta.k8s.io", "v1", "Status", "io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
    ("node.k8s.io", "v1", "RuntimeClass", "io.k8s.api.node.v1.RuntimeClass"),
    ("scheduling.k8s.io", "v1", "PriorityClass", "io.k8s.api.scheduling.v1.PriorityClass"),
];

/// Every schema reachable from the roots.
pub(crate) fn definitions() -> Definitions {
    let mut generator = SchemaGenerator::default();
    core(&mut generator);
    generator.subschema_for::<api::apps::v1::Deployment>();
    generator.subschema_for::<api::apps::v1::ReplicaSet>();
    generator.subschema_for::<api::autoscaling::v1::Scale>();
    generator.subschema_for::<api::coordination::v1::Lease>();
    generator.subschema_for::<api::discovery::v1::EndpointSlice>();
    generator.subschema_for::<api::events::v1::Event>();
    generator.subschema_for::<api::node::v1::RuntimeClass>();
    generator.subschema_for::<api::scheduling::v1::PriorityClass>();
    generator.subschema_for::<meta::DeleteOptions>();
    generator.subschema_for::<meta::Status>();
    let definitions: Definitions = generator.take_definitions(true).into_iter().collect();
    for (_, _, _, root) in ROOTS {
        assert!(definitions.contains_key(*root), "no schema of {root}");
    }
    definitions
}

fn core(generator: &mut SchemaGenerator) {
    use api::core::v1;
    generator.subschema_for::<v1::Binding>();
    generator.subschema_for::<v1::ConfigMap>();
    generator.subschema_for::<v1::Endpoints>();
    generator.subschema_for::<v1::Event>();
    generator.subschema_for::<v1::Namespace>();
    generator.subschema_for::<v1::Node>();
    generator.subschema_for::<v1::Pod>();
    generator.subschema_for::<v1::Secret>();
    generator.subschema_for::<v1::Service>();
    generator.subschema_for::<v1::ServiceAccount>();
}

/// The full name a `$ref` points to.
pub(crate) fn reference(schema: &Value) -> Option<&str> {
    let target = schema.get("$ref").and_then(Value::as_str)?;
    target.rsplit('/').next()
}
