//! What a Pod refers to in the API: a static Pod may refer to nothing there. Pure.

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, Pod, PodSpec, Volume, VolumeProjection};

/// The first kind of object that the Pod refers to, in the plural that kubelet names it by.
pub(super) fn first(pod: &Pod) -> Option<&'static str> {
    let spec = pod.spec.as_ref()?;
    of_spec(spec)
        .or_else(|| spec.volumes.iter().flatten().find_map(of_volume))
        .or_else(|| of_environments(spec))
}

fn of_spec(spec: &PodSpec) -> Option<&'static str> {
    let named = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
    let some = [
        (named(&spec.service_account_name) || named(&spec.service_account), "serviceaccounts"),
        (spec.image_pull_secrets.as_ref().is_some_and(|all| !all.is_empty()), "secrets"),
        (spec.resource_claims.as_ref().is_some_and(|all| !all.is_empty()), "resourceclaims"),
        (spec.ephemeral_containers.as_ref().is_some_and(|all| !all.is_empty()), "ephemeralcontainers"),
    ];
    some.into_iter().find_map(|(is_there, kind)| is_there.then_some(kind))
}

fn of_volume(volume: &Volume) -> Option<&'static str> {
    let projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    let some = [
        (volume.secret.is_some(), "secrets"),
        (volume.config_map.is_some(), "configmaps"),
        (volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some(), "persistentvolumeclaims"),
        (volume.csi.is_some(), "csidrivers"),
    ];
    let direct = some.into_iter().find_map(|(is_there, kind)| is_there.then_some(kind));
    direct.or_else(|| projected.map(of_projection).find_map(|kind| kind))
}

fn of_projection(source: &VolumeProjection) -> Option<&'static str> {
    let some = [
        (source.secret.is_some(), "secrets"),
        (source.config_map.is_some(), "configmaps"),
        (source.service_account_token.is_some(), "serviceaccounts"),
        (source.cluster_trust_bundle.is_some(), "clustertrustbundles"),
        (source.pod_certificate.is_some(), "podcertificaterequests"),
    ];
    some.into_iter().find_map(|(is_there, kind)| is_there.then_some(kind))
}

fn of_environments(spec: &PodSpec) -> Option<&'static str> {
    let containers = || spec.init_containers.iter().flatten().chain(&spec.containers);
    let sources = containers().flat_map(|container| container.env_from.iter().flatten());
    let variables = containers().flat_map(|container| container.env.iter().flatten());
    sources.map(of_source).chain(variables.map(of_variable)).find_map(|kind| kind)
}

fn of_source(source: &EnvFromSource) -> Option<&'static str> {
    let secret = source.secret_ref.as_ref().map(|_| "secrets");
    secret.or_else(|| source.config_map_ref.as_ref().map(|_| "configmaps"))
}

fn of_variable(variable: &EnvVar) -> Option<&'static str> {
    let source = variable.value_from.as_ref()?;
    let secret = source.secret_key_ref.as_ref().map(|_| "secrets");
    secret.or_else(|| source.config_map_key_ref.as_ref().map(|_| "configmaps"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case::nothing(json!({ "volumes": [{ "name": "v", "emptyDir": {} }, { "name": "h", "hostPath": { "path": "/" } }] }), None)]
    #[case::account(json!({ "serviceAccountName": "a" }), Some("serviceaccounts"))]
    #[case::no_account(json!({ "serviceAccountName": "" }), None)]
    #[case::pulling(json!({ "imagePullSecrets": [{ "name": "s" }] }), Some("secrets"))]
    #[case::secret(json!({ "volumes": [{ "name": "v", "secret": { "secretName": "s" } }] }), Some("secrets"))]
    #[case::claim(json!({ "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "c" } }] }), Some("persistentvolumeclaims"))]
    #[case::projected(
        json!({ "volumes": [{ "name": "v", "projected": { "sources": [{ "downwardAPI": {} }, { "serviceAccountToken": { "path": "t" } }] } }] }),
        Some("serviceaccounts")
    )]
    #[case::environment(
        json!({ "initContainers": [{ "name": "i", "envFrom": [{ "configMapRef": { "name": "c" } }] }] }),
        Some("configmaps")
    )]
    #[case::variable(
        json!({ "initContainers": [{ "name": "i", "env": [{ "name": "A", "valueFrom": { "secretKeyRef": { "key": "k", "name": "n" } } }] }] }),
        Some("secrets")
    )]
    fn objects_of_the_api_are_found_wherever_they_are_named(
        #[case] mut spec: Value,
        #[case] expected: Option<&str>,
    ) {
        spec["containers"] = json!([]);
        let pod: Pod = serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap();
        assert_eq!(first(&pod), expected);
    }
}
