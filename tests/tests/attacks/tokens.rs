//! Tokens that are forged, replayed, outlived, or meant for somebody else.

use rcgen::KeyPair;
use serde_json::{Value, json};
use wherry_tests::ApiServer;

use crate::client::Client;
use crate::jwt::{Token, public_point};
use crate::secrecy::{SECRETS, WORD, admin, hide, keeps_secrets, tells_nothing};

const DEFAULT: &str = "/api/v1/namespaces/default";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";

/// Makes a ServiceAccount that may read Secrets of its namespace.
fn account(admin: &Client, name: &str) -> Value {
    let made = admin.post(&format!("{DEFAULT}/serviceaccounts"), &json!({"metadata": {"name": name}}));
    let subject = json!({"kind": "ServiceAccount", "name": name, "namespace": "default"});
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"});
    let binding = json!({"metadata": {"generateName": "reads-"}, "roleRef": role, "subjects": [subject]});
    admin.post(BINDINGS, &binding).expect(201);
    made.expect(201).body()
}

/// A token of a ServiceAccount.
fn token(admin: &Client, account: &str, spec: &Value) -> String {
    let path = format!("{DEFAULT}/serviceaccounts/{account}/token");
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    admin.post(&path, &request).expect(201).body()["status"]["token"].as_str().unwrap().to_owned()
}

/// Checks that a token lets nobody in.
fn refused(server: &ApiServer, attack: &str, token: &str) {
    let answer = Client::new(server, token).get(&format!("{SECRETS}/s"));
    assert_eq!(answer.code, 401, "{attack}: {}", answer.text);
    tells_nothing(attack, server, &answer);
}

#[test]
fn forged_tokens_are_refused() {
    let mut server = ApiServer::talkative();
    let admin = admin(&server);
    hide(&admin);
    account(&admin, "app");
    let honest = token(&admin, "app", &json!({}));
    Client::new(&server, &honest).get(&format!("{SECRETS}/s")).expect(200);
    let other = token(&admin, "app", &json!({"expirationSeconds": 1200}));

    let it = || Token::read(&honest);
    let algorithm = |name: &'static str| it().header(|header| header["alg"] = json!(name));
    let unsigned = |name: &'static str| Token { signature: Vec::new(), ..algorithm(name) }.text();
    let own = KeyPair::generate().unwrap();
    let mine = own.serialize_pem();
    let key = String::from_utf8(server.file("pki/sa.key")).unwrap();
    let point = public_point(&key);
    let [x, y] = [1, 33].map(|at| base64url(&point[at..at + 32]));
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
    let escalated = |claims: &mut Value| claims["sub"] = json!("system:serviceaccount:kube-system:root");
    let masters = |claims: &mut Value| claims["groups"] = json!(["system:masters"]);
    let cut = |count: usize| honest[..honest.len() - count].to_owned();
    let attacks = [
        ("no algorithm", unsigned("none")),
        ("no algorithm, in capitals", unsigned("NONE")),
        ("no algorithm, in both", unsigned("nOnE")),
        ("an empty algorithm", unsigned("")),
        ("no signature", Token { signature: Vec::new(), ..it() }.text()),
        ("a signature of zeros", Token { signature: vec![0; 64], ..it() }.text()),
        ("no algorithm, and the signature", algorithm("none").text()),
        ("HMAC with the public point", algorithm("HS256").hmac(&point)),
        (
            "HMAC with the public key as PEM",
            algorithm("HS256").hmac(KeyPair::from_pem(&key).unwrap().public_key_pem().as_bytes()),
        ),
        ("HMAC with the public key as JSON", algorithm("HS256").hmac(jwk.to_string().as_bytes())),
        ("HMAC with nothing", algorithm("HS256").hmac(b"")),
        ("HMAC said to be ES256", it().hmac(&point)),
        ("RS256", algorithm("RS256").text()),
        ("ES384", algorithm("ES384").text()),
        ("another key", it().signed(&mine)),
        ("another key, which the header brings", it().header(|h| h["jwk"] = jwk.clone()).signed(&mine)),
        (
            "another key, to be fetched",
            it().header(|h| h["jku"] = json!("https://127.0.0.1:1/jwks")).signed(&mine),
        ),
        ("another key, by another name", it().header(|h| h["kid"] = json!("../../dev/null")).signed(&mine)),
        ("the right key by another name", it().header(|h| h["kid"] = json!("' or 1=1")).signed(&key)),
        ("another account under the old signature", it().claims(escalated).text()),
        ("groups under the old signature", it().claims(masters).text()),
        ("the signature of another token", Token { signature: Token::read(&other).signature, ..it() }.text()),
        ("a signature cut short", cut(4)),
        ("stray bits at the end", stray(&honest)),
        ("no claims", honest.split('.').next().unwrap().to_owned()),
        ("two parts", honest.rsplit_once('.').unwrap().0.to_owned()),
        ("four parts", format!("{honest}.x")),
        ("padding", format!("{honest}=")),
        ("something before it", format!("x{honest}")),
        ("two tokens", format!("{honest},{other}")),
        ("very long", format!("{honest}{}", "A".repeat(20_000))),
        ("JSON", "{\"alg\":\"none\"}".to_owned()),
        ("the name of an account", "system:serviceaccount:kube-system:root".to_owned()),
    ];
    for (attack, token) in &attacks {
        refused(&server, attack, token);
    }
    keeps_secrets(&mut server, &[&signature(&honest), &signature(&other)]);
}

