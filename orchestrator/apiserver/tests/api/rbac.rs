//! What roles and bindings allow.

use axum::body::Body;
use base64::Engine as _;
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

/// A user who may write roles and bindings, list ConfigMaps, and nothing else.
async fn granter(api: &Api, verbs: &[&str]) {
    let mut rules = json!([
        {"verbs": ["list"], "apiGroups": [""], "resources": ["configmaps"]},
        {"verbs": ["create", "update", "patch", "get"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"]},
    ]);
    if !verbs.is_empty() {
        let more = json!({"verbs": verbs, "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"]});
        rules.as_array_mut().unwrap().push(more);
    }
    cluster_role(api, "granter", &json!({}), &rules).await;
    let binding = bound("granter", "ClusterRole", "granter", &user("ann"));
    api.post(&format!("{RBAC}/clusterrolebindings"), &binding).await.expect(201);
}

async fn post_as(api: &Api, name: &str, path: &str, body: &Value) -> Answer {
    let request = Request::post(path).header("content-type", "application/json");
    let request = request.body(Body::from(body.to_string())).unwrap();
    send(&api.server.router_as(UserInfo::new(name, &["dev"])), request).await
}

#[tokio::test]
async fn nobody_writes_a_role_that_allows_what_they_may_not_do() {
    let api = Api::start().await;
    granter(&api, &[]).await;
    let roles = format!("{RBAC}/clusterroles");
    let role = json!({"metadata": {"name": "own"}, "rules": lists("configmaps")});
    post_as(&api, "ann", &roles, &role).await.expect(201);
    let rules =
        json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["configmaps", "secrets"]}]);
    let role = json!({"metadata": {"name": "more"}, "rules": rules});
    post_as(&api, "ann", &roles, &role).await.refused(
        403,
        "Forbidden",
        "clusterroles.rbac.authorization.k8s.io \"more\" is forbidden: user \"ann\" (groups=[\"dev\" \
         \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n\
         {APIGroups:[\"\"], Resources:[\"configmaps\"], Verbs:[\"get\"]}\n\
         {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}",
    );
    let sum = json!({"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]});
    let role = json!({"metadata": {"name": "sum"}, "aggregationRule": sum});
    post_as(&api, "ann", &roles, &role).await.refused(
        403,
        "Forbidden",
        "clusterroles.rbac.authorization.k8s.io \"sum\" is forbidden: must have cluster-admin privileges to use the \
         aggregationRule",
    );
}

#[tokio::test]
async fn a_role_is_not_widened_beyond_what_its_author_may_do() {
    let api = Api::start().await;
    granter(&api, &[]).await;
    cluster_role(&api, "wide", &json!({}), &lists("secrets")).await;
    let router = api.server.router_as(UserInfo::new("ann", &[]));
    let patch = async |body: Value| {
        let request = Request::patch(format!("{RBAC}/clusterroles/wide"))
            .header("content-type", "application/merge-patch+json");
        send(&router, request.body(Body::from(body.to_string())).unwrap()).await
    };
    patch(json!({"metadata": {"labels": {"a": "b"}}})).await.expect(403);
    // To let an object go takes no more than the right to write it.
    patch(json!({"metadata": {"finalizers": ["example.com/mine"]}})).await.expect(200);
    patch(json!({"rules": lists("configmaps")})).await.expect(200);
}

#[tokio::test]
async fn nobody_binds_a_role_that_allows_what_they_may_not_do() {
    let api = Api::start().await;
    granter(&api, &[]).await;
    cluster_role(&api, "secrets", &json!({}), &lists("secrets")).await;
    cluster_role(&api, "maps", &json!({}), &lists("configmaps")).await;
    let to = |role: &str| bound(role, "ClusterRole", role, &user("bob"));
    post_as(&api, "ann", BINDING, &to("maps")).await.expect(201);
    let refused = post_as(&api, "ann", BINDING, &to("secrets")).await.expect(403);
    let text = refused["message"].as_str().unwrap();
    assert!(text.ends_with("{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"list\"]}"), "{text}");
    let text = "clusterroles.rbac.authorization.k8s.io \"gone\" not found";
    post_as(&api, "ann", BINDING, &to("gone")).await.refused(404, "NotFound", text);
}

#[tokio::test]
async fn who_may_escalate_and_bind_may_hand_out_anything() {
    let api = Api::start().await;
    granter(&api, &["escalate", "bind"]).await;
    let role = json!({"metadata": {"name": "wide"}, "rules": lists("secrets")});
    post_as(&api, "ann", &format!("{RBAC}/clusterroles"), &role).await.expect(201);
    let binding = bound("wide", "ClusterRole", "wide", &user("bob"));
    post_as(&api, "ann", BINDING, &binding).await.expect(201);
    get(&api, "bob", "/api/v1/namespaces/default/secrets").await.expect(200);
}

#[tokio::test]
async fn the_roles_of_every_cluster_let_people_work_in_their_namespace() {
    let api = Api::start().await;
    api.default_policy().await;
    for (role, name) in [("view", "vic"), ("edit", "edd"), ("admin", "ada")] {
        api.post(BINDING, &bound(role, "ClusterRole", role, &user(name))).await.expect(201);
    }
    let map = json!({"metadata": {"generateName": "m-"}});
    for (name, list, secrets, create, roles) in
        [("vic", 200, 403, 403, 403), ("edd", 200, 200, 201, 403), ("ada", 200, 200, 201, 200)]
    {
        get(&api, name, CONFIG_MAPS).await.expect(list);
        get(&api, name, "/api/v1/namespaces/default/secrets").await.expect(secrets);
        post_as(&api, name, CONFIG_MAPS, &map).await.expect(create);
        get(&api, name, "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles").await.expect(roles);
        get(&api, name, "/api/v1/nodes").await.expect(403);
    }
}

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// A request for a client certificate.
fn certificate_request(name: &str, organization: &str) -> Value {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "ann");
    params.distinguished_name.push(rcgen::DnType::OrganizationName, organization);
    let pem = params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    let request = base64::engine::general_purpose::STANDARD.encode(pem);
    let signer = "kubernetes.io/kube-apiserver-client";
    let spec = json!({"request": request, "signerName": signer, "usages": ["client auth"]});
    json!({"metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn who_decides_on_a_certificate_may_approve_for_its_signer() {
    let api = Api::start().await;
    let rules = json!([
        {"verbs": ["update"], "apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/approval"]},
    ]);
    cluster_role(&api, "writer", &json!({}), &rules).await;
    let bindings = format!("{RBAC}/clusterrolebindings");
    api.post(&bindings, &bound("writer", "ClusterRole", "writer", &user("ann"))).await.expect(201);
    let mut request = api.post(REQUESTS, &certificate_request("c", "dev")).await.expect(201);
    let approved = json!({"type": "Approved", "status": "True", "reason": "r", "message": "m"});
    request["status"]["conditions"] = json!([approved]);
    let approve = async || {
        let put = Request::put(format!("{REQUESTS}/c/approval")).header("content-type", "application/json");
        let put = put.body(Body::from(request.to_string())).unwrap();
        send(&api.server.router_as(UserInfo::new("ann", &[])), put).await
    };
    approve().await.refused(
        403,
        "Forbidden",
        "certificatesigningrequests.certificates.k8s.io \"c\" is forbidden: user not permitted to approve requests with \
         signerName \"kubernetes.io/kube-apiserver-client\"",
    );
    let rules = json!([{
        "verbs": ["approve"], "apiGroups": ["certificates.k8s.io"], "resources": ["signers"],
        "resourceNames": ["kubernetes.io/*"],
    }]);
    cluster_role(&api, "approver", &json!({}), &rules).await;
    api.post(&bindings, &bound("approver", "ClusterRole", "approver", &user("ann"))).await.expect(201);
    approve().await.expect(200);
}

#[tokio::test]
async fn nobody_asks_for_a_certificate_that_may_do_everything() {
    let api = Api::start().await;
    api.post(REQUESTS, &certificate_request("c", "system:masters")).await.refused(
        403,
        "Forbidden",
        "certificatesigningrequests.certificates.k8s.io \"c\" is forbidden: use of kubernetes.io/kube-apiserver-client \
         signer with system:masters group is not allowed",
    );
    let mut invalid = certificate_request("c", "system:masters");
    invalid["spec"]["usages"] = json!(["flying"]);
    assert_eq!(api.post(REQUESTS, &invalid).await.code, 422, "what is wrong with it comes first");
}

#[tokio::test]
async fn who_hands_a_certificate_out_or_says_why_not_may_sign_for_its_signer() {
    let api = Api::start().await;
    let rules = json!([
        {"verbs": ["update"], "apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/status"]},
    ]);
    cluster_role(&api, "writer", &json!({}), &rules).await;
    let bindings = format!("{RBAC}/clusterrolebindings");
    api.post(&bindings, &bound("writer", "ClusterRole", "writer", &user("ann"))).await.expect(201);
    let mut request = api.post(REQUESTS, &certificate_request("c", "dev")).await.expect(201);
    let put = async |request: &Value| {
        let put = Request::put(format!("{REQUESTS}/c/status")).header("content-type", "application/json");
        let put = put.body(Body::from(request.to_string())).unwrap();
        send(&api.server.router_as(UserInfo::new("ann", &[])), put).await
    };
    request = put(&request).await.expect(200);
    request["status"]["conditions"] = json!([{"type": "Waiting", "status": "True"}]);
    put(&request).await.refused(
        403,
        "Forbidden",
        "certificatesigningrequests.certificates.k8s.io \"c\" is forbidden: user not permitted to sign requests with \
         signerName \"kubernetes.io/kube-apiserver-client\"",
    );
    let rules = json!([{"verbs": ["sign"], "apiGroups": ["certificates.k8s.io"], "resources": ["signers"]}]);
    cluster_role(&api, "signer", &json!({}), &rules).await;
    api.post(&bindings, &bound("signer", "ClusterRole", "signer", &user("ann"))).await.expect(201);
    put(&request).await.expect(200);
}
