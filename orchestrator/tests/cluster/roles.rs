//! ClusterRoles that are sums of others, with the real controller.

use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};

use crate::support::{Cluster, wait};

fn resources(role: &ClusterRole) -> Vec<&str> {
    let rules = role.rules.iter().flatten();
    rules.flat_map(|rule| rule.resources.iter().flatten()).map(String::as_str).collect()
}

async fn create(api: &Api<ClusterRole>, role: Value) {
    api.create(&PostParams::default(), &serde_json::from_value(role).unwrap()).await.unwrap();
}

async fn until(api: &Api<ClusterRole>, name: &str, is: impl Fn(&ClusterRole) -> bool) {
    let condition = await_condition(api.clone(), name, |role: Option<&ClusterRole>| role.is_some_and(&is));
    Box::pin(wait(condition)).await;
}

#[tokio::test]
async fn a_role_has_the_rules_of_those_it_selects() {
    let cluster = Cluster::start().await;
    let api: Api<ClusterRole> = Api::all(cluster.client.clone());
    until(&api, "view", |view| resources(view).contains(&"configmaps")).await;
    until(&api, "admin", |admin| resources(admin).contains(&"rolebindings")).await;
    let rule = json!({"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["widgets"]});
    let labels = json!({"rbac.authorization.k8s.io/aggregate-to-view": "true"});
    create(&api, json!({"metadata": {"name": "widgets", "labels": labels}, "rules": [rule]})).await;
    let has_widgets = |role: &ClusterRole| resources(role).contains(&"widgets");
    for name in ["view", "edit", "admin"] {
        until(&api, name, has_widgets).await;
    }
    api.delete("widgets", &DeleteParams::default()).await.unwrap();
    for name in ["view", "edit", "admin"] {
        until(&api, name, |role| !has_widgets(role)).await;
    }
}
