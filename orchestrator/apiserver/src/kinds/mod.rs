//! The rules of each kind: what the server sets, what it refuses, what it shows.
//!
//! One file per kind and one line per kind in [`rules`]. Everything common to all kinds (metadata, conflicts,
//! deletion) is in `verbs` and `validation`; a rules file holds only what is particular to its kind.

pub(crate) mod api_service;
pub(crate) mod autoscaler_v1;
pub(crate) mod certificate_signing_request;
pub(crate) mod cluster_role;
pub(crate) mod cluster_role_binding;
pub(crate) mod cluster_trust_bundle;
pub(crate) mod component_status;
pub(crate) mod config_map;
pub(crate) mod controller_revision;
pub(crate) mod cron_job;
pub(crate) mod csi_driver;
pub(crate) mod csi_node;
pub(crate) mod csi_storage_capacity;
pub(crate) mod custom_resource_definition;
pub(crate) mod daemon_set;
pub(crate) mod deployment;
pub(crate) mod device_class;
pub(crate) mod endpoint_slice;
pub(crate) mod endpoints;
pub(crate) mod event;
pub(crate) mod events_v1;
pub(crate) mod flow_schema;
pub(crate) mod horizontal_pod_autoscaler;
pub(crate) mod ingress;
pub(crate) mod ingress_class;
pub(crate) mod ip_address;
pub(crate) mod job;
pub(crate) mod lease;
pub(crate) mod limit_range;
pub(crate) mod mutating_admission_policy;
pub(crate) mod mutating_admission_policy_binding;
pub(crate) mod mutating_webhook_configuration;
pub(crate) mod namespace;
pub(crate) mod network_policy;
pub(crate) mod node;
pub(crate) mod persistent_volume;
pub(crate) mod persistent_volume_claim;
pub(crate) mod plain;
pub(crate) mod pod;
pub(crate) mod pod_certificate_request;
pub(crate) mod pod_disruption_budget;
mod pod_fields;
pub(crate) mod pod_resources;
mod pod_restarts;
pub(crate) mod pod_status;
pub(crate) mod pod_template;
mod pod_warnings;
pub(crate) mod priority_class;
pub(crate) mod priority_level_configuration;
pub(crate) mod replica_set;
pub(crate) mod replication_controller;
pub(crate) mod resource_claim;
pub(crate) mod resource_claim_template;
pub(crate) mod resource_quota;
pub(crate) mod resource_slice;
pub(crate) mod role;
pub(crate) mod role_binding;
pub(crate) mod runtime_class;
pub(crate) mod secret;
pub(crate) mod service;
pub(crate) mod service_account;
pub(crate) mod service_cidr;
mod service_warnings;
pub(crate) mod stateful_set;
pub(crate) mod storage_class;
#[cfg(test)]
pub(crate) mod told;
pub(crate) mod validating_admission_policy;
pub(crate) mod validating_admission_policy_binding;
pub(crate) mod validating_webhook_configuration;
pub(crate) mod volume_attachment;
pub(crate) mod volume_attributes_class;

use jiff::Timestamp;
use wherry_api::kinds::Kind;
use wherry_api::names;
use wherry_schema::Value;
use wherry_store::Durability;

use crate::object;
use crate::table::{self, Column};
use crate::validation::{Errors, meta};

/// A field that clients can select objects by.
#[derive(Debug)]
pub(crate) struct Selectable {
    /// What clients call it: `regarding.kind`.
    pub(crate) name: &'static str,
    /// The stored attribute it stands for: `=involvedObject.kind`.
    pub(crate) attribute: &'static str,
}

