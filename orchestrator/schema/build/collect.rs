//! Collects the JSON schemas of the kinds served and of everything they reach.

use std::collections::BTreeMap;

use k8s_openapi::api;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration;
use schemars::SchemaGenerator;
use serde_json::Value;

/// JSON schemas by full name, such as `io.k8s.api.core.v1.Pod`.
pub(crate) type Definitions = BTreeMap<String, Value>;

/// A type decoded by itself: group, version, kind and the full name of the schema.
type Root = (&'static str, &'static str, &'static str, &'static str);

/// Declares the roots: for each module its group, its version, where its schemas' names start, and its kinds.
macro_rules! roots {
    ($($group:literal $version:literal $prefix:literal $($module:ident)::+ { $($kind:ident)* })*) => {
        /// The types decoded by themselves, sorted by group, version and kind.
        pub(crate) static ROOTS: &[Root] =
            &[$($(($group, $version, stringify!($kind), concat!($prefix, ".", stringify!($kind))),)*)*];

        fn generate(generator: &mut SchemaGenerator) {
            $({
                use $($module)::+ as module;
                $(generator.subschema_for::<module::$kind>();)*
            })*
        }
    };
}

roots! {
    "" "v1" "io.k8s.api.core.v1" api::core::v1 {
        Binding ComponentStatus ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume
        PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount
    }
    "admissionregistration.k8s.io" "v1" "io.k8s.api.admissionregistration.v1" api::admissionregistration::v1 {
        MutatingAdmissionPolicy MutatingAdmissionPolicyBinding MutatingWebhookConfiguration
        ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration
    }
    "apiextensions.k8s.io" "v1" "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1" apiextensions::v1 {
        CustomResourceDefinition
    }
    "apiregistration.k8s.io" "v1" "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1" apiregistration::v1 {
        APIService
    }
    "apps" "v1" "io.k8s.api.apps.v1" api::apps::v1 {
        ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet
    }
    "authentication.k8s.io" "v1" "io.k8s.api.authentication.v1" api::authentication::v1 {
        SelfSubjectReview TokenRequest TokenReview
    }
    "authorization.k8s.io" "v1" "io.k8s.api.authorization.v1" api::authorization::v1 {
        LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview
    }
    "autoscaling" "v1" "io.k8s.api.autoscaling.v1" api::autoscaling::v1 { HorizontalPodAutoscaler Scale }
    "autoscaling" "v2" "io.k8s.api.autoscaling.v2" api::autoscaling::v2 { HorizontalPodAutoscaler }
    "batch" "v1" "io.k8s.api.batch.v1" api::batch::v1 { CronJob Job }
    "certificates.k8s.io" "v1" "io.k8s.api.certificates.v1" api::certificates::v1 { CertificateSigningRequest }
    "certificates.k8s.io" "v1beta1" "io.k8s.api.certificates.v1beta1" api::certificates::v1beta1 {
        ClusterTrustBundle PodCertificateRequest
    }
    "coordination.k8s.io" "v1" "io.k8s.api.coordination.v1" api::coordination::v1 { Lease }
    "discovery.k8s.io" "v1" "io.k8s.api.discovery.v1" api::discovery::v1 { EndpointSlice }
    "events.k8s.io" "v1" "io.k8s.api.events.v1" api::events::v1 { Event }
    "flowcontrol.apiserver.k8s.io" "v1" "io.k8s.api.flowcontrol.v1" api::flowcontrol::v1 {
        FlowSchema PriorityLevelConfiguration
    }
    "meta.k8s.io" "v1" "io.k8s.apimachinery.pkg.apis.meta.v1" meta::v1 { DeleteOptions Status }
    "networking.k8s.io" "v1" "io.k8s.api.networking.v1" api::networking::v1 {
        IPAddress Ingress IngressClass NetworkPolicy ServiceCIDR
    }
    "node.k8s.io" "v1" "io.k8s.api.node.v1" api::node::v1 { RuntimeClass }
    "policy" "v1" "io.k8s.api.policy.v1" api::policy::v1 { Eviction PodDisruptionBudget }
    "rbac.authorization.k8s.io" "v1" "io.k8s.api.rbac.v1" api::rbac::v1 {
        ClusterRole ClusterRoleBinding Role RoleBinding
    }
    "resource.k8s.io" "v1" "io.k8s.api.resource.v1" api::resource::v1 {
        DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice
    }
    "scheduling.k8s.io" "v1" "io.k8s.api.scheduling.v1" api::scheduling::v1 { PriorityClass }
    "storage.k8s.io" "v1" "io.k8s.api.storage.v1" api::storage::v1 {
        CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment VolumeAttributesClass
    }
}

/// What is only answered, never decoded: discovery and the version.
fn generate_answers(generator: &mut SchemaGenerator) {
    generator.subschema_for::<meta::v1::APIGroup>();
    generator.subschema_for::<meta::v1::APIGroupList>();
    generator.subschema_for::<meta::v1::APIResourceList>();
    generator.subschema_for::<meta::v1::APIVersions>();
    generator.subschema_for::<k8s_openapi::apimachinery::pkg::version::Info>();
    generator.subschema_for::<k8s_openapi::apimachinery::pkg::runtime::RawExtension>();
}

/// Every schema reachable from the roots.
pub(crate) fn definitions() -> Definitions {
    let mut generator = SchemaGenerator::default();
    generate(&mut generator);
    generate_answers(&mut generator);
    let definitions: Definitions = generator.take_definitions(true).into_iter().collect();
    for (_, _, _, root) in ROOTS {
        assert!(definitions.contains_key(*root), "no schema of {root}");
    }
    definitions
}

/// The full name a `$ref` points to.
pub(crate) fn reference(schema: &Value) -> Option<&str> {
    let target = schema.get("$ref").and_then(Value::as_str)?;
    target.rsplit('/').next()
}
