//! What roles and bindings allow.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use wherry_apiserver::UserInfo;

use crate::harness::{Answer, Api, CONFIG_MAPS, send};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const BINDING: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";

fn user(name: &str) -> Value {
    json!({"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"})
}

fn bound(name: &str, kind: &str, role: &str, subject: &Value) -> Value {
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role});
    json!({"metadata": {"name": name}, "roleRef": role, "subjects": [subject]})
}

async fn cluster_role(api: &Api, name: &str, labels: &Value, rules: &Value) {
    let role = json!({"metadata": {"name": name, "labels": labels}, "rules": rules});
    api.post(&format!("{RBAC}/clusterroles"), &role).await.expect(201);
}

async fn get(api: &Api, name: &str, path: &str) -> Answer {
    let request = Request::get(path).body(Body::empty()).unwrap();
    send(&api.server.router_as(UserInfo::new(name, &["system:authenticated"])), request).await
}

fn lists(resource: &str) -> Value {
    json!([{"verbs": ["list"], "apiGroups": [""], "resources": [resource]}])
}

#[tokio::test]
async fn a_grant_counts_from_its_acknowledgement_to_its_end() {
    let api = Api::start().await;
    cluster_role(&api, "lister", &json!({}), &lists("configmaps")).await;
    for _ in 0..20 {
        get(&api, "ann", CONFIG_MAPS).await.expect(403);
        api.post(BINDING, &bound("b", "ClusterRole", "lister", &user("ann"))).await.expect(201);
        get(&api, "ann", CONFIG_MAPS).await.expect(200);
        get(&api, "ann", "/api/v1/configmaps").await.expect(403);
        api.delete(&format!("{BINDING}/b")).await.expect(200);
    }
    get(&api, "ann", CONFIG_MAPS).await.expect(403);
}

#[tokio::test]
async fn a_role_that_changes_changes_what_its_bindings_allow() {
    let api = Api::start().await;
    cluster_role(&api, "lister", &json!({}), &lists("configmaps")).await;
    api.post(BINDING, &bound("b", "ClusterRole", "lister", &user("ann"))).await.expect(201);
    get(&api, "ann", CONFIG_MAPS).await.expect(200);
    let path = format!("{RBAC}/clusterroles/lister");
    api.patch(&path, "merge-patch", &json!({"rules": lists("secrets")})).await.expect(200);
    get(&api, "ann", CONFIG_MAPS).await.expect(403);
    get(&api, "ann", "/api/v1/namespaces/default/secrets").await.expect(200);
}

#[tokio::test]
async fn a_binding_to_a_role_that_is_missing_is_named_in_the_refusal() {
    let api = Api::start().await;
    api.post(BINDING, &bound("b", "ClusterRole", "gone", &user("ann"))).await.expect(201);
    get(&api, "ann", CONFIG_MAPS).await.refused(
        403,
        "Forbidden",
        "configmaps is forbidden: User \"ann\" cannot list resource \"configmaps\" in API group \"\" in the namespace \
         \"default\": RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found",
    );
}

#[tokio::test]
async fn a_role_that_is_a_sum_allows_what_its_parts_and_their_parts_allow() {
    let api = Api::start().await;
    let sum = |name: &str, of: &str, part_of: Option<&str>| {
        let labels = part_of.map(|label| json!({label: "true"}));
        let selectors = json!([{"matchLabels": {of: "true"}}]);
        json!({
            "metadata": {"name": name, "labels": labels},
            "aggregationRule": {"clusterRoleSelectors": selectors},
        })
    };
    let roles = format!("{RBAC}/clusterroles");
    api.post(&roles, &sum("all", "in-all", None)).await.expect(201);
    // The two inner sums select each other: that ends, too.
    api.post(&roles, &sum("some", "in-some", Some("in-all"))).await.expect(201);
    api.post(&roles, &sum("more", "in-all", Some("in-some"))).await.expect(201);
    api.post(BINDING, &bound("b", "ClusterRole", "all", &user("ann"))).await.expect(201);
    get(&api, "ann", CONFIG_MAPS).await.expect(403);
    cluster_role(&api, "part", &json!({"in-some": "true"}), &lists("configmaps")).await;
    get(&api, "ann", CONFIG_MAPS).await.expect(200);
    let unlabel = json!({"metadata": {"labels": null}});
    api.patch(&format!("{roles}/part"), "merge-patch", &unlabel).await.expect(200);
    get(&api, "ann", CONFIG_MAPS).await.expect(403);
}

#[tokio::test]
async fn a_service_account_without_a_namespace_is_one_of_the_namespace_of_its_binding() {
    let api = Api::start().await;
    cluster_role(&api, "lister", &json!({}), &lists("configmaps")).await;
    let account = json!({"kind": "ServiceAccount", "name": "robot"});
    api.post(BINDING, &bound("b", "ClusterRole", "lister", &account)).await.expect(201);
    get(&api, "system:serviceaccount:default:robot", CONFIG_MAPS).await.expect(200);
    get(&api, "system:serviceaccount:other:robot", CONFIG_MAPS).await.expect(403);
}
