//! ClusterTrustBundles and PodCertificateRequests, where they are switched on.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use serde_json::{Value, json};
use wherry_api::kinds::SwitchedOn;
use wherry_apiserver::UserInfo;

use crate::harness::{Answer, Api, PODS, names, send};

const GROUP: &str = "/apis/certificates.k8s.io/v1beta1";
const BUNDLES: &str = "/apis/certificates.k8s.io/v1beta1/clustertrustbundles";
const REQUESTS: &str = "/apis/certificates.k8s.io/v1beta1/namespaces/default/podcertificaterequests";
const ALL_REQUESTS: &str = "/apis/certificates.k8s.io/v1beta1/podcertificaterequests";

async fn start(settings: &str) -> Api {
    let on = SwitchedOn::parse(settings).unwrap();
    Api::with(|config| config.runtime_config = on).await
}

async fn ask(api: &Api, user: UserInfo, (method, path): (&str, &str), body: &Value) -> Answer {
    let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let request = Request::builder().method(method).uri(path).header("content-type", media);
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    send(&api.server.router_as(user), request.body(body).unwrap()).await
}

fn node(name: &str) -> UserInfo {
    UserInfo::new(&format!("system:node:{name}"), &["system:nodes"])
}

fn authority() -> String {
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

fn bundle(name: &str, signer: Option<&str>) -> Value {
    json!({"metadata": {"name": name}, "spec": {"signerName": signer, "trustBundle": authority()}})
}

/// Lets a user do this with these resources.
async fn allow(api: &Api, user: &str, verbs: &[&str], (resources, of): (&[&str], &[&str])) {
    let (roles, group) = ("/apis/rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io");
    let mut rule = json!({"apiGroups": ["certificates.k8s.io"], "resources": resources, "verbs": verbs});
    if !of.is_empty() {
        rule["resourceNames"] = json!(of);
    }
    let name = format!("{user}-{}", resources[0]).replace('/', "-");
    let role = json!({"metadata": {"name": name}, "rules": [rule]});
    api.post(&format!("{roles}/clusterroles"), &role).await.expect(201);
    let binding = json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    });
    api.post(&format!("{roles}/clusterrolebindings"), &binding).await.expect(201);
}

#[tokio::test]
async fn what_is_not_switched_on_is_not_there() {
    let api = start("").await;
    api.get(GROUP).await.expect(404);
    api.get(BUNDLES).await.expect(404);
    let index = api.get("/openapi/v3").await.expect(200);
    assert!(index["paths"].get("apis/certificates.k8s.io/v1beta1").is_none());
    let group = api.get("/apis/certificates.k8s.io").await.expect(200);
    assert_eq!(group["versions"].as_array().unwrap().len(), 1);
    assert!(!api.get("/openapi/v2").await.text.contains("ClusterTrustBundle\""));
}

#[tokio::test]
async fn what_is_switched_on_is_told_by_discovery_and_openapi() {
    let api = start("certificates.k8s.io/v1beta1=true").await;
    let group = api.get("/apis/certificates.k8s.io").await.expect(200);
    assert_eq!(group["versions"][1]["groupVersion"], "certificates.k8s.io/v1beta1");
    assert_eq!(group["preferredVersion"]["version"], "v1");
    let list = api.get(GROUP).await.expect(200);
    let resources: Vec<&str> =
        list["resources"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(resources, ["clustertrustbundles", "podcertificaterequests", "podcertificaterequests/status"]);
    let index = api.get("/openapi/v3").await.expect(200);
    let url = index["paths"]["apis/certificates.k8s.io/v1beta1"]["serverRelativeURL"].as_str().unwrap();
    let document = api.get(url).await.expect(200);
    let spec = &document["components"]["schemas"]["io.k8s.api.certificates.v1beta1.ClusterTrustBundleSpec"];
    assert!(spec["properties"]["trustBundle"]["description"].as_str().unwrap().contains("trust anchors"));
    assert!(
        document["paths"].get(format!("{REQUESTS}/{{name}}").replace("default", "{namespace}")).is_some()
    );
    let older = api.get("/openapi/v2").await.expect(200);
    assert!(older["paths"].get(format!("{BUNDLES}/{{name}}")).is_some());
    assert!(older["definitions"].get("io.k8s.api.core.v1.Pod").is_some());
    assert!(older["definitions"].get("io.k8s.api.certificates.v1beta1.PodCertificateRequest").is_some());
    let newer = api.get_as("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    assert!(newer.await.text.contains("\"clustertrustbundles\""));
}

