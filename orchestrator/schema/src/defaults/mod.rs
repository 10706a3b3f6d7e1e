//! What the API server fills in where a request says nothing: upstream's defaulting, kind by kind.
//!
//! Idempotent. What needs more than the object (addresses, names, the old object) is not done here.

mod apps;
mod batch;
mod cluster;
mod container;
mod drivers;
mod extensions;
mod networking;
mod pod;
mod service;
mod storage;
mod volume;
mod zero;

use crate::schema::{Node, Schema, Schemas};
use crate::value::{Object, Str, Value};

/// An object of this type of which nothing has been set.
pub(crate) fn empty(node: Node) -> Value {
    let mut value = Value::object();
    zero::fill(&mut value, node);
    value
}

/// Makes an object what it is once it has been stored: of lists and maps that are always written, the empty are null.
pub fn settle(object: &mut Value, schema: &Schema) {
    if let Some(node) = schema.node() {
        zero::settle(object, node);
    }
}

/// Fills in the defaults of an object of this group, version and kind.
pub fn apply((group, version, kind): (&str, &str, &str), object: &mut Value) {
    if let Some(node) = Schemas::builtin().kind(group, version, kind).and_then(Schema::node) {
        zero::fill(object, node);
    }
    let Some(fields) = object.as_object_mut() else { return };
    match (group, kind) {
        ("", "Pod") => pod::pod(fields),
        ("", "Service") => service::service(fields),
        ("", "Endpoints") => service::endpoints(fields),
        ("discovery.k8s.io", "EndpointSlice") => service::endpoint_slice(fields),
        ("", "Secret") => cluster::secret(fields),
        ("", "Namespace") => cluster::namespace(fields),
        ("", "Node") => cluster::node(fields),
        ("scheduling.k8s.io", "PriorityClass") => cluster::priority_class(fields),
        ("", "LimitRange") => storage::limit_range(fields),
        ("", "PersistentVolume") => storage::persistent_volume(fields),
        ("", "PersistentVolumeClaim") => storage::claim(fields),
        ("", "PodTemplate") => pod::template(fields),
        ("", "ReplicationController") => apps::replication_controller(fields),
        ("", "ResourceQuota") => storage::resource_quota(fields),
        ("apps", "DaemonSet") => apps::daemon_set(fields),
        ("apps", "StatefulSet") => apps::stateful_set(fields),
        ("batch", "CronJob") => batch::cron_job(fields),
        ("batch", "Job") => batch::job(fields),
        ("autoscaling", "HorizontalPodAutoscaler") if version == "v1" => batch::autoscaler_v1(fields),
        ("autoscaling", "HorizontalPodAutoscaler") => batch::autoscaler_v2(fields),
        ("apps", "Deployment") => apps::deployment(fields),
        ("apps", "ReplicaSet") => apps::replica_set(fields),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration") => {
            extensions::webhooks(fields, true);
        }
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration") => {
            extensions::webhooks(fields, false);
        }
        (
            "admissionregistration.k8s.io",
            "MutatingAdmissionPolicyBinding" | "ValidatingAdmissionPolicyBinding",
        ) => extensions::policy_binding(fields),
        ("admissionregistration.k8s.io", _) => extensions::policy(fields),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            extensions::custom_resource_definition(fields);
        }
        ("apiregistration.k8s.io", "APIService") => extensions::api_service(fields),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => extensions::flow_schema(fields),
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => extensions::priority_level(fields),
        ("certificates.k8s.io", "PodCertificateRequest") => cluster::pod_certificate_request(fields),
        ("networking.k8s.io", "IngressClass") => networking::ingress_class(fields),
        ("networking.k8s.io", "NetworkPolicy") => networking::network_policy(fields),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding" | "RoleBinding") => {
            networking::role_binding(fields);
        }
        ("resource.k8s.io", "ResourceClaim") => drivers::claim(fields),
        ("resource.k8s.io", "ResourceClaimTemplate") => drivers::claim_template(fields),
        ("storage.k8s.io", "CSIDriver") => drivers::csi_driver(fields),
        ("storage.k8s.io", "StorageClass") => drivers::storage_class(fields),
        _ => {}
    }
}

/// Sets a field that is absent.
fn default(object: &mut Object, name: &'static &'static str, value: impl Into<Value>) {
    let value = value.into();
    object.or_insert_with(Str::fixed(name), || value);
}

/// A string known at build time.
fn text(text: &'static &'static str) -> Value {
    Value::fixed(text)
}

/// A field, if it is an object.
fn child<'a>(object: &'a mut Object, name: &str) -> Option<&'a mut Object> {
    object.get_mut(name)?.as_object_mut()
}

/// The objects of a list field.
fn items<'a>(object: &'a mut Object, name: &str) -> impl Iterator<Item = &'a mut Object> {
    let list = object.get_mut(name).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

#[cfg(test)]
mod tests;
