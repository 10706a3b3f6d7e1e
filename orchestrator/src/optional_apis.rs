//! What goes with APIs that are switched on by `--runtime-config`, and goes away with them: their APIServices, and who may
//! read what is there for all.

use futures::future::try_join_all;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::DeleteParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use wherry_api::kinds::SwitchedOn;
use wherry_apiserver::bootstrap as api;

use crate::bootstrap::create_all;
use crate::policy;

const GROUP: &str = "certificates.k8s.io";
/// Lets Pods find out whom to believe.
const DISCOVERY: &str = "system:cluster-trust-bundle-discovery";
/// The label of APIServices that the server keeps by itself, and its value.
const OWN: (&str, &str) = ("kube-aggregator.kubernetes.io/automanaged", "onstart");

/// Creates what belongs to the APIs that are served, and deletes what those left that are not any more.
pub(crate) async fn settle(client: &Client, switched_on: &SwitchedOn) -> Result<(), kube::Error> {
    let (services, unserved) = api::optional_services(switched_on);
    try_join_all(services.into_iter().map(|service| create_all::<APIService>(client, service))).await?;
    try_join_all(unserved.iter().map(|name| remove(client, name))).await?;
    if switched_on.has(GROUP, "ClusterTrustBundle") {
        let [role, binding] = discovery();
        policy::role(client, role).await?;
        create_all::<ClusterRoleBinding>(client, binding).await?;
    }
    Ok(())
}

/// Deletes an APIService, unless it is somebody else's.
async fn remove(client: &Client, name: &str) -> Result<(), kube::Error> {
    let services = Api::<APIService>::all(client.clone());
    let Some(found) = services.get_opt(name).await? else { return Ok(()) };
    let label = found.metadata.labels.as_ref().and_then(|labels| labels.get(OWN.0));
    if label.map(String::as_str) != Some(OWN.1) {
        return Ok(());
    }
    services.delete(name, &DeleteParams::default()).await.map(drop)
}

/// All ServiceAccounts may read ClusterTrustBundles.
fn discovery() -> [Value; 2] {
    let metadata = json!({
        "name": DISCOVERY,
        "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
        "annotations": { "rbac.authorization.kubernetes.io/autoupdate": "true" },
    });
    [
        json!({
            "metadata": metadata,
            "rules": [{
                "apiGroups": [GROUP], "resources": ["clustertrustbundles"], "verbs": ["get", "list", "watch"],
            }],
        }),
        json!({
            "metadata": metadata,
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": DISCOVERY },
            "subjects": [{
                "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:serviceaccounts",
            }],
        }),
    ]
}