#[tokio::test]
async fn one_resource_is_switched_on_without_the_other() {
    let api = start("certificates.k8s.io/v1beta1/clustertrustbundles=true").await;
    api.get(BUNDLES).await.expect(200);
    api.get(REQUESTS).await.expect(404);
    let document = api.get("/openapi/v3/apis/certificates.k8s.io/v1beta1").await.expect(200);
    assert!(document["paths"].get(BUNDLES).is_some());
    assert!(document["paths"].get(ALL_REQUESTS).is_none());
}

#[tokio::test]
async fn bundles_are_made_changed_and_chosen_by_signer() {
    let api = start("api/beta=true").await;
    let own = api.post(BUNDLES, &bundle("own", None)).await.expect(201);
    assert_eq!(
        (own["apiVersion"].as_str(), own["kind"].as_str()),
        (Some("certificates.k8s.io/v1beta1"), Some("ClusterTrustBundle"))
    );
    api.post(BUNDLES, &bundle("ex.com:s:1", Some("ex.com/s"))).await.expect(201);
    api.post(BUNDLES, &bundle("ex.com:t:1", Some("ex.com/t"))).await.expect(201);
    let chosen = api.get(&format!("{BUNDLES}?fieldSelector=spec.signerName%3Dex.com/s")).await.expect(200);
    assert_eq!(names(&chosen), ["ex.com:s:1"]);
    let refused = api.post(BUNDLES, &bundle("wrong", Some("ex.com/s"))).await.expect(422);
    let text = "metadata.name: Invalid value: \"wrong\": ClusterTrustBundle for signerName ex.com/s must be named with \
                prefix ex.com:s:";
    assert!(refused["message"].as_str().unwrap().contains(text), "{refused}");
    let path = format!("{BUNDLES}/ex.com:s:1");
    let patch = json!({"spec": {"signerName": "ex.com/t"}});
    let refused = api.patch(&path, "merge-patch", &patch).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("spec.signerName: Invalid value"), "{refused}");
    let refused = api.patch(&path, "merge-patch", &json!({"spec": {"trustBundle": "x"}})).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("at least one trust anchor"), "{refused}");
    let patch = json!({"spec": {"trustBundle": authority()}});
    api.patch(&path, "merge-patch", &patch).await.expect(200);
    let table = api.get_as(&path, "application/json;as=Table;v=v1;g=meta.k8s.io").await.expect(200);
    assert_eq!(table["rows"][0]["cells"], json!(["ex.com:s:1", "ex.com/s"]));
}

/// Whoever says what to believe of a signer needs its word; a bundle of nobody is anybody's who may write bundles.
#[tokio::test]
async fn bundles_of_a_signer_are_for_those_who_attest() {
    let api = start("api/beta=true").await;
    allow(&api, "writer", &["create", "patch"], (&["clustertrustbundles"], &[])).await;
    let user = || UserInfo::new("writer", &[]);
    ask(&api, user(), ("POST", BUNDLES), &bundle("own", None)).await.expect(201);
    let of_signer = bundle("ex.com:s:1", Some("ex.com/s"));
    let refused = ask(&api, user(), ("POST", BUNDLES), &of_signer).await.expect(403);
    let text = "user not permitted to attest for signerName \"ex.com/s\"";
    assert!(refused["message"].as_str().unwrap().contains(text), "{refused}");
    api.post(BUNDLES, &of_signer).await.expect(201);
    let path = format!("{BUNDLES}/ex.com:s:1");
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    ask(&api, user(), ("PATCH", &path), &label).await.expect(403);
    let finalizer = json!({"metadata": {"finalizers": ["ex.com/f"]}});
    ask(&api, user(), ("PATCH", &path), &finalizer).await.expect(200);
    allow(&api, "writer", &["attest"], (&["signers"], &["ex.com/*"])).await;
    ask(&api, user(), ("PATCH", &path), &label).await.expect(200);
    ask(&api, user(), ("POST", BUNDLES), &bundle("ex.com:t:1", Some("ex.com/t"))).await.expect(201);
}