/// What is particular to a kind.
///
/// Objects are in their stored form, decoded and defaulted. `old` is what the store holds.
pub(crate) trait Rules: Sync {
    /// Fields to select by, besides name and namespace.
    fn fields(&self) -> &'static [Selectable] {
        &[]
    }

    /// The parts whose change makes a new generation; a kind without any has no generation.
    fn generation(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether its objects have a generation.
    fn counts_generations(&self) -> bool {
        !self.generation().is_empty()
    }

    /// Whether a change makes a new generation.
    fn is_new_generation(&self, object: &Value, old: &Value) -> bool {
        self.generation().iter().any(|path| !object::same(object, old, path))
    }

    /// Whether an update without a resourceVersion is allowed to overwrite whatever is there.
    fn unconditional_update(&self) -> bool {
        true
    }

    /// Whether an update makes the object if there is none.
    fn create_on_update(&self) -> bool {
        false
    }

    /// Whether a deletion answers with the object instead of a `Status`.
    fn returns_deleted(&self) -> bool {
        false
    }

    /// When a write is acknowledged.
    fn durability(&self) -> Durability {
        Durability::Durable
    }

    /// Whether the cluster's controllers make objects of this kind of what others say, and would make them of it again.
    fn is_derived(&self) -> bool {
        false
    }

    /// Whether a name is allowed.
    fn check_name(&self, name: &str) -> Result<(), String> {
        names::dns1123_subdomain(name)
    }

    /// Sets what the server decides of a new object.
    fn prepare_create(&self, _object: &mut Value) {}

    /// Keeps what an update of the whole object may not change.
    fn prepare_update(&self, _object: &mut Value, _old: &Value) {}

    /// Keeps what an update of the status may not change; the spec is already the old one.
    fn prepare_status(&self, _object: &mut Value, _old: &Value) {}

    /// Keeps what an update of the approval may not change; the spec is already the old one.
    fn prepare_approval(&self, _object: &mut Value, _old: &Value) {}

    /// Notes the time of a change that the kind keeps times of. There is no `old` when the object is new.
    fn stamp(&self, _object: &mut Value, _old: Option<&Value>, _now: &str) {}

    /// The rules every object of the kind keeps, besides those of metadata.
    fn validate(&self, _object: &Value, _errors: &mut Errors) {}

    /// The rules a new object keeps in addition.
    fn validate_create(&self, _object: &Value, _errors: &mut Errors) {}

    /// All the rules of a new object besides those of metadata, in the order in which their causes are told.
    fn check_create(&self, object: &Value, errors: &mut Errors) {
        self.validate(object, errors);
        self.validate_create(object, errors);
    }

    /// The rules an update keeps in addition.
    fn validate_update(&self, _object: &Value, _old: &Value, _errors: &mut Errors) {}

    /// The rules a change of the status keeps in addition to those of metadata.
    fn validate_status(&self, _object: &Value, _old: &Value, _errors: &mut Errors) {}

    /// The rules an update of the approval keeps.
    fn validate_approval(&self, _object: &Value, _old: &Value, _errors: &mut Errors) {}

    /// All the rules of an update, in the order in which their causes are told.
    fn check_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        meta::check_update(object, old, errors);
        self.validate(object, errors);
        self.validate_update(object, old, errors);
    }

    /// Whether a client wrote this object with spaces, for the kinds that remember it.
    fn is_loose(&self, _body: &[u8]) -> bool {
        false
    }

    /// The rules of an update that says what was stored with spaces without them, or the other way round.
    fn check_looseness(&self, _object: &Value, _old: &Value, _errors: &mut Errors) {}

    /// How objects of the kind differ from their stored form, if they do.
    fn conversion(&self) -> Option<&'static dyn Conversion> {
        None
    }

    /// What a client should know about an object that is allowed all the same.
    fn warnings(&self, _object: &Value) -> Vec<String> {
        Vec::new()
    }

    /// What a client should know about an object that changes.
    fn update_warnings(&self, object: &Value) -> Vec<String> {
        self.warnings(object)
    }

    /// The columns of its table.
    fn columns(&self) -> &'static [Column];

    /// The columns of its table as clients read them.
    fn column_definitions(&self) -> Vec<u8> {
        table::definitions(self.columns())
    }

    /// What its row says besides the cells, for tools that show rows in colours.
    fn row_conditions(&self, _object: &Value) -> Option<Value> {
        None
    }

    /// The cells of its row.
    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value>;
}

/// A kind that is stored as another one.
///
/// Nothing is lost either way: what the one form cannot say, the other keeps in annotations.
pub(crate) trait Conversion: Sync {
    /// An object of the kind as it is stored.
    fn to_stored(&self, object: &mut Value);

    /// A stored object as one of the kind.
    fn to_served(&self, object: &mut Value);
}

/// The rules of a row of the kinds table.
pub(crate) fn rules(kind: &Kind) -> &'static dyn Rules {
    match (kind.group, kind.kind) {
        ("", "ComponentStatus") => &component_status::ComponentStatus,
        ("", "ConfigMap") => &config_map::ConfigMap,
        ("", "Endpoints") => &endpoints::Endpoints,
        ("", "Event") => &event::Event,
        ("events.k8s.io", "Event") => &events_v1::EventsV1,
        ("", "LimitRange") => &limit_range::LimitRange,
        ("", "PersistentVolume") => &persistent_volume::PersistentVolume,
        ("", "PersistentVolumeClaim") => &persistent_volume_claim::PersistentVolumeClaim,
        ("", "PodTemplate") => &pod_template::PodTemplate,
        ("", "ReplicationController") => &replication_controller::ReplicationController,
        ("", "ResourceQuota") => &resource_quota::ResourceQuota,
        ("apps", "ControllerRevision") => &controller_revision::ControllerRevision,
        ("apps", "DaemonSet") => &daemon_set::DaemonSet,
        ("apps", "StatefulSet") => &stateful_set::StatefulSet,
        ("batch", "CronJob") => &cron_job::CronJob,
        ("batch", "Job") => &job::Job,
        ("autoscaling", "HorizontalPodAutoscaler") if kind.version == "v1" => &autoscaler_v1::AutoscalerV1,
        ("autoscaling", "HorizontalPodAutoscaler") => &horizontal_pod_autoscaler::HorizontalPodAutoscaler,
        ("policy", "PodDisruptionBudget") => &pod_disruption_budget::PodDisruptionBudget,
        ("", "Namespace") => &namespace::Namespace,
        ("", "Node") => &node::Node,
        ("", "Pod") => &pod::Pod,
        ("", "Secret") => &secret::Secret,
        ("", "Service") => &service::Service,
        ("", "ServiceAccount") => &service_account::ServiceAccount,
        ("apps", "Deployment") => &deployment::Deployment,
        ("apps", "ReplicaSet") => &replica_set::ReplicaSet,
        ("coordination.k8s.io", "Lease") => &lease::Lease,
        ("discovery.k8s.io", "EndpointSlice") => &endpoint_slice::EndpointSlice,
        ("node.k8s.io", "RuntimeClass") => &runtime_class::RuntimeClass,
        ("scheduling.k8s.io", "PriorityClass") => &priority_class::PriorityClass,
        _ => cluster_rules(kind),
    }
}