#[test]
fn tokens_that_were_never_made_so_are_refused_even_with_the_right_key() {
    let mut server = ApiServer::talkative();
    let admin = admin(&server);
    hide(&admin);
    account(&admin, "app");
    let honest = token(&admin, "app", &json!({}));
    let key = String::from_utf8(server.file("pki/sa.key")).unwrap();
    let sign = |change: &dyn Fn(&mut Value)| Token::read(&honest).claims(change).signed(&key);
    Client::new(&server, &sign(&|_| ())).get(&format!("{SECRETS}/s")).expect(200);
    let now = jiff::Timestamp::now().as_second();
    let objects = |claims: &mut Value, at: &str, value: Value| {
        *claims["kubernetes.io"].pointer_mut(at).unwrap() = value;
    };
    let attacks = [
        ("expired", sign(&|c| c["exp"] = json!(now - 120))),
        ("expired long ago", sign(&|c| c["exp"] = json!(0))),
        ("without an end", sign(&|c| drop(c.as_object_mut().unwrap().remove("exp")))),
        ("not valid yet", sign(&|c| c["nbf"] = json!(now + 600))),
        ("issued tomorrow", sign(&|c| c["iat"] = json!(now + 86_400))),
        ("of another issuer", sign(&|c| c["iss"] = json!("https://evil.example.com"))),
        ("of no issuer", sign(&|c| drop(c.as_object_mut().unwrap().remove("iss")))),
        ("for another audience", sign(&|c| c["aud"] = json!(["vault"]))),
        ("for no audience", sign(&|c| c["aud"] = json!([]))),
        (
            "for an audience that begins alike",
            sign(&|c| c["aud"] = json!(["https://kubernetes.default.svc.evil"])),
        ),
        ("of an account that is not there", sign(&|c| objects(c, "/serviceaccount/name", json!("gone")))),
        ("of an account with another uid", sign(&|c| objects(c, "/serviceaccount/uid", json!("0")))),
        ("of an account elsewhere", sign(&|c| objects(c, "/namespace", json!("kube-system")))),
        (
            "bound to a Pod that is not there",
            sign(&|c| c["kubernetes.io"]["pod"] = json!({"name": "p", "uid": "0"})),
        ),
        ("bound to nothing known", sign(&|c| drop(c.as_object_mut().unwrap().remove("kubernetes.io")))),
    ];
    for (attack, token) in &attacks {
        refused(&server, attack, token);
    }
    keeps_secrets(&mut server, &[&signature(&honest)]);
}

