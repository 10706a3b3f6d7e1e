//! Nodes: what they read, and what they write.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use wherry_apiserver::{Authorization, TokenIssuer, UserInfo};

use crate::harness::{Answer, Api, CONFIG_MAPS, PODS, send};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const NODES: &str = "/api/v1/nodes";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
const CSI_NODES: &str = "/apis/storage.k8s.io/v1/csinodes";
const SLICES: &str = "/apis/resource.k8s.io/v1/resourceslices";
const ACCOUNT: &str = "/api/v1/namespaces/default/serviceaccounts/default/token";

async fn ask(api: &Api, node: &str, (method, path): (&str, &str), body: &Value) -> Answer {
    let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let request = Request::builder().method(method).uri(path).header("content-type", media);
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let user = UserInfo::new(&format!("system:node:{node}"), &["system:nodes"]);
    send(&api.server.router_as(user), request.body(body).unwrap()).await
}

async fn get(api: &Api, node: &str, path: &str) -> Answer {
    ask(api, node, ("GET", path), &Value::Null).await
}

/// What a node is told that has nothing to do with a Secret.
fn unrelated(node: &str, secret: &str) -> String {
    format!(
        "secrets {secret:?} is forbidden: User \"system:node:{node}\" cannot get resource \"secrets\" in API group \"\" \
         in the namespace \"default\": no relationship found between node '{node}' and this object"
    )
}

async fn secret(api: &Api, name: &str) {
    api.post(SECRETS, &json!({"metadata": {"name": name}})).await.expect(201);
}

/// A Pod on a node with these volumes.
async fn pod(api: &Api, name: &str, node: Option<&str>, volumes: &Value) -> Value {
    let spec = json!({"nodeName": node, "volumes": volumes, "containers": [{"name": "c", "image": "i"}]});
    api.post(PODS, &json!({"metadata": {"name": name}, "spec": spec})).await.expect(201)
}

#[tokio::test]
async fn a_node_reads_a_secret_while_a_pod_of_it_mounts_it() {
    let api = Api::start().await;
    secret(&api, "s").await;
    let path = format!("{SECRETS}/s");
    get(&api, "n1", &path).await.refused(403, "Forbidden", &unrelated("n1", "s"));
    let volumes = json!([{"name": "v", "secret": {"secretName": "s"}}]);
    pod(&api, "p", None, &volumes).await;
    get(&api, "n1", &path).await.refused(403, "Forbidden", &unrelated("n1", "s"));
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    api.post(&format!("{PODS}/p/binding"), &binding).await.expect(201);
    get(&api, "n1", &path).await.expect(200);
    get(&api, "n1", &format!("{SECRETS}?fieldSelector=metadata.name%3Ds")).await.expect(200);
    get(&api, "n2", &path).await.refused(403, "Forbidden", &unrelated("n2", "s"));
    get(&api, "n1", SECRETS).await.expect(403);
    pod(&api, "q", Some("n1"), &volumes).await;
    api.delete_with(&format!("{PODS}/p"), &json!({"gracePeriodSeconds": 0})).await.expect(200);
    get(&api, "n1", &path).await.expect(200);
    api.delete_with(&format!("{PODS}/q"), &json!({"gracePeriodSeconds": 0})).await.expect(200);
    get(&api, "n1", &path).await.refused(403, "Forbidden", &unrelated("n1", "s"));
}