/// The rules of rows of the groups that configure a cluster: access, admission, networks, storage, devices.
fn cluster_rules(kind: &Kind) -> &'static dyn Rules {
    match (kind.group, kind.kind) {
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicy") => {
            &mutating_admission_policy::MutatingAdmissionPolicy
        }
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding") => {
            &mutating_admission_policy_binding::MutatingAdmissionPolicyBinding
        }
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration") => {
            &mutating_webhook_configuration::MutatingWebhookConfiguration
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => {
            &validating_admission_policy::ValidatingAdmissionPolicy
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => {
            &validating_admission_policy_binding::ValidatingAdmissionPolicyBinding
        }
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration") => {
            &validating_webhook_configuration::ValidatingWebhookConfiguration
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            &custom_resource_definition::CustomResourceDefinition
        }
        ("apiregistration.k8s.io", "APIService") => &api_service::ApiService,
        ("certificates.k8s.io", "CertificateSigningRequest") => {
            &certificate_signing_request::CertificateSigningRequest
        }
        ("certificates.k8s.io", "ClusterTrustBundle") => &cluster_trust_bundle::ClusterTrustBundle,
        ("certificates.k8s.io", "PodCertificateRequest") => &pod_certificate_request::PodCertificateRequest,
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => &flow_schema::FlowSchema,
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => {
            &priority_level_configuration::PriorityLevelConfiguration
        }
        ("networking.k8s.io", "IPAddress") => &ip_address::IpAddress,
        ("networking.k8s.io", "Ingress") => &ingress::Ingress,
        ("networking.k8s.io", "IngressClass") => &ingress_class::IngressClass,
        ("networking.k8s.io", "NetworkPolicy") => &network_policy::NetworkPolicy,
        ("networking.k8s.io", "ServiceCIDR") => &service_cidr::ServiceCidr,
        ("rbac.authorization.k8s.io", "ClusterRole") => &cluster_role::ClusterRole,
        ("rbac.authorization.k8s.io", "ClusterRoleBinding") => &cluster_role_binding::ClusterRoleBinding,
        ("rbac.authorization.k8s.io", "Role") => &role::Role,
        ("rbac.authorization.k8s.io", "RoleBinding") => &role_binding::RoleBinding,
        ("resource.k8s.io", "DeviceClass") => &device_class::DeviceClass,
        ("resource.k8s.io", "ResourceClaim") => &resource_claim::ResourceClaim,
        ("resource.k8s.io", "ResourceClaimTemplate") => &resource_claim_template::ResourceClaimTemplate,
        ("resource.k8s.io", "ResourceSlice") => &resource_slice::ResourceSlice,
        ("storage.k8s.io", "CSIDriver") => &csi_driver::CsiDriver,
        ("storage.k8s.io", "CSINode") => &csi_node::CsiNode,
        ("storage.k8s.io", "CSIStorageCapacity") => &csi_storage_capacity::CsiStorageCapacity,
        ("storage.k8s.io", "StorageClass") => &storage_class::StorageClass,
        ("storage.k8s.io", "VolumeAttachment") => &volume_attachment::VolumeAttachment,
        ("storage.k8s.io", "VolumeAttributesClass") => &volume_attributes_class::VolumeAttributesClass,
        _ => &plain::Plain,
    }
}

/// The form objects of a resource are stored in, where it is served in several groups or versions: that of the first
/// row of the table with the same storage. What is not stored is itself.
pub(crate) fn stored_kind(kind: &'static Kind) -> &'static Kind {
    let same = |other: &&Kind| kind.stored() && other.storage == kind.storage;
    wherry_api::kinds::KINDS.iter().find(same).unwrap_or(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_converted_if_it_is_stored_as_another() {
        for kind in wherry_api::kinds::KINDS {
            let same = std::ptr::eq(stored_kind(kind), kind);
            assert_eq!(rules(kind).conversion().is_none(), same, "{} {}", kind.api_version(), kind.kind);
        }
    }

    #[test]
    fn every_row_of_the_kinds_table_has_rules() {
        for kind in wherry_api::kinds::rows() {
            let columns = rules(kind).columns();
            assert!(!columns.is_empty() && columns.iter().all(Column::is_described), "{}", kind.plural);
        }
    }
}
