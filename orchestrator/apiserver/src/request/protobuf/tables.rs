//! Field numbers of the messages that typed clients send.

/// The type of a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Type {
    String,
    Bytes,
    Int,
    Bool,
    Time,
    Quantity,
    IntOrString,
    Message(&'static Message),
    Map(&'static Type),
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) kind: Type,
    pub(super) repeated: bool,
}

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
}

const fn one(number: u32, name: &'static str, kind: Type) -> Field {
    Field { number, name, kind, repeated: false }
}

const fn many(number: u32, name: &'static str, kind: Type) -> Field {
    Field { number, name, kind, repeated: true }
}

const fn text(number: u32, name: &'static str) -> Field {
    one(number, name, Type::String)
}

const fn int(number: u32, name: &'static str) -> Field {
    one(number, name, Type::Int)
}

const fn flag(number: u32, name: &'static str) -> Field {
    one(number, name, Type::Bool)
}

const fn texts(number: u32, name: &'static str) -> Field {
    many(number, name, Type::String)
}

const fn map(number: u32, name: &'static str) -> Field {
    one(number, name, Type::Map(&Type::String))
}

const fn inner(number: u32, name: &'static str, message: &'static Message) -> Field {
    one(number, name, Type::Message(message))
}

const fn list(number: u32, name: &'static str, message: &'static Message) -> Field {
    many(number, name, Type::Message(message))
}

macro_rules! messages {
    ($($constant:ident $name:literal [$($field:expr),* $(,)?])*) => {
        $(pub(super) static $constant: Message = Message { name: $name, fields: &[$($field),*] };)*
    };
}

/// The message of a kind.
pub(super) fn message_of(api_version: &str, kind: &str) -> Option<&'static Message> {
    Some(match (api_version, kind) {
        ("v1", "Binding") => &BINDING,
        ("v1", "ConfigMap") => &CONFIG_MAP,
        ("v1", "DeleteOptions") => &DELETE_OPTIONS,
        ("v1", "Namespace") => &NAMESPACE,
        ("v1", "Pod") => &POD,
        ("v1", "Secret") => &SECRET,
        ("v1", "Service") => &SERVICE,
        ("v1", "ServiceAccount") => &SERVICE_ACCOUNT,
        ("apps/v1", "Deployment") => &DEPLOYMENT,
        ("authentication.k8s.io/v1", "TokenRequest") => &TOKEN_REQUEST,
        ("coordination.k8s.io/v1", "Lease") => &LEASE,
        ("policy/v1", "Eviction") => &EVICTION,
        ("scheduling.k8s.io/v1", "PriorityClass") => &PRIORITY_CLASS,
        _ => return None,
    })
}