#[tokio::test]
async fn a_node_reads_the_volume_of_a_claim_and_the_secrets_of_the_volume() {
    let api = Api::start().await;
    secret(&api, "stage").await;
    let volume = json!({"metadata": {"name": "v"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
        "claimRef": {"namespace": "default", "name": "c"},
        "csi": {"driver": "d.example.com", "volumeHandle": "h", "fsType": "ext4",
            "nodeStageSecretRef": {"namespace": "default", "name": "stage"},
            "controllerPublishSecretRef": {"namespace": "default", "name": "publish"}},
    }});
    api.post("/api/v1/persistentvolumes", &volume).await.expect(201);
    get(&api, "n1", "/api/v1/persistentvolumes/v").await.expect(403);
    let mounted = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]);
    pod(&api, "p", Some("n1"), &mounted).await;
    get(&api, "n1", "/api/v1/persistentvolumes/v").await.expect(200);
    get(&api, "n1", &format!("{SECRETS}/stage")).await.expect(200);
    get(&api, "n1", &format!("{SECRETS}/publish")).await.refused(
        403,
        "Forbidden",
        &unrelated("n1", "publish"),
    );
    get(&api, "n2", "/api/v1/persistentvolumes/v").await.expect(403);
    api.delete("/api/v1/persistentvolumes/v").await.expect(200);
    let free = json!({"metadata": {"finalizers": null}});
    api.patch("/api/v1/persistentvolumes/v", "merge-patch", &free).await.expect(200);
    get(&api, "n1", &format!("{SECRETS}/stage")).await.refused(403, "Forbidden", &unrelated("n1", "stage"));
}

/// Whoever is allowed to write volumes as a node takes one finalizer off its own and does nothing else.
#[tokio::test]
async fn a_node_says_that_the_directory_of_a_volume_of_its_own_is_gone() {
    let api = Api::start().await;
    let rules =
        json!([{"apiGroups": [""], "resources": ["persistentvolumes"], "verbs": ["create", "patch"]}]);
    let roles = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({"metadata": {"name": "volumes"}, "rules": rules});
    api.post(&format!("{roles}/clusterroles"), &role).await.expect(201);
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "metadata": {"name": "volumes"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "volumes"},
        "subjects": [{"apiGroup": group, "kind": "Group", "name": "system:nodes"}],
    });
    api.post(&format!("{roles}/clusterrolebindings"), &binding).await.expect(201);
    let volume = json!({
        "metadata": {
            "name": "v", "labels": {"wherry.io/local-path-node": "n1"}, "finalizers": ["x.io/y", "wherry.io/local-path"],
        },
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"},
        },
    });
    let why = |node: &str| {
        format!(
            "persistentvolumes \"v\" is forbidden: node {node:?} may only take the finalizer \"wherry.io/local-path\" off \
             volumes of its own"
        )
    };
    let refused = |answer: Answer, node: &str| answer.refused(403, "Forbidden", &why(node));
    refused(ask(&api, "n1", ("POST", "/api/v1/persistentvolumes"), &volume).await, "n1");
    let path = "/api/v1/persistentvolumes/v";
    api.post("/api/v1/persistentvolumes", &volume).await.expect(201);
    let keeps = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}});
    let patch = async |node: &str, body: Value| ask(&api, node, ("PATCH", path), &body).await;
    refused(patch("n1", json!({"spec": {"capacity": {"storage": "2Gi"}}})).await, "n1");
    refused(patch("n1", keeps(json!(["wherry.io/local-path"]))).await, "n1");
    let done = keeps(json!(["x.io/y", "kubernetes.io/pv-protection"]));
    refused(patch("n2", done.clone()).await, "n2");
    patch("n1", done).await.expect(200);
    refused(
        patch("n1", keeps(json!(["x.io/y", "kubernetes.io/pv-protection", "wherry.io/local-path"]))).await,
        "n1",
    );
}

