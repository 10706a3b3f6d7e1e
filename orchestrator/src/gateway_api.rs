//! The Gateway API: its definitions (the standard channel of v1.3.0), our class, and who may serve Gateways.
//!
//! Definitions that somebody else made stay as they are, whatever their version; those made here follow this program.

use std::time::Duration;

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use wherry_api::{gateway, ingress};

use crate::bootstrap::create_all;
use crate::policy;

const DEFINITIONS: [&str; 5] = [
    include_str!("gateway_api/gatewayclasses.yaml"),
    include_str!("gateway_api/gateways.yaml"),
    include_str!("gateway_api/httproutes.yaml"),
    include_str!("gateway_api/grpcroutes.yaml"),
    include_str!("gateway_api/referencegrants.yaml"),
];

/// What all of them say of where they come from.
const ANNOTATIONS: [(&str, &str); 4] = [
    ("api-approved.kubernetes.io", "https://github.com/kubernetes-sigs/gateway-api/pull/3328"),
    ("gateway.networking.k8s.io/bundle-version", "v1.3.0"),
    ("gateway.networking.k8s.io/channel", "standard"),
    (REVISION, "1"),
];

/// Ours are told by this; one of another value is of another version of this program.
const REVISION: &str = "run.wherry.dev/definition";

/// How long until it is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Why a definition cannot be made.
#[derive(Debug, thiserror::Error)]
enum InstallError {
    #[error("a definition in this program is none")]
    Syntax(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the API server refuses a definition")]
    Api(#[from] kube::Error),
    #[error("a definition is not served")]
    Established(#[from] kube::runtime::wait::Error),
}

/// Makes what is missing, again until that works. The cluster does not wait for it.
pub(crate) async fn install(client: Client) {
    while let Err(error) = try_install(&client).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot install the Gateway API yet");
        tokio::time::sleep(RETRY).await;
    }
}

async fn try_install(client: &Client) -> Result<(), InstallError> {
    role(client).await?;
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    for text in DEFINITIONS {
        define(&api, definition(text)?).await?;
    }
    await_condition(api, "gatewayclasses.gateway.networking.k8s.io", conditions::is_crd_established())
        .await?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(gateway::GROUP, "v1", "GatewayClass"));
    let class = DynamicObject::new(gateway::CLASS, &resource)
        .data(json!({"spec": {"controllerName": gateway::CONTROLLER}}));
    let created = Api::<DynamicObject>::all_with(client.clone(), &resource);
    match created.create(&PostParams::default(), &class).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn definition(text: &str) -> Result<CustomResourceDefinition, InstallError> {
    let read = serde_saphyr::from_str::<CustomResourceDefinition>(text);
    let mut definition = read.map_err(|error| InstallError::Syntax(Box::new(error)))?;
    let annotations = ANNOTATIONS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    definition.metadata.annotations = Some(annotations.into());
    Ok(definition)
}

async fn define(
    api: &Api<CustomResourceDefinition>,
    mut wanted: CustomResourceDefinition,
) -> Result<(), kube::Error> {
    let name = wanted.name_any();
    let Some(found) = api.get_metadata_opt(&name).await? else {
        return match api.create(&PostParams::default(), &wanted).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            Err(error) => Err(error),
        };
    };
    let revision = found.annotations().get(REVISION);
    if revision.is_none() || revision == wanted.annotations().get(REVISION) {
        return Ok(());
    }
    wanted.metadata.resource_version = found.metadata.resource_version;
    api.replace(&name, &PostParams::default(), &wanted).await.map(drop)
}

/// Lets the controller of Ingresses serve Gateways.
async fn role(client: &Client) -> Result<(), kube::Error> {
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    let read = ["get", "list", "watch"];
    let kinds = ["gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants"];
    let told = ["gatewayclasses/status", "gateways/status", "httproutes/status", "grpcroutes/status"];
    let rules = [
        rule("", &["namespaces"], &read),
        rule("apiextensions.k8s.io", &["customresourcedefinitions"], &read),
        rule(gateway::GROUP, &kinds, &read),
        rule(gateway::GROUP, &told, &["patch"]),
    ];
    let role = json!({"metadata": {"name": gateway::ROLE}, "rules": rules});
    let binding = json!({
        "metadata": {"name": gateway::ROLE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": gateway::ROLE},
        "subjects": [{"kind": "ServiceAccount", "namespace": "kube-system", "name": ingress::ACCOUNT}],
    });
    policy::role(client, role).await?;
    create_all::<ClusterRoleBinding>(client, binding).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_of_the_group_and_approved() {
        for text in DEFINITIONS {
            let definition = definition(text).unwrap();
            assert_eq!(definition.spec.group, gateway::GROUP);
            assert!(definition.annotations().contains_key("api-approved.kubernetes.io"));
            let names: Vec<_> = definition.spec.versions.iter().filter(|one| one.storage).collect();
            assert_eq!(names.len(), 1, "{}", definition.name_any());
        }
    }
}
