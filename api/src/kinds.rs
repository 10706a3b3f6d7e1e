//! The kinds table: one row for each resource the API serves.
//!
//! Discovery, storage keys, URL routing and clean-up all read this table; a new kind is one row here and one
//! file of rules in the API server. Facts are those of Kubernetes 1.36 discovery.

const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const NAMESPACE_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
const OBJECT_VERBS: &[&str] = &["get", "patch", "update"];

/// One resource, in one group and version.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version within the group.
    pub version: &'static str,
    /// The kind's name in objects: `Pod`.
    pub kind: &'static str,
    /// The resource's name in URLs: `pods`.
    pub plural: &'static str,
    /// The singular name tools accept: `pod`.
    pub singular: &'static str,
    /// Abbreviations tools accept.
    pub short_names: &'static [&'static str],
    /// Groups of resources, such as `all`.
    pub categories: &'static [&'static str],
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
    /// Verbs of the resource, sorted.
    pub verbs: &'static [&'static str],
    /// Subresources, sorted by name.
    pub subresources: &'static [Subresource],
    /// Storage prefix below `/registry/`; resources served in two groups share it.
    pub storage: &'static str,
}

/// A part of a resource with verbs of its own.
#[derive(Debug, PartialEq, Eq)]
pub struct Subresource {
    /// The last segment of its URL.
    pub name: &'static str,
    /// Group of its kind where that differs from its parent's.
    pub group: &'static str,
    /// Version of its kind where that differs from its parent's.
    pub version: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Its verbs, sorted.
    pub verbs: &'static [&'static str],
}

impl Kind {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The resource with its group, as errors name it: `pods` or `deployments.apps`.
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// The subresource of this name.
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }
}

/// The row of a resource name.
pub fn by_plural(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|k| k.plural == plural && k.group == group && k.version == version)
}

/// The row of a kind name.
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|k| k.kind == kind && k.group == group && k.version == version)
}

const fn own(name: &'static str, kind: &'static str, verbs: &'static [&'static str]) -> Subresource {
    Subresource { name, group: "", version: "", kind, verbs }
}

const fn scale() -> Subresource {
    Subresource { name: "scale", group: "autoscaling", version: "v1", kind: "Scale", verbs: OBJECT_VERBS }
}

/// A namespaced core kind with every verb and no extras; rows differ from it by what they name.
const CORE: Kind = Kind {
    group: "",
    version: "v1",
    kind: "",
    plural: "",
    singular: "",
    short_names: &[],
    categories: &[],
    namespaced: true,
    verbs: ALL_VERBS,
    subresources: &[],
    storage: "",
};

/// Every resource served, in discovery's order.
pub static KINDS: &[Kind] = &[
    Kind {
        kind: "ConfigMap",
        plural: "configmaps",
        singular: "configmap",
        short_names: &["cm"],
        storage: "configmaps",
        ..CORE
    },
    Kind {
        kind: "Endpoints",
        plural: "endpoints",
        singular: "endpoints",
        short_names: &["ep"],
        storage: "endpoints",
        ..CORE
    },
    Kind {
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        storage: "events",
        ..CORE
    },
    Kind {
        kind: "Namespace",
        plural: "namespaces",
        singular: "namespace",
        short_names: &["ns"],
        namespaced: false,
        verbs: NAMESPACE_VERBS,
        subresources: &[own("finalize", "Namespace", &["update"]), own("status", "Namespace", OBJECT_VERBS)],
        storage: "namespaces",
        ..CORE
    },
    Kind {
        kind: "Node",
        plural: "nodes",
        singular: "node",
        short_names: &["no"],
        namespaced: false,
        subresources: &[own("status", "Node", OBJECT_VERBS)],
        storage: "nodes",
        ..CORE
    },
    Kind {
        kind: "Pod",
        plural: "pods",
        singular: "pod",
        short_names: &["po"],
        categories: &["all"],
        subresources: &[
            own("binding", "Binding", &["create"]),
            Subresource {
                name: "eviction",
                group: "policy",
                version: "v1",
                kind: "Eviction",
                verbs: &["create"],
            },
            own("log", "Pod", &["get"]),
            own("status", "Pod", OBJECT_VERBS),
        ],
        storage: "pods",
        ..CORE
    },
    Kind { kind: "Secret", plural: "secrets", singular: "secret", storage: "secrets", ..CORE },
    Kind {
        kind: "ServiceAccount",
        plural: "serviceaccounts",
        singular: "serviceaccount",
        short_names: &["sa"],
        storage: "serviceaccounts",
        ..CORE
    },
    Kind {
        kind: "Service",
        plural: "services",
        singular: "service",
        short_names: &["svc"],
        categories: &["all"],
        subresources: &[own("status", "Service", OBJECT_VERBS)],
        storage: "services",
        ..CORE
    },
    Kind {
        group: "apps",
        kind: "Deployment",
        plural: "deployments",
        singular: "deployment",
        short_names: &["deploy"],
        categories: &["all"],
        subresources: &[scale(), own("status", "Deployment", OBJECT_VERBS)],
        storage: "apps/deployments",
        ..CORE
    },
    Kind {
        group: "apps",
        kind: "ReplicaSet",
        plural: "replicasets",
        singular: "replicaset",
        short_names: &["rs"],
        categories: &["all"],
        subresources: &[scale(), own("status", "ReplicaSet", OBJECT_VERBS)],
        storage: "apps/replicasets",
        ..CORE
    },
    Kind {
        group: "events.k8s.io",
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        storage: "events",
        ..CORE
    },
    Kind {
        group: "coordination.k8s.io",
        kind: "Lease",
        plural: "leases",
        singular: "lease",
        storage: "coordination.k8s.io/leases",
        ..CORE
    },
    Kind {
        group: "discovery.k8s.io",
        kind: "EndpointSlice",
        plural: "endpointslices",
        singular: "endpointslice",
        storage: "discovery.k8s.io/endpointslices",
        ..CORE
    },
    Kind {
        group: "node.k8s.io",
        kind: "RuntimeClass",
        plural: "runtimeclasses",
        singular: "runtimeclass",
        namespaced: false,
        storage: "node.k8s.io/runtimeclasses",
        ..CORE
    },
    Kind {
        group: "scheduling.k8s.io",
        kind: "PriorityClass",
        plural: "priorityclasses",
        singular: "priorityclass",
        short_names: &["pc"],
        namespaced: false,
        storage: "scheduling.k8s.io/priorityclasses",
        ..CORE
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_both_its_names() {
        for kind in KINDS {
            assert_eq!(by_plural(kind.group, kind.version, kind.plural), Some(kind));
            assert_eq!(by_kind(kind.group, kind.version, kind.kind), Some(kind));
        }
    }

    #[test]
    fn verbs_and_subresources_are_sorted_as_discovery_prints_them() {
        for kind in KINDS {
            assert!(kind.verbs.is_sorted(), "{}", kind.plural);
            assert!(kind.subresources.is_sorted_by_key(|s| s.name), "{}", kind.plural);
            assert!(kind.subresources.iter().all(|s| s.verbs.is_sorted()), "{}", kind.plural);
        }
    }

    #[test]
    fn names_carry_the_group_where_there_is_one() {
        let deployment = by_kind("apps", "v1", "Deployment").unwrap();
        assert_eq!(deployment.api_version(), "apps/v1");
        assert_eq!(deployment.group_resource(), "deployments.apps");
        let pod = by_kind("", "v1", "Pod").unwrap();
        assert_eq!(pod.api_version(), "v1");
        assert_eq!(pod.group_resource(), "pods");
    }
}