#[tokio::test]
async fn a_node_lists_its_own_pods_only() {
    let api = Api::start().await;
    api.pod("p", Some("n1")).await;
    get(&api, "n1", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").await.expect(200);
    get(&api, "n1", &format!("{PODS}/p")).await.expect(200);
    for path in ["/api/v1/pods", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn2"] {
        get(&api, "n1", path).await.refused(
            403,
            "Forbidden",
            "pods is forbidden: User \"system:node:n1\" cannot list resource \"pods\" in API group \"\" at the cluster \
             scope: can only list/watch pods with spec.nodeName field selector",
        );
    }
    get(&api, "n2", &format!("{PODS}/p")).await.expect(403);
    get(&api, "", "/api/v1/nodes/n1").await.refused(
        403,
        "Forbidden",
        "nodes \"n1\" is forbidden: User \"system:node:\" cannot get resource \"nodes\" in API group \"\" at the cluster \
         scope: unknown node for user \"system:node:\"",
    );
}

#[tokio::test]
async fn a_node_writes_its_own_node_without_a_say_in_what_is_placed_there() {
    let api = Api::start().await;
    let node = |name: &str, label: &str| json!({"metadata": {"name": name, "labels": {label: "x"}}});
    let refused = |answer: Answer, name: &str, why: &str| {
        answer.refused(403, "Forbidden", &format!("nodes {name:?} is forbidden: {why}"));
    };
    let other = ask(&api, "n1", ("POST", NODES), &node("n2", "a")).await;
    refused(other, "n2", "node \"n1\" is not allowed to modify node \"n2\"");
    let role = ask(&api, "n1", ("POST", NODES), &node("n1", "node-role.kubernetes.io/control-plane")).await;
    let why = "node \"n1\" is not allowed to set the following labels: node-role.kubernetes.io/control-plane";
    refused(role, "n1", why);
    ask(&api, "n1", ("POST", NODES), &node("n1", "kubernetes.io/hostname")).await.expect(201);
    let path = format!("{NODES}/n1");
    let patch = async |body: Value| ask(&api, "n1", ("PATCH", &path), &body).await;
    let labels = json!({"metadata": {"labels": {"x.k8s.io/b": "1", "own": "1", "k8s.io/a": "1"}}});
    refused(patch(labels).await, "n1", "is not allowed to modify labels: k8s.io/a, x.k8s.io/b");
    let taints = json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    refused(patch(taints).await, "n1", "node \"n1\" is not allowed to modify taints");
    patch(json!({"metadata": {"labels": {"own": "1"}}})).await.expect(200);
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let path = format!("{NODES}/n1/status");
    ask(&api, "n1", ("PATCH", &path), &status).await.expect(200);
    refused(
        ask(&api, "n2", ("PATCH", &path), &status).await,
        "n1",
        "node \"n2\" is not allowed to modify node \"n1\"",
    );
}

#[tokio::test]
async fn a_node_makes_what_is_called_after_it() {
    let api = Api::start().await;
    api.namespace("kube-node-lease").await;
    let named = |name: &str| json!({"metadata": {"name": name}, "spec": {"drivers": []}});
    let lease = |name: &str| json!({"metadata": {"name": name}});
    ask(&api, "n1", ("POST", LEASES), &lease("n1")).await.expect(201);
    ask(&api, "n1", ("POST", LEASES), &lease("n2")).await.refused(
        403,
        "Forbidden",
        "leases.coordination.k8s.io \"n2\" is forbidden: can only access node lease with the same name as the requesting \
         node",
    );
    let generated = json!({"metadata": {"generateName": "n1"}});
    ask(&api, "n1", ("POST", LEASES), &generated).await.expect(403);
    ask(&api, "n1", ("POST", CSI_NODES), &named("n1")).await.expect(201);
    ask(&api, "n1", ("POST", CSI_NODES), &named("n2")).await.refused(
        403,
        "Forbidden",
        "csinodes.storage.k8s.io \"n2\" is forbidden: can only access CSINode with the same name as the requesting node",
    );
    let slice = |node: &str| {
        json!({"metadata": {"name": node}, "spec": {
            "driver": "d.example.com", "nodeName": node,
            "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
        }})
    };
    ask(&api, "n1", ("POST", SLICES), &slice("n1")).await.expect(201);
    ask(&api, "n1", ("POST", SLICES), &slice("n2")).await.refused(
        403,
        "Forbidden",
        "resourceslices.resource.k8s.io \"n2\" is forbidden: can only create ResourceSlice with the same NodeName as the \
         requesting node",
    );
    get(&api, "n1", &format!("{SLICES}/n1")).await.expect(200);
    get(&api, "n2", &format!("{SLICES}/n1")).await.expect(403);
    get(&api, "n1", &format!("{SLICES}?fieldSelector=spec.nodeName%3Dn1")).await.expect(200);
    ask(&api, "n1", ("DELETE", &format!("{SLICES}/n1")), &Value::Null).await.expect(200);
}

#[tokio::test]
async fn a_node_makes_mirror_pods_and_tells_about_its_own_pods() {
    let api = Api::start().await;
    let uid =
        api.post(NODES, &json!({"metadata": {"name": "n1"}})).await.expect(201)["metadata"]["uid"].clone();
    let mirror = |node: &str, owner: Value, volumes: Value| {
        json!({
            "metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "h"}, "ownerReferences": owner},
            "spec": {"nodeName": node, "volumes": volumes, "containers": [{"name": "c", "image": "i"}]},
        })
    };
    let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": true}]);
    let refused = |answer: Answer, name: &str, why: &str| {
        answer.refused(403, "Forbidden", &format!("pods {name:?} is forbidden: {why}"));
    };
    let plain = json!({"metadata": {"name": "m"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let why = "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods";
    refused(ask(&api, "n1", ("POST", PODS), &plain).await, "m", why);
    let cases = [
        (
            mirror("n2", owner.clone(), json!([])),
            "node \"n1\" can only create pods with spec.nodeName set to itself",
        ),
        (
            mirror("n1", json!([]), json!([])),
            "node \"n1\" can only create pods with an owner reference set to itself",
        ),
        (
            mirror("n1", owner.clone(), json!([{"name": "v", "configMap": {"name": "c"}}])),
            "node \"n1\" can not create pods that reference configmaps",
        ),
    ];
    for (pod, why) in cases {
        refused(ask(&api, "n1", ("POST", PODS), &pod).await, "m", why);
    }
    let mut claiming = mirror("n1", owner.clone(), json!([]));
    claiming["spec"]["resourceClaims"] = json!([{"name": "r", "resourceClaimName": "c"}]);
    let why = "node \"n1\" can not create pods that reference resourceclaims";
    refused(ask(&api, "n1", ("POST", PODS), &claiming).await, "m", why);
    ask(&api, "n1", ("POST", PODS), &mirror("n1", owner, json!([]))).await.expect(201);
    api.pod("p", Some("n2")).await;
    let running = json!({"status": {"phase": "Running"}});
    ask(&api, "n2", ("PATCH", &format!("{PODS}/p/status")), &running).await.expect(200);
    let why = "node \"n1\" can only update pod status for pods with spec.nodeName set to itself";
    refused(ask(&api, "n1", ("PATCH", &format!("{PODS}/p/status")), &running).await, "p", why);
    let labelled = json!({"metadata": {"labels": {"a": "b"}}});
    let why = "node \"n2\" cannot update labels through pod status";
    refused(ask(&api, "n2", ("PATCH", &format!("{PODS}/p/status")), &labelled).await, "p", why);
    let claimed = json!({"status": {"extendedResourceClaimStatus": {"resourceClaimName": "c", "requestMappings": [
        {"containerName": "c", "resourceName": "example.com/gpu", "requestName": "r"},
    ]}}});
    let why = "node \"n2\" cannot update extended resource claim status";
    refused(ask(&api, "n2", ("PATCH", &format!("{PODS}/p/status")), &claimed).await, "p", why);
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let why = "node n1 can only evict pods with spec.nodeName set to itself";
    refused(ask(&api, "n1", ("POST", &format!("{PODS}/p/eviction")), &eviction).await, "p", why);
    let why = "node \"n1\" can only delete pods with spec.nodeName set to itself";
    refused(ask(&api, "n1", ("DELETE", &format!("{PODS}/p")), &Value::Null).await, "p", why);
    ask(&api, "n2", ("POST", &format!("{PODS}/p/eviction")), &eviction).await.expect(201);
}

#[tokio::test]
async fn a_node_gets_tokens_for_its_own_pods_and_what_they_ask_for() {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let url = "https://kubernetes.default.svc";
    let issuer = TokenIssuer::new(key.as_bytes(), url, "https://192.0.2.1/openid/v1/jwks").unwrap();
    let api = Api::with(|config| config.issuer = Some(issuer)).await;
    let vault = json!([{"name": "v", "projected": {"sources": [
        {"serviceAccountToken": {"path": "t", "audience": "vault"}}]}}]);
    let own = pod(&api, "own", Some("n1"), &vault).await;
    let other = api.pod("other", Some("n2")).await;
    let request = |pod: &Value, audiences: &[&str]| {
        let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]});
        json!({"spec": {"audiences": audiences, "boundObjectRef": bound}})
    };
    for audiences in [&["vault"][..], &[]] {
        ask(&api, "n1", ("POST", ACCOUNT), &request(&own, audiences)).await.expect(201);
    }
    let cases = [
        (json!({"spec": {"audiences": []}}), "node requested token not bound to a pod"),
        (request(&other, &[]), "node requested token bound to a pod scheduled on a different node"),
        (request(&own, &["a", "b"]), "node may only request 0 or 1 audiences"),
        (
            request(&own, &["a"]),
            "audience \"a\" not found in pod spec volume, system:node:n1 is not authorized to request tokens for this \
             audience",
        ),
    ];
    for (request, why) in cases {
        let text = format!("serviceaccounts \"default\" is forbidden: {why}");
        ask(&api, "n1", ("POST", ACCOUNT), &request).await.refused(403, "Forbidden", &text);
    }
}

#[tokio::test]
async fn reviews_answer_as_requests_would_be() {
    let api = Api::start().await;
    let review = |field: Value| {
        json!({"spec": {"user": "system:node:n1", "groups": ["system:nodes"], "resourceAttributes": {
            "verb": "list", "resource": "pods", "fieldSelector": field}}})
    };
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let requirement = json!({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]});
    for own in [requirement, json!({"rawSelector": "spec.nodeName=n1"})] {
        let answer = api.post(path, &review(own)).await.expect(201);
        assert_eq!(answer["status"], json!({"allowed": true}));
    }
    let answer = api.post(path, &review(json!({"rawSelector": "spec.nodeName=n2"}))).await.expect(201);
    let reason = "can only list/watch pods with spec.nodeName field selector";
    assert_eq!(answer["status"], json!({"allowed": false, "reason": reason}));
    let own = json!({"spec": {"namespace": "default"}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let rule = json!([{"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["*"]}]);
    let role = "/apis/rbac.authorization.k8s.io/v1/clusterrole";
    api.post(&format!("{role}s"), &json!({"metadata": {"name": "r"}, "rules": rule})).await.expect(201);
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "metadata": {"name": "r"}, "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "r"},
        "subjects": [{"apiGroup": group, "kind": "Group", "name": "system:nodes"}],
    });
    api.post(&format!("{role}bindings"), &binding).await.expect(201);
    let answer = ask(&api, "n1", ("POST", path), &own).await.expect(201);
    assert_eq!(answer["status"]["incomplete"], true);
    assert_eq!(answer["status"]["evaluationError"], "node authorizer does not support user rule resolution");
}

#[tokio::test]
async fn where_only_roles_count_nodes_are_users_like_others() {
    let api = Api::with(|config| config.authorization = Authorization::Rbac).await;
    let plain = "nodes \"n1\" is forbidden: User \"system:node:n1\" cannot get resource \"nodes\" in API group \"\" at the \
                 cluster scope";
    get(&api, "n1", "/api/v1/nodes/n1").await.refused(403, "Forbidden", plain);
    get(&api, "n1", CONFIG_MAPS).await.expect(403);
}