messages! {
    ENVELOPE "Unknown" [
        inner(1, "typeMeta", &TYPE_META), one(2, "raw", Type::Bytes), text(3, "contentEncoding"),
        text(4, "contentType"),
    ]
    TYPE_META "TypeMeta" [text(1, "apiVersion"), text(2, "kind")]
    TIME "Time" [int(1, "seconds"), int(2, "nanos")]
    QUANTITY "Quantity" [text(1, "string")]
    INT_OR_STRING "IntOrString" [int(1, "type"), int(2, "intVal"), text(3, "strVal")]
    OBJECT_META "ObjectMeta" [
        text(1, "name"), text(2, "generateName"), text(3, "namespace"), text(4, "selfLink"), text(5, "uid"),
        text(6, "resourceVersion"), int(7, "generation"), one(8, "creationTimestamp", Type::Time),
        one(9, "deletionTimestamp", Type::Time), int(10, "deletionGracePeriodSeconds"), map(11, "labels"),
        map(12, "annotations"), list(13, "ownerReferences", &OWNER_REFERENCE), texts(14, "finalizers"),
    ]
    OWNER_REFERENCE "OwnerReference" [
        text(1, "kind"), text(3, "name"), text(4, "uid"), text(5, "apiVersion"), flag(6, "controller"),
        flag(7, "blockOwnerDeletion"),
    ]
    OBJECT_REFERENCE "ObjectReference" [
        text(1, "kind"), text(2, "namespace"), text(3, "name"), text(4, "uid"), text(5, "apiVersion"),
        text(6, "resourceVersion"), text(7, "fieldPath"),
    ]
    LOCAL_REFERENCE "LocalObjectReference" [text(1, "name")]
    BINDING "Binding" [inner(1, "metadata", &OBJECT_META), inner(2, "target", &OBJECT_REFERENCE)]
    CONFIG_MAP "ConfigMap" [
        inner(1, "metadata", &OBJECT_META), map(2, "data"), one(3, "binaryData", Type::Map(&Type::Bytes)),
        flag(4, "immutable"),
    ]
    SECRET "Secret" [
        inner(1, "metadata", &OBJECT_META), one(2, "data", Type::Map(&Type::Bytes)), text(3, "type"),
        map(4, "stringData"), flag(5, "immutable"),
    ]
    NAMESPACE "Namespace" [
        inner(1, "metadata", &OBJECT_META), inner(2, "spec", &NAMESPACE_SPEC), inner(3, "status", &NAMESPACE_STATUS),
    ]
    NAMESPACE_SPEC "NamespaceSpec" [texts(1, "finalizers")]
    NAMESPACE_STATUS "NamespaceStatus" [text(1, "phase")]
    SERVICE_ACCOUNT "ServiceAccount" [
        inner(1, "metadata", &OBJECT_META), list(2, "secrets", &OBJECT_REFERENCE),
        list(3, "imagePullSecrets", &LOCAL_REFERENCE), flag(4, "automountServiceAccountToken"),
    ]
    TOKEN_REQUEST "TokenRequest" [inner(1, "metadata", &OBJECT_META), inner(2, "spec", &TOKEN_REQUEST_SPEC)]
    TOKEN_REQUEST_SPEC "TokenRequestSpec" [
        texts(1, "audiences"), inner(3, "boundObjectRef", &BOUND_REFERENCE), int(4, "expirationSeconds"),
    ]
    BOUND_REFERENCE "BoundObjectReference" [
        text(1, "kind"), text(2, "apiVersion"), text(3, "name"), text(4, "uid"),
    ]
    PRIORITY_CLASS "PriorityClass" [
        inner(1, "metadata", &OBJECT_META), int(2, "value"), flag(3, "globalDefault"), text(4, "description"),
        text(5, "preemptionPolicy"),
    ]
    LEASE "Lease" [inner(1, "metadata", &OBJECT_META), inner(2, "spec", &LEASE_SPEC)]
    LEASE_SPEC "LeaseSpec" [
        text(1, "holderIdentity"), int(2, "leaseDurationSeconds"), one(3, "acquireTime", Type::Time),
        one(4, "renewTime", Type::Time), int(5, "leaseTransitions"), text(6, "strategy"), text(7, "preferredHolder"),
    ]
    EVICTION "Eviction" [inner(1, "metadata", &OBJECT_META), inner(2, "deleteOptions", &DELETE_OPTIONS)]
    DELETE_OPTIONS "DeleteOptions" [
        int(1, "gracePeriodSeconds"), inner(2, "preconditions", &PRECONDITIONS), flag(3, "orphanDependents"),
        text(4, "propagationPolicy"), texts(5, "dryRun"),
    ]
    PRECONDITIONS "Preconditions" [text(1, "uid"), text(2, "resourceVersion")]
    SERVICE "Service" [
        inner(1, "metadata", &OBJECT_META), inner(2, "spec", &SERVICE_SPEC), inner(3, "status", &SERVICE_STATUS),
    ]
    SERVICE_SPEC "ServiceSpec" [
        list(1, "ports", &SERVICE_PORT), map(2, "selector"), text(3, "clusterIP"), text(4, "type"),
        texts(5, "externalIPs"), text(7, "sessionAffinity"), text(8, "loadBalancerIP"),
        texts(9, "loadBalancerSourceRanges"), text(10, "externalName"), text(11, "externalTrafficPolicy"),
        int(12, "healthCheckNodePort"), flag(13, "publishNotReadyAddresses"), text(17, "ipFamilyPolicy"),
        texts(18, "clusterIPs"), texts(19, "ipFamilies"), flag(20, "allocateLoadBalancerNodePorts"),
        text(21, "loadBalancerClass"), text(22, "internalTrafficPolicy"), text(23, "trafficDistribution"),
    ]
    SERVICE_PORT "ServicePort" [
        text(1, "name"), text(2, "protocol"), int(3, "port"), one(4, "targetPort", Type::IntOrString),
        int(5, "nodePort"), text(6, "appProtocol"),
    ]
    SERVICE_STATUS "ServiceStatus" [inner(1, "loadBalancer", &EMPTY)]
    EMPTY "LoadBalancerStatus" []
    DEPLOYMENT "Deployment" [
        inner(1, "metadata", &OBJECT_META), inner(2, "spec", &DEPLOYMENT_SPEC), inner(3, "status", &DEPLOYMENT_STATUS),
    ]
    DEPLOYMENT_SPEC "DeploymentSpec" [
        int(1, "replicas"), inner(2, "selector", &LABEL_SELECTOR), inner(3, "template", &POD_TEMPLATE),
        inner(4, "strategy", &STRATEGY), int(5, "minReadySeconds"), int(6, "revisionHistoryLimit"), flag(7, "paused"),
        int(9, "progressDeadlineSeconds"),
    ]
    STRATEGY "DeploymentStrategy" [text(1, "type"), inner(2, "rollingUpdate", &ROLLING_UPDATE)]
    ROLLING_UPDATE "RollingUpdateDeployment" [
        one(1, "maxUnavailable", Type::IntOrString), one(2, "maxSurge", Type::IntOrString),
    ]
    DEPLOYMENT_STATUS "DeploymentStatus" [
        int(1, "observedGeneration"), int(2, "replicas"), int(3, "updatedReplicas"), int(4, "availableReplicas"),
        int(5, "unavailableReplicas"), int(7, "readyReplicas"),
    ]
    LABEL_SELECTOR "LabelSelector" [map(1, "matchLabels"), list(2, "matchExpressions", &EXPRESSION)]
    EXPRESSION "LabelSelectorRequirement" [text(1, "key"), text(2, "operator"), texts(3, "values")]
    POD "Pod" [inner(1, "metadata", &OBJECT_META), inner(2, "spec", &POD_SPEC), inner(3, "status", &POD_STATUS)]
    POD_STATUS "PodStatus" [text(1, "phase")]
    POD_TEMPLATE "PodTemplateSpec" [inner(1, "metadata", &OBJECT_META), inner(2, "spec", &POD_SPEC)]
    POD_SPEC "PodSpec" [
        list(2, "containers", &CONTAINER), text(3, "restartPolicy"), int(4, "terminationGracePeriodSeconds"),
        int(5, "activeDeadlineSeconds"), text(6, "dnsPolicy"), map(7, "nodeSelector"), text(8, "serviceAccountName"),
        text(9, "serviceAccount"), text(10, "nodeName"), flag(11, "hostNetwork"), flag(12, "hostPID"),
        flag(13, "hostIPC"), list(15, "imagePullSecrets", &LOCAL_REFERENCE), text(16, "hostname"),
        text(17, "subdomain"), text(19, "schedulerName"), list(20, "initContainers", &CONTAINER),
        flag(21, "automountServiceAccountToken"), text(24, "priorityClassName"), int(25, "priority"),
        flag(27, "shareProcessNamespace"), text(29, "runtimeClassName"), flag(30, "enableServiceLinks"),
        text(31, "preemptionPolicy"),
    ]
    CONTAINER "Container" [
        text(1, "name"), text(2, "image"), texts(3, "command"), texts(4, "args"), text(5, "workingDir"),
        list(6, "ports", &CONTAINER_PORT), list(7, "env", &ENV), inner(8, "resources", &RESOURCES),
        text(13, "terminationMessagePath"), text(14, "imagePullPolicy"), flag(16, "stdin"), flag(17, "stdinOnce"),
        flag(18, "tty"), text(20, "terminationMessagePolicy"), text(24, "restartPolicy"),
    ]
    CONTAINER_PORT "ContainerPort" [
        text(1, "name"), int(2, "hostPort"), int(3, "containerPort"), text(4, "protocol"), text(5, "hostIP"),
    ]
    ENV "EnvVar" [text(1, "name"), text(2, "value")]
    RESOURCES "ResourceRequirements" [
        one(1, "limits", Type::Map(&Type::Quantity)), one(2, "requests", Type::Map(&Type::Quantity)),
    ]
}
