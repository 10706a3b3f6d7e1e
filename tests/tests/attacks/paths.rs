//! Paths that mean one thing to who authorizes them and another to who answers.

use serde_json::json;
use wherry_tests::ApiServer;

use crate::client::Client;
use crate::secrecy::{admin, hide, keeps_secrets, tells_nothing};

/// Ways to a Secret that whoever may see `/healthz`, `/public` and ConfigMaps must not find.
const WAYS: &[&str] = &[
    "/api/v1/namespaces/default/secrets/s",
    "//api/v1/namespaces/default/secrets/s",
    "/api//v1/namespaces/default/secrets/s",
    "/api/v1//namespaces/default/secrets/s",
    "/api/v1/namespaces//default/secrets/s",
    "/api/v1/namespaces/default//secrets/s",
    "/api/v1/namespaces/default/secrets//s",
    "/api/v1/namespaces/default/secrets/s/",
    "/api/v1/namespaces/default/secrets/s//",
    "/api/v1/namespaces/default/secrets/s/.",
    "/api/v1/./namespaces/default/secrets/s",
    "/./api/v1/namespaces/default/secrets/s",
    "/healthz/../api/v1/namespaces/default/secrets/s",
    "/healthz/%2e%2e/api/v1/namespaces/default/secrets/s",
    "/healthz/%2E%2E/api/v1/namespaces/default/secrets/s",
    "/healthz/.%2e/api/v1/namespaces/default/secrets/s",
    "/healthz%2f..%2fapi/v1/namespaces/default/secrets/s",
    "/healthz/..%2fapi%2fv1%2fnamespaces%2fdefault%2fsecrets%2fs",
    "/healthz/%252e%252e/api/v1/namespaces/default/secrets/s",
    "/healthz\\..\\api\\v1\\namespaces\\default\\secrets\\s",
    "/healthz;/../api/v1/namespaces/default/secrets/s",
    "/public/../api/v1/namespaces/default/secrets/s",
    "/public//api/v1/namespaces/default/secrets/s",
    "/public/%2e%2e/api/v1/namespaces/default/secrets/s",
    "/version/../api/v1/namespaces/default/secrets/s",
    "/openapi/v2/../../api/v1/namespaces/default/secrets/s",
    "/apis/../api/v1/namespaces/default/secrets/s",
    "/apis/apps/v1/../../../api/v1/namespaces/default/secrets/s",
    "/apis//v1/namespaces/default/secrets/s",
    "/apis/v1/namespaces/default/secrets/s",
    "/%61pi/v1/namespaces/default/secrets/s",
    "/api/v1/namespaces/default/%73ecrets/s",
    "/api/v1/%6eamespaces/default/secrets/s",
    "/api/v1/namespaces/default%2fsecrets/s",
    "/api/v1/namespaces/default/secrets%2fs",
    "/api/v1/namespaces/default/configmaps/../secrets/s",
    "/api/v1/namespaces/default/configmaps/%2e%2e/secrets/s",
    "/api/v1/namespaces/default/configmaps/..%2fsecrets%2fs",
    "/api/v1/namespaces/default/configmaps/c/../../secrets/s",
    "/api/v1/namespaces/default/configmaps%00/../secrets/s",
    "/api/v1/namespaces/default/secrets/s%00",
    "/api/v1/namespaces/default/secrets/s%20",
    "/api/v1/namespaces/default/secrets/s;/healthz",
    "/api/v1/namespaces/default/secrets/s?/healthz",
    "/api/v1/namespaces/default/secrets/s#/healthz",
    "/api/v1/namespaces/default/secrets?resourceVersion=0",
    "/api/v1/namespaces/default/secrets?watch=1&timeoutSeconds=1",
    "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name=s",
    "/api/v1/secrets",
    "/api/v1//secrets",
    "/api/v1/watch/secrets?timeoutSeconds=1",
    "/api/v1/watch/namespaces/default/secrets/s?timeoutSeconds=1",
    "/api/v1/watch//namespaces/default/secrets?timeoutSeconds=1",
    "/api/v1/proxy/namespaces/default/secrets/s",
    "/api/v1/namespaces/default/services/https:kubernetes:443/proxy/api/v1/namespaces/default/secrets/s",
    "/api/v1/namespaces/default/secrets/s/status",
    "/api/v1/namespaces/default/secrets/s/proxy",
    "/API/V1/namespaces/default/secrets/s",
    "/api/V1/namespaces/default/secrets/s",
    "/api/v1/namespaces/default/SECRETS/s",
    "/api/v1/namespaces/default/secret/s",
    "https://127.0.0.1/api/v1/namespaces/default/secrets/s",
    "http://healthz@127.0.0.1/api/v1/namespaces/default/secrets/s",
    "https://healthz/api/v1/namespaces/default/secrets/s",
    "api/v1/namespaces/default/secrets/s",
    "*",
];

#[test]
fn no_way_of_writing_a_path_leads_past_authorization() {
    let mut server = ApiServer::talkative();
    let admin = admin(&server);
    hide(&admin);
    admin.post("/api/v1/namespaces/default/configmaps", &json!({"metadata": {"name": "c"}})).expect(201);
    let group = "rbac.authorization.k8s.io";
    let rules = json!([
        {"nonResourceURLs": ["/healthz*", "/healthz/*", "/public/*"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]},
    ]);
    let base = format!("/apis/{group}/v1");
    let role = json!({"metadata": {"name": "harmless"}, "rules": rules});
    admin.post(&format!("{base}/clusterroles"), &role).expect(201);
    let subject = json!({"apiGroup": group, "kind": "User", "name": "bob"});
    let role = json!({"apiGroup": group, "kind": "ClusterRole", "name": "harmless"});
    let binding = json!({"metadata": {"name": "bobs"}, "roleRef": role, "subjects": [subject]});
    admin.post(&format!("{base}/clusterrolebindings"), &binding).expect(201);

    let bob = Client::new(&server, "golden-bob");
    bob.get("/healthz").expect(200);
    bob.get("/api/v1/namespaces/default/configmaps/c").expect(200);
    let anonymous = Client::new(&server, "");
    for way in WAYS {
        for (who, client) in [("bob", &bob), ("nobody", &anonymous)] {
            for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS"] {
                let answer = client.request(method, way, "", "");
                let attack = format!("{method} {way} by {who}");
                let expected = matches!(answer.code, 301 | 307 | 308 | 400 | 401 | 403 | 404 | 405);
                assert!(expected, "{attack}: {}", answer.text);
                tells_nothing(&attack, &server, &answer);
            }
        }
    }
    admin.get("/api/v1/namespaces/default/secrets/s").expect(200);
    keeps_secrets(&mut server, &[]);
}