/// What a node asks for a Pod of its own.
struct Asked {
    key: KeyPair,
    body: Value,
}

impl Asked {
    /// There is a Pod `web` on node `n1`, and a node `n2`.
    async fn prepare(api: &Api) -> Self {
        let mut uids = Vec::new();
        for name in ["n1", "n2"] {
            let made = api.post("/api/v1/nodes", &json!({"metadata": {"name": name}})).await.expect(201);
            uids.push(made["metadata"]["uid"].clone());
        }
        let pod = api.pod("web", Some("n1")).await;
        let account = api.get("/api/v1/namespaces/default/serviceaccounts/default").await.expect(200);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let stub = STANDARD.encode(params.serialize_request(&key).unwrap().der());
        let body = json!({"metadata": {"generateName": "req-"}, "spec": {
            "signerName": "ex.com/s", "podName": "web", "podUID": pod["metadata"]["uid"],
            "serviceAccountName": "default", "serviceAccountUID": account["metadata"]["uid"],
            "nodeName": "n1", "nodeUID": uids[0], "stubPKCS10Request": stub,
        }});
        Self { key, body }
    }

    /// The status with a certificate of an hour from the test's time on.
    fn issued(&self) -> Value {
        let mut params = CertificateParams::default();
        // 2024-05-06T07:08:09Z.
        let begin = std::time::Duration::from_secs(1_714_979_289);
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + begin;
        params.not_after = params.not_before + std::time::Duration::from_hours(1);
        json!({"status": {
            "certificateChain": params.self_signed(&self.key).unwrap().pem(),
            "notBefore": "2024-05-06T07:08:09Z", "notAfter": "2024-05-06T08:08:09Z",
            "beginRefreshAt": "2024-05-06T07:38:09Z", "conditions": [outcome("Issued")],
        }})
    }
}

fn outcome(kind: &str) -> Value {
    json!({"type": kind, "status": "True", "reason": "Because", "message": ""})
}

#[tokio::test]
async fn a_node_asks_for_its_own_pods_with_what_is_true() {
    let api = start("api/beta=true").await;
    let asked = Asked::prepare(&api).await;
    for (field, value, why) in [
        ("nodeName", "n2", "spec.nodeName is \"n2\", which is not the requesting node \"n1\""),
        ("podUID", "other", "spec.podUID is \"other\", but should be"),
        ("serviceAccountName", "other", "spec.serviceAccountName is \"other\", but should be \"default\""),
        ("serviceAccountUID", "other", "spec.serviceAccountUID is \"other\""),
        ("nodeUID", "other", "spec.nodeUID is \"other\""),
    ] {
        let mut body = asked.body.clone();
        body["spec"][field] = value.into();
        let refused = ask(&api, node("n1"), ("POST", REQUESTS), &body).await.expect(403);
        assert!(refused["message"].as_str().unwrap().contains(why), "{refused}");
    }
    let mut body = asked.body.clone();
    body["spec"]["podName"] = "gone".into();
    ask(&api, node("n1"), ("POST", REQUESTS), &body).await.expect(404);
    api.pod("elsewhere", Some("n2")).await;
    let pod = api.get(&format!("{PODS}/elsewhere")).await.expect(200);
    (body["spec"]["podName"], body["spec"]["podUID"]) = ("elsewhere".into(), pod["metadata"]["uid"].clone());
    let refused = ask(&api, node("n1"), ("POST", REQUESTS), &body).await.expect(403);
    assert!(refused["message"].as_str().unwrap().contains("not bound to node \"n1\""), "{refused}");

    let made = ask(&api, node("n1"), ("POST", REQUESTS), &asked.body).await.expect(201);
    assert_eq!(made["spec"]["maxExpirationSeconds"], 86_400);
    assert_eq!(made["status"], json!({}));
    let path = format!("{REQUESTS}/{}", made["metadata"]["name"].as_str().unwrap());
    let nothing = Value::Null;
    ask(&api, node("n1"), ("GET", &path), &nothing).await.expect(200);
    ask(&api, node("n2"), ("GET", &path), &nothing).await.expect(403);
    ask(&api, node("n1"), ("GET", ALL_REQUESTS), &nothing).await.expect(403);
    let own = format!("{ALL_REQUESTS}?fieldSelector=spec.nodeName%3Dn1");
    assert_eq!(names(&ask(&api, node("n1"), ("GET", &own), &nothing).await.expect(200)).len(), 1);
    ask(&api, node("n2"), ("GET", &own), &nothing).await.expect(403);
    ask(&api, node("n1"), ("DELETE", &path), &nothing).await.expect(403);
    ask(&api, node("n1"), ("PATCH", &format!("{path}/status")), &asked.issued()).await.expect(403);
    ask(&api, node("n1"), ("GET", BUNDLES), &nothing).await.expect(200);
    ask(&api, node("n1"), ("POST", BUNDLES), &bundle("own", None)).await.expect(403);
    let account = "/api/v1/namespaces/default/serviceaccounts/default";
    ask(&api, node("n1"), ("GET", account), &nothing).await.expect(200);
}

