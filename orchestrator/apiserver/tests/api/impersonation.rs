//! Requests in the name of somebody else.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use wherry_apiserver::UserInfo;

use crate::harness::{Answer, Api, send};

const WHO: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

async fn who(api: &Api, user: UserInfo, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::post(WHO).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(&api.server.router_as(user), request.body(Body::from("{}")).unwrap()).await
}

async fn allow(api: &Api, rules: &Value) {
    let group = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({"metadata": {"name": "actor"}, "rules": rules});
    api.post(&format!("{group}/clusterroles"), &role).await.expect(201);
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "actor"});
    let ann = json!({"kind": "User", "name": "ann", "apiGroup": "rbac.authorization.k8s.io"});
    let binding = json!({"metadata": {"name": "actors"}, "roleRef": role, "subjects": [ann]});
    api.post(&format!("{group}/clusterrolebindings"), &binding).await.expect(201);
}

#[tokio::test]
async fn who_may_do_everything_may_be_anybody() {
    let api = Api::start().await;
    api.default_policy().await;
    let headers = [
        ("Impersonate-User", "bob"),
        ("Impersonate-Uid", "u7"),
        ("Impersonate-Group", "dev"),
        ("Impersonate-Group", "ops"),
        ("Impersonate-Extra-Scopes", "a"),
        ("Impersonate-Extra-Scopes", "b"),
    ];
    let answer = who(&api, UserInfo::master("root"), &headers).await.expect(201);
    let groups = ["dev", "ops", "system:authenticated"];
    assert_eq!(
        answer["status"]["userInfo"],
        json!({"username": "bob", "uid": "u7", "groups": groups, "extra": {"scopes": ["a", "b"]}})
    );
    let answer =
        who(&api, UserInfo::master("root"), &[("Impersonate-User", "system:serviceaccount:a:b")]).await;
    let groups = ["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"];
    assert_eq!(answer.expect(201)["status"]["userInfo"]["groups"], json!(groups));
}

#[tokio::test]
async fn every_part_of_the_other_identity_must_be_allowed() {
    let api = Api::start().await;
    api.default_policy().await;
    allow(&api, &json!([
        {"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"], "resourceNames": ["bob"]},
        {"verbs": ["impersonate"], "apiGroups": ["authentication.k8s.io"], "resources": ["userextras/scopes"]},
    ]))
    .await;
    let ann = || UserInfo::new("ann", &[]);
    let bob = ("Impersonate-User", "bob");
    who(&api, ann(), &[bob, ("Impersonate-Extra-Scopes", "a")]).await.expect(201);
    let refused = |answer: Answer, text: &str| answer.refused(403, "Forbidden", text);
    refused(
        who(&api, ann(), &[("Impersonate-User", "root")]).await,
        "users \"root\" is forbidden: User \"ann\" cannot impersonate resource \"users\" in API group \"\" at the cluster \
         scope",
    );
    refused(
        who(&api, ann(), &[bob, ("Impersonate-Group", "system:masters")]).await,
        "groups \"system:masters\" is forbidden: User \"ann\" cannot impersonate resource \"groups\" in API group \"\" at \
         the cluster scope",
    );
    refused(
        who(&api, ann(), &[bob, ("Impersonate-Extra-Other", "a")]).await,
        "userextras.authentication.k8s.io \"a\" is forbidden: User \"ann\" cannot impersonate resource \
         \"userextras/other\" in API group \"authentication.k8s.io\" at the cluster scope",
    );
    refused(
        who(&api, ann(), &[("Impersonate-User", "system:serviceaccount:a:b")]).await,
        "serviceaccounts \"b\" is forbidden: User \"ann\" cannot impersonate resource \"serviceaccounts\" in API group \
         \"\" in the namespace \"a\"",
    );
}

#[tokio::test]
async fn what_is_done_is_decided_by_the_other_identity_alone() {
    let api = Api::start().await;
    let request = Request::get("/api/v1/nodes").header("impersonate-user", "bob");
    let answer =
        send(&api.server.router_as(UserInfo::master("root")), request.body(Body::empty()).unwrap()).await;
    answer.refused(
        403,
        "Forbidden",
        "nodes is forbidden: User \"bob\" cannot list resource \"nodes\" in API group \"\" at the cluster scope",
    );
}

#[tokio::test]
async fn a_group_without_a_user_is_an_error() {
    let api = Api::start().await;
    let answer = who(&api, UserInfo::master("root"), &[("Impersonate-Group", "dev")]).await;
    assert_eq!(answer.code, 500);
    let text = "requested [{Group  dev    }] without impersonating a user\n";
    assert!(answer.text.starts_with("Internal Server Error: \"/apis/") && answer.text.ends_with(text));
}
