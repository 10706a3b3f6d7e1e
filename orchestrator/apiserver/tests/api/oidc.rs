//! Users of other issuers: whose tokens are taken, whom they name, and what is told of those that are not.

use std::path::PathBuf;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use wherry_apiserver::{Authentication, AuthenticationOptions, OidcFlags, TokenIssuer, WebhookOptions};

use crate::harness::{Answer, Api, send};
use crate::hooks::Hooks;
use crate::issuers::{Documents, Key};

const WHO: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ISSUER: &str = "https://kubernetes.default.svc";
const FETCHES: &str = "/keys";

/// A file in a directory of its own.
struct File {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl File {
    fn new(content: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = Self { path: directory.path().join("file"), _directory: directory };
        file.write(content);
        file
    }

    fn write(&self, content: &str) {
        std::fs::write(&self.path, content).unwrap();
    }
}

/// A configuration with these authenticators.
fn configuration(authenticators: &[Value]) -> String {
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": authenticators,
    })
    .to_string()
}

/// An authenticator that takes the names that an issuer gives.
fn plain(issuer: &Documents) -> Value {
    json!({
        "issuer": issuer.issuer(),
        "claimMappings": {
            "username": {"claim": "sub", "prefix": "x:"}, "groups": {"claim": "groups", "prefix": ""},
        },
    })
}

async fn with(options: AuthenticationOptions) -> Api {
    let authentication = Authentication::open(options).unwrap();
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let own = TokenIssuer::new(key.as_bytes(), ISSUER, "").unwrap();
    let api = Api::with(|config| {
        config.authentication = authentication;
        config.issuer = Some(own);
    })
    .await;
    api.default_policy().await;
    api
}

async fn start(file: &File) -> Api {
    with(AuthenticationOptions { file: Some(file.path.clone()), ..AuthenticationOptions::default() }).await
}

/// Who the bearer of a token is.
async fn who(api: &Api, token: &str) -> Answer {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let request = Request::post(WHO)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json");
    send(&api.server.router(), request.body(Body::from(review.to_string())).unwrap()).await
}

async fn user(api: &Api, token: &str) -> Value {
    who(api, token).await.expect(201)["status"]["userInfo"].take()
}

/// What a review says of a token.
async fn review(api: &Api, token: &str) -> Value {
    api.post(REVIEWS, &json!({"spec": {"token": token}})).await.expect(201)["status"].take()
}

