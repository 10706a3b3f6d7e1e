//! The rows of the kinds table, in the order in which discovery lists groups.

use super::parts::{EVICTION, SCALE, TOKEN, own, proxy, stream};
use super::{Kind, reviews};

const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const NAMESPACE_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
pub(super) const OBJECT_VERBS: &[&str] = &["get", "patch", "update"];

/// A namespaced core kind with every verb and no extras; rows differ from it by what they name.
pub(super) const CORE: Kind = Kind {
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

/// A core kind outside namespaces.
pub(super) const CLUSTER: Kind = Kind { namespaced: false, ..CORE };

/// Every resource served.
pub static KINDS: &[Kind] = &[
    reviews::COMPONENT_STATUS,
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
        kind: "LimitRange",
        plural: "limitranges",
        singular: "limitrange",
        short_names: &["limits"],
        storage: "limitranges",
        ..CORE
    },
    Kind {
        kind: "Namespace",
        plural: "namespaces",
        singular: "namespace",
        short_names: &["ns"],
        verbs: NAMESPACE_VERBS,
        subresources: &[own("finalize", "Namespace", &["update"]), own("status", "Namespace", OBJECT_VERBS)],
        storage: "namespaces",
        ..CLUSTER
    },
    Kind {
        kind: "Node",
        plural: "nodes",
        singular: "node",
        short_names: &["no"],
        subresources: &[proxy("NodeProxyOptions"), own("status", "Node", OBJECT_VERBS)],
        storage: "nodes",
        ..CLUSTER
    },
    Kind {
        kind: "PersistentVolumeClaim",
        plural: "persistentvolumeclaims",
        singular: "persistentvolumeclaim",
        short_names: &["pvc"],
        subresources: &[own("status", "PersistentVolumeClaim", OBJECT_VERBS)],
        storage: "persistentvolumeclaims",
        ..CORE
    },
    Kind {
        kind: "PersistentVolume",
        plural: "persistentvolumes",
        singular: "persistentvolume",
        short_names: &["pv"],
        subresources: &[own("status", "PersistentVolume", OBJECT_VERBS)],
        storage: "persistentvolumes",
        ..CLUSTER
    },
    Kind {
        kind: "Pod",
        plural: "pods",
        singular: "pod",
        short_names: &["po"],
        categories: &["all"],
        subresources: &[
            stream("attach", "PodAttachOptions"),
            own("binding", "Binding", &["create"]),
            own("ephemeralcontainers", "Pod", OBJECT_VERBS),
            EVICTION,
            stream("exec", "PodExecOptions"),
            own("log", "Pod", &["get"]),
            stream("portforward", "PodPortForwardOptions"),
            proxy("PodProxyOptions"),
            own("resize", "Pod", OBJECT_VERBS),
            own("status", "Pod", OBJECT_VERBS),
        ],
        storage: "pods",
        ..CORE
    },
    Kind {
        kind: "PodTemplate",
        plural: "podtemplates",
        singular: "podtemplate",
        storage: "podtemplates",
        ..CORE
    },
    Kind {
        kind: "ReplicationController",
        plural: "replicationcontrollers",
        singular: "replicationcontroller",
        short_names: &["rc"],
        categories: &["all"],
        subresources: &[SCALE, own("status", "ReplicationController", OBJECT_VERBS)],
        storage: "replicationcontrollers",
        ..CORE
    },
    Kind {
        kind: "ResourceQuota",
        plural: "resourcequotas",
        singular: "resourcequota",
        short_names: &["quota"],
        subresources: &[own("status", "ResourceQuota", OBJECT_VERBS)],
        storage: "resourcequotas",
        ..CORE
    },
    Kind { kind: "Secret", plural: "secrets", singular: "secret", storage: "secrets", ..CORE },
    Kind {
        kind: "ServiceAccount",
        plural: "serviceaccounts",
        singular: "serviceaccount",
        short_names: &["sa"],
        subresources: &[TOKEN],
        storage: "serviceaccounts",
        ..CORE
    },
    Kind {
        kind: "Service",
        plural: "services",
        singular: "service",
        short_names: &["svc"],
        categories: &["all"],
        subresources: &[proxy("ServiceProxyOptions"), own("status", "Service", OBJECT_VERBS)],
        storage: "services",
        ..CORE
    },
    Kind {
        group: "apiregistration.k8s.io",
        kind: "APIService",
        plural: "apiservices",
        singular: "apiservice",
        categories: &["api-extensions"],
        subresources: &[own("status", "APIService", OBJECT_VERBS)],
        storage: "apiregistration.k8s.io/apiservices",
        ..CLUSTER
    },
    Kind {
        group: "apps",
        kind: "ControllerRevision",
        plural: "controllerrevisions",
        singular: "controllerrevision",
        storage: "apps/controllerrevisions",
        ..CORE
    },
    Kind {
        group: "apps",
        kind: "DaemonSet",
        plural: "daemonsets",
        singular: "daemonset",
        short_names: &["ds"],
        categories: &["all"],
        subresources: &[own("status", "DaemonSet", OBJECT_VERBS)],
        storage: "apps/daemonsets",
        ..CORE
    },
    Kind {
        group: "apps",
        kind: "Deployment",
        plural: "deployments",
        singular: "deployment",
        short_names: &["deploy"],
        categories: &["all"],
        subresources: &[SCALE, own("status", "Deployment", OBJECT_VERBS)],
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
        subresources: &[SCALE, own("status", "ReplicaSet", OBJECT_VERBS)],
        storage: "apps/replicasets",
        ..CORE
    },
    Kind {
        group: "apps",
        kind: "StatefulSet",
        plural: "statefulsets",
        singular: "statefulset",
        short_names: &["sts"],
        categories: &["all"],
        subresources: &[SCALE, own("status", "StatefulSet", OBJECT_VERBS)],
        storage: "apps/statefulsets",
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
    reviews::SELF_SUBJECT_REVIEW,
    reviews::TOKEN_REVIEW,
    reviews::LOCAL_SUBJECT_ACCESS_REVIEW,
    reviews::SELF_SUBJECT_ACCESS_REVIEW,
    reviews::SELF_SUBJECT_RULES_REVIEW,
    reviews::SUBJECT_ACCESS_REVIEW,
    Kind {
        group: "autoscaling",
        version: "v2",
        kind: "HorizontalPodAutoscaler",
        plural: "horizontalpodautoscalers",
        singular: "horizontalpodautoscaler",
        short_names: &["hpa"],
        categories: &["all"],
        subresources: &[own("status", "HorizontalPodAutoscaler", OBJECT_VERBS)],
        storage: "autoscaling/horizontalpodautoscalers",
        ..CORE
    },
    Kind {
        group: "autoscaling",
        version: "v1",
        kind: "HorizontalPodAutoscaler",
        plural: "horizontalpodautoscalers",
        singular: "horizontalpodautoscaler",
        short_names: &["hpa"],
        categories: &["all"],
        subresources: &[own("status", "HorizontalPodAutoscaler", OBJECT_VERBS)],
        storage: "autoscaling/horizontalpodautoscalers",
        ..CORE
    },
    Kind {
        group: "batch",
        kind: "CronJob",
        plural: "cronjobs",
        singular: "cronjob",
        short_names: &["cj"],
        categories: &["all"],
        subresources: &[own("status", "CronJob", OBJECT_VERBS)],
        storage: "batch/cronjobs",
        ..CORE
    },
    Kind {
        group: "batch",
        kind: "Job",
        plural: "jobs",
        singular: "job",
        categories: &["all"],
        subresources: &[own("status", "Job", OBJECT_VERBS)],
        storage: "batch/jobs",
        ..CORE
    },
    Kind {
        group: "certificates.k8s.io",
        kind: "CertificateSigningRequest",
        plural: "certificatesigningrequests",
        singular: "certificatesigningrequest",
        short_names: &["csr"],
        subresources: &[
            own("approval", "CertificateSigningRequest", OBJECT_VERBS),
            own("status", "CertificateSigningRequest", OBJECT_VERBS),
        ],
        storage: "certificates.k8s.io/certificatesigningrequests",
        ..CLUSTER
    },
    Kind {
        group: "networking.k8s.io",
        kind: "IngressClass",
        plural: "ingressclasses",
        singular: "ingressclass",
        storage: "networking.k8s.io/ingressclasses",
        ..CLUSTER
    },
    Kind {
        group: "networking.k8s.io",
        kind: "Ingress",
        plural: "ingresses",
        singular: "ingress",
        short_names: &["ing"],
        subresources: &[own("status", "Ingress", OBJECT_VERBS)],
        storage: "networking.k8s.io/ingresses",
        ..CORE
    },
    Kind {
        group: "networking.k8s.io",
        kind: "IPAddress",
        plural: "ipaddresses",
        singular: "ipaddress",
        short_names: &["ip"],
        storage: "networking.k8s.io/ipaddresses",
        ..CLUSTER
    },
    Kind {
        group: "networking.k8s.io",
        kind: "NetworkPolicy",
        plural: "networkpolicies",
        singular: "networkpolicy",
        short_names: &["netpol"],
        storage: "networking.k8s.io/networkpolicies",
        ..CORE
    },
    Kind {
        group: "networking.k8s.io",
        kind: "ServiceCIDR",
        plural: "servicecidrs",
        singular: "servicecidr",
        subresources: &[own("status", "ServiceCIDR", OBJECT_VERBS)],
        storage: "networking.k8s.io/servicecidrs",
        ..CLUSTER
    },
    Kind {
        group: "policy",
        kind: "PodDisruptionBudget",
        plural: "poddisruptionbudgets",
        singular: "poddisruptionbudget",
        short_names: &["pdb"],
        subresources: &[own("status", "PodDisruptionBudget", OBJECT_VERBS)],
        storage: "policy/poddisruptionbudgets",
        ..CORE
    },
    Kind {
        group: "rbac.authorization.k8s.io",
        kind: "ClusterRoleBinding",
        plural: "clusterrolebindings",
        singular: "clusterrolebinding",
        storage: "rbac.authorization.k8s.io/clusterrolebindings",
        ..CLUSTER
    },
    Kind {
        group: "rbac.authorization.k8s.io",
        kind: "ClusterRole",
        plural: "clusterroles",
        singular: "clusterrole",
        storage: "rbac.authorization.k8s.io/clusterroles",
        ..CLUSTER
    },
    Kind {
        group: "rbac.authorization.k8s.io",
        kind: "RoleBinding",
        plural: "rolebindings",
        singular: "rolebinding",
        storage: "rbac.authorization.k8s.io/rolebindings",
        ..CORE
    },
    Kind {
        group: "rbac.authorization.k8s.io",
        kind: "Role",
        plural: "roles",
        singular: "role",
        storage: "rbac.authorization.k8s.io/roles",
        ..CORE
    },
    Kind {
        group: "storage.k8s.io",
        kind: "CSIDriver",
        plural: "csidrivers",
        singular: "csidriver",
        storage: "storage.k8s.io/csidrivers",
        ..CLUSTER
    },
    Kind {
        group: "storage.k8s.io",
        kind: "CSINode",
        plural: "csinodes",
        singular: "csinode",
        storage: "storage.k8s.io/csinodes",
        ..CLUSTER
    },
    Kind {
        group: "storage.k8s.io",
        kind: "CSIStorageCapacity",
        plural: "csistoragecapacities",
        singular: "csistoragecapacity",
        storage: "storage.k8s.io/csistoragecapacities",
        ..CORE
    },
    Kind {
        group: "storage.k8s.io",
        kind: "StorageClass",
        plural: "storageclasses",
        singular: "storageclass",
        short_names: &["sc"],
        storage: "storage.k8s.io/storageclasses",
        ..CLUSTER
    },
    Kind {
        group: "storage.k8s.io",
        kind: "VolumeAttachment",
        plural: "volumeattachments",
        singular: "volumeattachment",
        subresources: &[own("status", "VolumeAttachment", OBJECT_VERBS)],
        storage: "storage.k8s.io/volumeattachments",
        ..CLUSTER
    },
    Kind {
        group: "storage.k8s.io",
        kind: "VolumeAttributesClass",
        plural: "volumeattributesclasses",
        singular: "volumeattributesclass",
        short_names: &["vac"],
        storage: "storage.k8s.io/volumeattributesclasses",
        ..CLUSTER
    },
    Kind {
        group: "admissionregistration.k8s.io",
        kind: "MutatingAdmissionPolicy",
        plural: "mutatingadmissionpolicies",
        singular: "mutatingadmissionpolicy",
        categories: &["api-extensions"],
        storage: "admissionregistration.k8s.io/mutatingadmissionpolicies",
        ..CLUSTER
    },
    Kind {
        group: "admissionregistration.k8s.io",
        kind: "MutatingAdmissionPolicyBinding",
        plural: "mutatingadmissionpolicybindings",
        singular: "mutatingadmissionpolicybinding",
        categories: &["api-extensions"],
        storage: "admissionregistration.k8s.io/mutatingadmissionpolicybindings",
        ..CLUSTER
    },
    Kind {
        group: "admissionregistration.k8s.io",
        kind: "MutatingWebhookConfiguration",
        plural: "mutatingwebhookconfigurations",
        singular: "mutatingwebhookconfiguration",
        categories: &["api-extensions"],
        storage: "admissionregistration.k8s.io/mutatingwebhookconfigurations",
        ..CLUSTER
    },
    Kind {
        group: "admissionregistration.k8s.io",
        kind: "ValidatingAdmissionPolicy",
        plural: "validatingadmissionpolicies",
        singular: "validatingadmissionpolicy",
        categories: &["api-extensions"],
        subresources: &[own("status", "ValidatingAdmissionPolicy", OBJECT_VERBS)],
        storage: "admissionregistration.k8s.io/validatingadmissionpolicies",
        ..CLUSTER
    },
    Kind {
        group: "admissionregistration.k8s.io",
        kind: "ValidatingAdmissionPolicyBinding",
        plural: "validatingadmissionpolicybindings",
        singular: "validatingadmissionpolicybinding",
        categories: &["api-extensions"],
        storage: "admissionregistration.k8s.io/validatingadmissionpolicybindings",
        ..CLUSTER
    },
    Kind {
        group: "admissionregistration.k8s.io",
        kind: "ValidatingWebhookConfiguration",
        plural: "validatingwebhookconfigurations",
        singular: "validatingwebhookconfiguration",
        categories: &["api-extensions"],
        storage: "admissionregistration.k8s.io/validatingwebhookconfigurations",
        ..CLUSTER
    },
    Kind {
        group: "apiextensions.k8s.io",
        kind: "CustomResourceDefinition",
        plural: "customresourcedefinitions",
        singular: "customresourcedefinition",
        short_names: &["crd", "crds"],
        categories: &["api-extensions"],
        subresources: &[own("status", "CustomResourceDefinition", OBJECT_VERBS)],
        storage: "apiextensions.k8s.io/customresourcedefinitions",
        ..CLUSTER
    },
    Kind {
        group: "scheduling.k8s.io",
        kind: "PriorityClass",
        plural: "priorityclasses",
        singular: "priorityclass",
        short_names: &["pc"],
        storage: "scheduling.k8s.io/priorityclasses",
        ..CLUSTER
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
        group: "node.k8s.io",
        kind: "RuntimeClass",
        plural: "runtimeclasses",
        singular: "runtimeclass",
        storage: "node.k8s.io/runtimeclasses",
        ..CLUSTER
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
        group: "resource.k8s.io",
        kind: "DeviceClass",
        plural: "deviceclasses",
        singular: "deviceclass",
        storage: "resource.k8s.io/deviceclasses",
        ..CLUSTER
    },
    Kind {
        group: "resource.k8s.io",
        kind: "ResourceClaim",
        plural: "resourceclaims",
        singular: "resourceclaim",
        subresources: &[own("status", "ResourceClaim", OBJECT_VERBS)],
        storage: "resource.k8s.io/resourceclaims",
        ..CORE
    },
    Kind {
        group: "resource.k8s.io",
        kind: "ResourceClaimTemplate",
        plural: "resourceclaimtemplates",
        singular: "resourceclaimtemplate",
        storage: "resource.k8s.io/resourceclaimtemplates",
        ..CORE
    },
    Kind {
        group: "resource.k8s.io",
        kind: "ResourceSlice",
        plural: "resourceslices",
        singular: "resourceslice",
        storage: "resource.k8s.io/resourceslices",
        ..CLUSTER
    },
    Kind {
        group: "flowcontrol.apiserver.k8s.io",
        kind: "FlowSchema",
        plural: "flowschemas",
        singular: "flowschema",
        subresources: &[own("status", "FlowSchema", OBJECT_VERBS)],
        storage: "flowcontrol.apiserver.k8s.io/flowschemas",
        ..CLUSTER
    },
    Kind {
        group: "flowcontrol.apiserver.k8s.io",
        kind: "PriorityLevelConfiguration",
        plural: "prioritylevelconfigurations",
        singular: "prioritylevelconfiguration",
        subresources: &[own("status", "PriorityLevelConfiguration", OBJECT_VERBS)],
        storage: "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations",
        ..CLUSTER
    },
];
