//! The rules of each kind: what the server sets, what it refuses, what it shows.
//!
//! One file per kind and one line per kind in [`rules`]. Everything common to all kinds (metadata, conflicts,
//! deletion) is in `verbs` and `validation`; a rules file holds only what is particular to its kind.

pub(crate) mod config_map;
pub(crate) mod deployment;
pub(crate) mod endpoint_slice;
pub(crate) mod endpoints;
pub(crate) mod event;
pub(crate) mod events_v1;
pub(crate) mod lease;
pub(crate) mod namespace;
pub(crate) mod node;
pub(crate) mod plain;
pub(crate) mod pod;
pub(crate) mod pod_status;
pub(crate) mod priority_class;
pub(crate) mod replica_set;
pub(crate) mod runtime_class;
pub(crate) mod secret;
pub(crate) mod service;
pub(crate) mod service_account;

use jiff::Timestamp;
use wherry_api::kinds::Kind;
use wherry_api::names;
use wherry_schema::Value;

use crate::table::Column;
use crate::validation::Errors;

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

    /// Whether a write may be acknowledged before it is on disk.
    fn lazy(&self) -> bool {
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

    /// The rules every object of the kind keeps.
    fn validate(&self, _object: &Value, _errors: &mut Errors) {}

    /// The rules an update keeps in addition.
    fn validate_update(&self, _object: &Value, _old: &Value, _errors: &mut Errors) {}

    /// What a client should know about an object that is allowed all the same.
    fn warnings(&self, _object: &Value) -> Vec<String> {
        Vec::new()
    }

    /// The columns of its table.
    fn columns(&self) -> &'static [Column];

    /// The cells of its row.
    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value>;
}

/// The rules of a row of the kinds table.
pub(crate) fn rules(kind: &Kind) -> &'static dyn Rules {
    match (kind.group, kind.kind) {
        ("", "ConfigMap") => &config_map::ConfigMap,
        ("", "Endpoints") => &endpoints::Endpoints,
        ("", "Event") => &event::Event,
        ("events.k8s.io", "Event") => &events_v1::EventsV1,
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
        _ => &plain::Plain,
    }
}

/// The form objects of a resource are stored in, where it is served in several groups.
pub(crate) fn stored_kind(kind: &'static Kind) -> &'static Kind {
    if kind.storage == "events" && !kind.group.is_empty() {
        return wherry_api::kinds::by_kind("", "v1", "Event").expect("the kinds table has the core Event");
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_kinds_table_has_rules() {
        for kind in wherry_api::kinds::KINDS {
            let columns = rules(kind).columns();
            assert!(!columns.is_empty() && columns.iter().all(Column::is_described), "{}", kind.plural);
        }
    }
}