#[test]
fn tokens_are_worth_nothing_once_what_they_are_bound_to_is_gone() {
    let mut server = ApiServer::talkative();
    let admin = admin(&server);
    hide(&admin);
    let bound = |kind: &str, object: &Value| {
        let (name, uid) = (&object["metadata"]["name"], &object["metadata"]["uid"]);
        json!({"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid}})
    };
    account(&admin, "pods");
    account(&admin, "secrets");
    account(&admin, "itself");
    let spec = json!({"serviceAccountName": "pods", "containers": [{"name": "c", "image": "i"}]});
    let pod = admin.post(&format!("{DEFAULT}/pods"), &json!({"metadata": {"name": "p"}, "spec": spec}));
    let pod = pod.expect(201).body();
    let held = admin.post(SECRETS, &json!({"metadata": {"name": "held"}})).expect(201).body();
    let replays = [
        ("the Pod", format!("{DEFAULT}/pods/p"), token(&admin, "pods", &bound("Pod", &pod))),
        ("the Secret", format!("{SECRETS}/held"), token(&admin, "secrets", &bound("Secret", &held))),
        ("the account", format!("{DEFAULT}/serviceaccounts/itself"), token(&admin, "itself", &json!({}))),
    ];
    for (what, path, token) in &replays {
        Client::new(&server, token).get(&format!("{SECRETS}/s")).expect(200);
        admin.delete(path).expect(200);
        refused(&server, &format!("{what} is gone"), token);
    }
    // Nor once there is something else of that name.
    account(&admin, "itself");
    admin.post(SECRETS, &json!({"metadata": {"name": "held"}})).expect(201);
    for (what, _, token) in &replays {
        refused(&server, &format!("{what} is another one"), token);
    }
    let signatures = replays.each_ref().map(|(_, _, token)| signature(token));
    keeps_secrets(&mut server, &signatures.each_ref().map(String::as_str));
}

#[test]
fn tokens_are_good_for_their_audience_alone() {
    let mut server = ApiServer::talkative();
    let admin = admin(&server);
    hide(&admin);
    account(&admin, "app");
    let vault = token(&admin, "app", &json!({"audiences": ["vault"]}));
    let own = token(&admin, "app", &json!({}));
    refused(&server, "a token for a vault, shown to the API", &vault);
    let review = |token: &str, audiences: &[&str]| -> bool {
        let spec = json!({"token": token, "audiences": audiences});
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec});
        let status = admin.post(REVIEWS, &review).expect(201).body()["status"].take();
        assert_eq!(status["user"].get("username").is_some(), status["authenticated"] == true, "{status}");
        status["authenticated"] == true
    };
    assert!(review(&vault, &["vault"]) && review(&vault, &["other", "vault"]) && review(&own, &[]));
    for (token, audiences) in
        [(&vault, ["other"].as_slice()), (&vault, &[]), (&own, &["vault"]), (&vault, &[""])]
    {
        assert!(!review(token, audiences), "{audiences:?}");
    }
    keeps_secrets(&mut server, &[&signature(&vault), &signature(&own)]);
}

#[test]
fn what_was_allowed_is_refused_as_soon_as_it_is_revoked() {
    let mut server = ApiServer::talkative();
    let admin = admin(&server);
    hide(&admin);
    let alice = Client::new(&server, "golden-alice");
    let path = format!("{SECRETS}/s");
    let group = "rbac.authorization.k8s.io";
    let base = format!("/apis/{group}/v1");
    let rule = json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]});
    let role = json!({"metadata": {"name": "reads"}, "rules": [rule]});
    let by = |kind: &str, name: &str| {
        let subject = json!({"apiGroup": group, "kind": kind, "name": name});
        let role = json!({"apiGroup": group, "kind": "ClusterRole", "name": "reads"});
        json!({"metadata": {"name": "reads"}, "roleRef": role, "subjects": [subject]})
    };
    let (roles, everywhere) = (format!("{base}/clusterroles"), format!("{base}/clusterrolebindings"));
    let revocations: [(&str, &str, Value, String); 4] = [
        ("the binding of a user", BINDINGS, by("User", "alice"), format!("{BINDINGS}/reads")),
        ("the binding of a group", BINDINGS, by("Group", "dev"), format!("{BINDINGS}/reads")),
        ("the binding of everywhere", &everywhere, by("User", "alice"), format!("{everywhere}/reads")),
        ("the role", BINDINGS, by("User", "alice"), format!("{roles}/reads")),
    ];
    for (what, bindings, binding, revoked) in &revocations {
        // The role and the binding of another attack may still be there.
        admin.post(&roles, &role);
        alice.get(&path).expect(403);
        admin.post(bindings, binding).expect(201);
        alice.get(&path).expect(200);
        admin.delete(revoked).expect(200);
        let answer = alice.get(&path).expect(403);
        tells_nothing(what, &server, &answer);
    }
    keeps_secrets(&mut server, &[WORD]);
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// The same token but for bits that no byte is made of.
fn stray(token: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = token.split_at(token.len() - 1);
    let at = LETTERS.iter().position(|letter| *letter == last.as_bytes()[0]).unwrap();
    format!("{rest}{}", char::from(LETTERS[at | 1]))
}

/// What of a token lets its bearer in.
fn signature(token: &str) -> String {
    token.rsplit('.').next().unwrap().to_owned()
}