async fn error(api: &Api, token: &str) -> String {
    let status = review(api, token).await;
    assert_eq!(status["authenticated"], Value::Null);
    status["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_bearer_of_an_issuers_token_is_who_it_says() {
    let (issuer, key, rsa) = (Documents::start().await, Key::curve(), Key::rsa());
    issuer.issue(&[key.jwk("one"), json!({"kty": "oct", "k": "AA", "kid": "other"}), rsa.jwk("two")]);
    let api = start(&File::new(&configuration(&[plain(&issuer)]))).await;
    let claims = issuer.claims(&json!({"groups": ["dev", "ops"], "jti": "j"}));
    for token in [
        key.sign("one", "ES256", &claims),
        rsa.sign("two", "RS256", &claims),
        rsa.sign("two", "PS512", &claims),
    ] {
        let user = user(&api, &token).await;
        assert_eq!(user["username"], "x:ann");
        assert_eq!(user["groups"], json!(["dev", "ops", "system:authenticated"]));
        assert_eq!(user["extra"], json!({"authentication.kubernetes.io/credential-id": ["JTI=j"]}));
    }
    assert_eq!(issuer.count(FETCHES), 1, "keys are fetched once");
    let token = key.sign("one", "ES256", &claims);
    assert_eq!(review(&api, &token).await["audiences"], json!([ISSUER]));
    let other = json!({"spec": {"token": token, "audiences": ["vault"]}});
    assert_eq!(api.post(REVIEWS, &other).await.expect(201)["status"]["authenticated"], Value::Null);
}

#[tokio::test]
async fn a_token_that_does_not_fit_is_refused_and_whoever_may_review_it_learns_why() {
    let (issuer, key) = (Documents::start().await, Key::curve());
    issuer.issue(&[key.jwk("one")]);
    let api = start(&File::new(&configuration(&[plain(&issuer)]))).await;
    let sign = |more: &Value| key.sign("one", "ES256", &issuer.claims(more));
    let expired = sign(&json!({"exp": 1_600_000_000}));
    let cases = [
        (
            sign(&json!({"aud": "you"})),
            "oidc: verify token: oidc: expected audience in [\"me\"] got [\"you\"]",
        ),
        (expired, "oidc: verify token: oidc: token is expired (Token Expiry: 2020-09-13T12:26:40Z)"),
        (
            sign(&json!({"sub": 7})),
            "oidc: parse username claims \"sub\": json: cannot unmarshal number into Go value of type string",
        ),
        (
            Key::curve().sign("one", "ES256", &issuer.claims(&json!({}))),
            "oidc: verify token: failed to verify signature: failed to verify id token signature",
        ),
        (sign(&json!({"iss": "https://other"})), "invalid bearer token"),
    ];
    assert_eq!(user(&api, &sign(&json!({}))).await["username"], "x:ann");
    for (token, why) in cases {
        assert_eq!(error(&api, &token).await, why);
        who(&api, &token).await.refused(401, "Unauthorized", "Unauthorized");
    }
    let signed = sign(&json!({}));
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", signed.split('.').nth(1).unwrap());
    let told = error(&api, &unsigned).await;
    assert!(
        told.starts_with("oidc: verify token: oidc: id token signed with unsupported algorithm"),
        "{told}"
    );
}

#[tokio::test]
async fn new_keys_are_found_and_unknown_ones_looked_for_ever_more_seldom() {
    let (issuer, old, new) = (Documents::start().await, Key::curve(), Key::curve());
    issuer.issue(&[old.jwk("old")]);
    let api = start(&File::new(&configuration(&[plain(&issuer)]))).await;
    let claims = issuer.claims(&json!({}));
    user(&api, &old.sign("old", "ES256", &claims)).await;
    issuer.issue(&[new.jwk("new")]);
    api.clock.advance(1);
    user(&api, &new.sign("new", "ES256", &claims)).await;
    who(&api, &old.sign("old", "ES256", &claims)).await.expect(401);
    assert_eq!(issuer.count(FETCHES), 2, "not again so soon");
    for _ in 0..20 {
        api.clock.advance(1);
        who(&api, &Key::curve().sign("none", "ES256", &claims)).await.expect(401);
    }
    assert_eq!(issuer.count(FETCHES), 2 + 4, "after 1, 2, 4 and 8 seconds");
    user(&api, &new.sign("new", "ES256", &claims)).await;
}

#[tokio::test]
async fn an_issuer_that_cannot_be_asked_is_asked_again_later() {
    let (issuer, key) = (Documents::start().await, Key::curve());
    let api = start(&File::new(&configuration(&[plain(&issuer)]))).await;
    let token = key.sign("one", "ES256", &issuer.claims(&json!({})));
    assert_eq!(error(&api, &token).await, "oidc: authenticator not initialized");
    issuer.issue(&[key.jwk("one")]);
    who(&api, &token).await.expect(401);
    api.clock.advance(1);
    user(&api, &token).await;
    let metrics = api.get("/metrics").await.text;
    let family = "apiserver_authentication_jwt_authenticator_";
    for (name, result, count) in
        [("latency_seconds_count", "success", 1), ("latency_seconds_count", "failure", 2)]
    {
        let line = metrics.lines().find(|line| {
            line.starts_with(&format!("{family}{name}{{")) && line.contains(&format!("result=\"{result}\""))
        });
        assert!(line.unwrap().ends_with(&format!(" {count}")), "{line:?}");
    }
    assert!(metrics.contains("jwks_fetch_last_key_set_info{hash=\"sha256:"));
}

#[tokio::test]
async fn an_issuer_that_calls_itself_otherwise_or_shows_another_certificate_is_not_believed() {
    let (issuer, key, other) = (Documents::start().await, Key::curve(), Documents::start().await);
    issuer.issue(&[key.jwk("one")]);
    let mut foreign = plain(&issuer);
    foreign["issuer"]["certificateAuthority"] = json!(other.ca);
    let mut renamed = plain(&issuer);
    renamed["issuer"]["url"] = json!(format!("{}/", issuer.url));
    for (authenticator, claims) in
        [(foreign, json!({})), (renamed, json!({"iss": format!("{}/", issuer.url)}))]
    {
        let api = start(&File::new(&configuration(&[authenticator]))).await;
        let token = key.sign("one", "ES256", &issuer.claims(&claims));
        assert_eq!(error(&api, &token).await, "oidc: authenticator not initialized");
    }
    assert_eq!(issuer.count(FETCHES), 0);
}

#[tokio::test]
async fn an_issuer_may_be_discovered_elsewhere_and_have_many_audiences() {
    let (issuer, key) = (Documents::start().await, Key::curve());
    issuer.issue(&[key.jwk("one")]);
    let configured = json!({"issuer": "https://issuer.example", "jwks_uri": format!("{}/keys", issuer.url)});
    issuer.found.lock().insert("/elsewhere".to_owned(), configured);
    let mut authenticator = plain(&issuer);
    authenticator["issuer"] = json!({
        "url": "https://issuer.example", "discoveryURL": format!("{}/elsewhere", issuer.url),
        "audiences": ["you", "me"], "audienceMatchPolicy": "MatchAny", "certificateAuthority": issuer.ca,
    });
    let api = start(&File::new(&configuration(&[authenticator]))).await;
    let claims = issuer.claims(&json!({"iss": "https://issuer.example", "aud": ["them", "me"]}));
    assert_eq!(user(&api, &key.sign("one", "ES256", &claims)).await["username"], "x:ann");
}

#[tokio::test]
async fn expressions_decide_who_comes_in_and_as_whom() {
    let (issuer, key) = (Documents::start().await, Key::curve());
    issuer.issue(&[key.jwk("one")]);
    let authenticator = json!({
        "issuer": issuer.issuer(),
        "claimValidationRules": [{"expression": "claims.hd == 'x.io'", "message": "only x.io"}],
        "claimMappings": {
            "username": {"expression": "claims.sub + '@x.io'"},
            "groups": {"expression": "claims.roles.split(',')"},
            "uid": {"claim": "id"},
            "extra": [{"key": "x.io/team", "valueExpression": "claims.team"}],
        },
        "userValidationRules": [
            {"expression": "!user.groups.exists(g, g.startsWith('system:'))", "message": "reserved"},
        ],
    });
    let api = start(&File::new(&configuration(&[authenticator]))).await;
    let sign = |roles: &str, hd: &str| {
        let claims = issuer.claims(&json!({"hd": hd, "roles": roles, "id": "i", "team": ["t"]}));
        key.sign("one", "ES256", &claims)
    };
    let user = user(&api, &sign("a,b", "x.io")).await;
    assert_eq!((&user["username"], &user["uid"]), (&json!("ann@x.io"), &json!("i")));
    assert_eq!(user["groups"], json!(["a", "b", "system:authenticated"]));
    assert_eq!(user["extra"], json!({"x.io/team": ["t"]}));
    let told = error(&api, &sign("a", "y.io")).await;
    assert!(told.ends_with("validation expression 'claims.hd == 'x.io'' failed: only x.io"), "{told}");
    let told = error(&api, &sign("system:masters", "x.io")).await;
    assert!(told.ends_with("failed: reserved"), "{told}");
}

#[tokio::test]
async fn the_file_is_read_again_when_it_changes_unless_it_cannot_be_used() {
    let (one, two, key) = (Documents::start().await, Documents::start().await, Key::curve());
    one.issue(&[key.jwk("k")]);
    two.issue(&[key.jwk("k")]);
    let file = File::new(&configuration(&[plain(&one)]));
    let api = start(&file).await;
    let of = |issuer: &Documents| key.sign("k", "ES256", &issuer.claims(&json!({})));
    user(&api, &of(&one)).await;
    who(&api, &of(&two)).await.expect(401);
    file.write(&configuration(&[plain(&one), plain(&two)]));
    api.clock.advance(1);
    user(&api, &of(&two)).await;
    user(&api, &of(&one)).await;
    assert_eq!(one.count(FETCHES), 1, "what did not change keeps its keys");
    file.write("jwt: nonsense");
    api.clock.advance(1);
    user(&api, &of(&two)).await;
    file.write(&configuration(&[plain(&two)]));
    api.clock.advance(1);
    who(&api, &of(&one)).await.expect(401);
    let metrics = api.get("/metrics").await.text;
    let family = "apiserver_authentication_config_controller_automatic_reloads_total";
    assert!(metrics.contains(&format!("{family}{{status=\"success\"}} 2")), "{metrics}");
    assert!(metrics.contains(&format!("{family}{{status=\"failure\"}} 1")));
}

#[tokio::test]
async fn flags_configure_one_issuer() {
    let (issuer, key, rsa) = (Documents::start().await, Key::curve(), Key::rsa());
    issuer.issue(&[key.jwk("one"), rsa.jwk("two")]);
    let flags = OidcFlags {
        issuer_url: issuer.url.clone(),
        client_id: "me".to_owned(),
        certificate_authority: issuer.ca.clone(),
        groups_claim: "groups".to_owned(),
        groups_prefix: "g:".to_owned(),
        required_claims: [("hd".to_owned(), "x".to_owned())].into(),
        ..OidcFlags::default()
    };
    let api = with(AuthenticationOptions { oidc: Some(flags), ..AuthenticationOptions::default() }).await;
    let claims = issuer.claims(&json!({"hd": "x", "groups": "dev"}));
    let user = user(&api, &rsa.sign("two", "RS256", &claims)).await;
    assert_eq!(user["username"], format!("{}#ann", issuer.url));
    assert_eq!(user["groups"], json!(["g:dev", "system:authenticated"]));
    let told = error(&api, &key.sign("one", "ES256", &claims)).await;
    assert!(told.ends_with("unsupported algorithm, expected [\"RS256\"] got \"ES256\""), "{told}");
    let told = error(&api, &rsa.sign("two", "RS256", &issuer.claims(&json!({})))).await;
    assert_eq!(told, "oidc: required claim hd not present in ID token");
}

#[test]
fn what_cannot_be_in_force_together_is_refused() {
    let head = "apiVersion: apiserver.config.k8s.io/v1beta1\nkind: AuthenticationConfiguration\n";
    let file = File::new(&format!("{head}anonymous: {{enabled: true}}\n"));
    let options = AuthenticationOptions { file: Some(file.path.clone()), ..AuthenticationOptions::default() };
    assert!(Authentication::open(options.clone()).is_ok());
    let told = |options| Authentication::open(options).err().unwrap().to_string();
    let both = AuthenticationOptions { oidc: Some(OidcFlags::default()), ..options.clone() };
    assert_eq!(told(both), "authentication-config file and oidc-* flags are mutually exclusive");
    let twice = AuthenticationOptions { anonymous: Some(true), ..options };
    assert!(
        told(twice).starts_with("--anonymous-auth flag cannot be set when anonymous field is configured")
    );
}

#[tokio::test]
async fn the_own_issuer_cannot_be_configured() {
    let issuer = Documents::start().await;
    let mut authenticator = plain(&issuer);
    authenticator["issuer"]["url"] = json!(ISSUER);
    let file = File::new(&configuration(&[authenticator]));
    let options = AuthenticationOptions {
        file: Some(file.path.clone()),
        disallowed: vec![ISSUER.to_owned()],
        ..AuthenticationOptions::default()
    };
    let told = Authentication::open(options).err().unwrap().to_string();
    assert!(
        told.contains("URL must not overlap with disallowed issuers: [https://kubernetes.default.svc]"),
        "{told}"
    );
}

/// What the server answers whoever does not say who they are.
async fn anonymously(api: &Api, path: &str) -> u16 {
    let request = Request::get(path).body(Body::empty()).unwrap();
    send(&api.server.router(), request).await.code.as_u16()
}

#[tokio::test]
async fn nobody_in_particular_asks_where_the_configuration_says() {
    let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n";
    let file = File::new(&format!("{head}anonymous: {{enabled: true, conditions: [{{path: /livez}}]}}\n"));
    let api = start(&file).await;
    assert_eq!((anonymously(&api, "/livez").await, anonymously(&api, "/readyz").await), (200, 401));
    let off = AuthenticationOptions { anonymous: Some(false), ..AuthenticationOptions::default() };
    assert_eq!(anonymously(&with(off).await, "/livez").await, 401);
    assert_eq!(anonymously(&with(AuthenticationOptions::default()).await, "/livez").await, 200);
}

/// The kubeconfig of a webhook.
fn kubeconfig(hooks: &Hooks) -> File {
    let server = format!("https://127.0.0.1:{}/review", hooks.port);
    let cluster = json!({"server": server, "certificate-authority-data": hooks.bundle});
    File::new(
        &json!({
            "clusters": [{"name": "c", "cluster": cluster}], "users": [], "current-context": "k",
            "contexts": [{"name": "k", "context": {"cluster": "c"}}],
        })
        .to_string(),
    )
}

#[tokio::test]
async fn a_webhook_is_asked_about_tokens_that_nobody_here_knows() {
    let hooks = Hooks::start(|_, spec| {
        let user = json!({"username": "bob", "uid": "u", "groups": ["g"], "extra": {"x.io/a": ["b"]}});
        match spec["token"].as_str().unwrap() {
            "good" => json!({"authenticated": true, "user": user}),
            "vault" => json!({"authenticated": true, "user": user, "audiences": ["vault"]}),
            _ => json!({"authenticated": false, "error": "no such token"}),
        }
    })
    .await;
    let file = kubeconfig(&hooks);
    let webhook =
        WebhookOptions { config_file: file.path.clone(), version: "v1".to_owned(), cache_seconds: 120 };
    let options = AuthenticationOptions { webhook: Some(webhook), ..AuthenticationOptions::default() };
    let api = with(options).await;
    let found = user(&api, "good").await;
    assert_eq!((&found["username"], &found["uid"]), (&json!("bob"), &json!("u")));
    assert_eq!(found["groups"], json!(["g", "system:authenticated"]));
    assert_eq!(found["extra"], json!({"x.io/a": ["b"]}));
    assert_eq!(error(&api, "bad").await, "no such token");
    who(&api, "vault").await.expect(401);
    let asked = hooks.seen.lock().len();
    user(&api, "good").await;
    assert_eq!(hooks.seen.lock().len(), asked, "answers are remembered");
    api.clock.advance(120);
    user(&api, "good").await;
    assert_eq!(hooks.seen.lock().len(), asked + 1, "for a while");
    assert_eq!(hooks.seen.lock()[0].1, json!({"token": "good", "audiences": [ISSUER]}));
}