#[tokio::test]
async fn a_signer_answers_once() {
    let api = start("api/beta=true").await;
    let asked = Asked::prepare(&api).await;
    let made = api.post(REQUESTS, &asked.body).await.expect(201);
    let path = format!("{REQUESTS}/{}", made["metadata"]["name"].as_str().unwrap());
    let status = format!("{path}/status");
    let immutable = api.patch(&path, "merge-patch", &json!({"spec": {"podName": "other"}})).await.expect(422);
    assert!(immutable["message"].as_str().unwrap().contains("spec: Invalid value: field is immutable"));
    allow(&api, "signer", &["patch"], (&["podcertificaterequests/status"], &[])).await;
    let signer = || UserInfo::new("signer", &[]);
    let refused = ask(&api, signer(), ("PATCH", &status), &asked.issued()).await.expect(422);
    let text = "User \"signer\" is not permitted to \"sign\" for signer \"ex.com/s\"";
    assert!(refused["message"].as_str().unwrap().contains(text), "{refused}");
    allow(&api, "signer", &["sign"], (&["signers"], &["ex.com/s"])).await;
    api.clock.advance(300);
    let refused = ask(&api, signer(), ("PATCH", &status), &asked.issued()).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("within 5 minutes"), "{refused}");
    api.clock.advance(-100);
    let issued = ask(&api, signer(), ("PATCH", &status), &asked.issued()).await.expect(200);
    assert_eq!(issued["status"]["conditions"][0]["lastTransitionTime"], "2024-05-06T07:11:29Z");
    let table = api.get_as(&path, "application/json;as=Table;v=v1;g=meta.k8s.io").await.expect(200);
    let cells = &table["rows"][0]["cells"];
    assert_eq!(
        cells.as_array().unwrap()[1..],
        json!(["web", "default", "n1", "ex.com/s", "Issued"]).as_array().unwrap()[..]
    );
    let again = json!({"status": {"certificateChain": null}});
    let refused = api.patch(&status, "merge-patch", &again).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("immutable after"), "{refused}");
}

#[tokio::test]
async fn a_denial_carries_nothing_but_its_reason() {
    let api = start("api/beta=true").await;
    let asked = Asked::prepare(&api).await;
    let made = api.post(REQUESTS, &asked.body).await.expect(201);
    let status = format!("{REQUESTS}/{}/status", made["metadata"]["name"].as_str().unwrap());
    let mut both = asked.issued();
    both["status"]["conditions"] = json!([outcome("Denied")]);
    let refused = api.patch(&status, "merge-patch", &both).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("must be empty when denying"), "{refused}");
    let denied = json!({"status": {"conditions": [outcome("Denied")]}});
    api.patch(&status, "merge-patch", &denied).await.expect(200);
    let list =
        api.get(&format!("{REQUESTS}?fieldSelector=spec.podName%3Dweb,spec.signerName%3Dex.com/s")).await;
    assert_eq!(names(&list.expect(200)).len(), 1);
}
