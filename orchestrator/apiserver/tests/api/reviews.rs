//! Reviews: who somebody is and what they may do, answered and not stored.
//!
//! Tests whose names are those of conformance descriptions do what these describe.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use wherry_apiserver::{Authorization, Tokens, UserInfo};

use crate::harness::{Answer, Api, send};

const AUTHORIZATION: &str = "/apis/authorization.k8s.io/v1";
const AUTHENTICATION: &str = "/apis/authentication.k8s.io/v1";
const LOCAL: &str = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews";

fn review(resource: &str, spec: &Value) -> (String, Value) {
    let kind = match resource {
        "subjectaccessreviews" => "SubjectAccessReview",
        "selfsubjectaccessreviews" => "SelfSubjectAccessReview",
        _ => "SelfSubjectRulesReview",
    };
    let body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec});
    (format!("{AUTHORIZATION}/{resource}"), body)
}

async fn ask(api: &Api, resource: &str, spec: &Value) -> Answer {
    let (path, body) = review(resource, spec);
    api.post(&path, &body).await
}

async fn as_user(api: &Api, user: UserInfo, path: &str, body: &Value) -> Answer {
    let request = Request::post(path).header("content-type", "application/json");
    send(&api.server.router_as(user), request.body(Body::from(body.to_string())).unwrap()).await
}

/// Lets a user get ConfigMaps in `default`.
pub(crate) async fn grant(api: &Api, subject: &Value) {
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
    let rules = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]}]);
    api.post(roles, &json!({"metadata": {"name": "reader"}, "rules": rules})).await.expect(201);
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"});
    let body = json!({"metadata": {"name": "readers"}, "roleRef": role, "subjects": [subject]});
    api.post(bindings, &body).await.expect(201);
}

#[tokio::test]
async fn subject_review_api_operations() {
    let api = Api::start().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    api.post(accounts, &json!({"metadata": {"name": "e2e"}})).await.expect(201);
    let account = UserInfo::new("system:serviceaccount:default:e2e", &["system:authenticated"]);
    let attributes = json!({"verb": "get", "resource": "configmaps", "namespace": "default", "name": "a"});
    let spec = json!({"user": account.name, "groups": account.groups, "resourceAttributes": attributes});
    for allowed in [false, true] {
        if allowed {
            grant(&api, &json!({"kind": "ServiceAccount", "name": "e2e", "namespace": "default"})).await;
        }
        let get = Request::get("/api/v1/namespaces/default/configmaps/a").body(Body::empty()).unwrap();
        let code = send(&api.server.router_as(account.clone()), get).await.code;
        assert_eq!(code, if allowed { 404 } else { 403 });
        let answer = ask(&api, "subjectaccessreviews", &spec).await.expect(201);
        assert_eq!(answer["status"]["allowed"], allowed);
        let answer = api.post(LOCAL, &json!({"spec": spec})).await.expect(201);
        assert_eq!(answer["status"]["allowed"], allowed);
        assert_eq!(answer["metadata"]["namespace"], "default");
    }
}

#[tokio::test]
async fn api_metadata_http_return() {
    let api = Api::start().await;
    let spec = json!({"resourceAttributes": {"verb": "create", "resource": "pods", "namespace": "default"}});
    let (path, body) = review("selfsubjectaccessreviews", &spec);
    let request = Request::post(path)
        .header("content-type", "application/json")
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let answer = api.send(request.body(Body::from(body.to_string())).unwrap()).await;
    answer.refused(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json, application/yaml, \
         application/vnd.kubernetes.protobuf",
    );
}

#[tokio::test]
async fn an_answer_says_what_was_asked_and_by_which_grant_it_is_allowed() {
    let api = Api::start().await;
    grant(&api, &json!({"kind": "User", "name": "ann", "apiGroup": "rbac.authorization.k8s.io"})).await;
    let attributes = json!({"verb": "get", "resource": "configmaps", "namespace": "default"});
    let spec = json!({"user": "ann", "resourceAttributes": attributes});
    let mut answer = ask(&api, "subjectaccessreviews", &spec).await.expect(201);
    let reason =
        "RBAC: allowed by RoleBinding \"readers/default\" of Role \"reader\" to User \"ann\"".to_owned();
    assert_eq!(answer["status"], json!({"allowed": true, "reason": reason}));
    let owned = answer["metadata"]["managedFields"].take();
    assert_eq!(owned[0]["operation"], "Update");
    assert_eq!(answer["spec"], spec);
    let other = json!({"user": "ann", "resourceAttributes": {"verb": "list", "resource": "configmaps"}});
    let answer = ask(&api, "subjectaccessreviews", &other).await.expect(201);
    assert_eq!(answer["status"], json!({"allowed": false}));
}

#[tokio::test]
async fn members_of_masters_may_do_everything_without_a_reason() {
    let api = Api::start().await;
    let spec = json!({"groups": ["system:masters"], "nonResourceAttributes": {"verb": "get", "path": "/x"}});
    let answer = ask(&api, "subjectaccessreviews", &spec).await.expect(201);
    assert_eq!(answer["status"], json!({"allowed": true}));
}

#[tokio::test]
async fn questions_without_a_point_are_refused_in_upstreams_words() {
    let api = Api::start().await;
    let cases = [
        (
            "subjectaccessreviews",
            json!({"resourceAttributes": {"verb": "get"}}),
            ".authorization.k8s.io \"\" is invalid: spec.user: Invalid value: \"\": at least one of user or group must be \
             specified",
        ),
        (
            "selfsubjectaccessreviews",
            json!({}),
            ".authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid value: null: exactly one of \
             nonResourceAttributes or resourceAttributes must be specified",
        ),
        (
            "selfsubjectaccessreviews",
            json!({"resourceAttributes": {"verb": "get"}, "nonResourceAttributes": {"path": "/", "verb": "get"}}),
            ".authorization.k8s.io \"\" is invalid: spec.nonResourceAttributes: Invalid value: \
             {\"Path\":\"/\",\"Verb\":\"get\"}: cannot be specified in combination with resourceAttributes",
        ),
        (
            "selfsubjectaccessreviews",
            json!({"resourceAttributes": {"verb": "list", "fieldSelector": {}}}),
            ".authorization.k8s.io \"\" is invalid: spec.resourceAttributes.fieldSelector.requirements: Required value: \
             when spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required",
        ),
    ];
    for (resource, spec, text) in cases {
        let body = ask(&api, resource, &spec).await.refused(422, "Invalid", text);
        assert_eq!(body["details"]["group"], "authorization.k8s.io");
        assert_eq!(body["details"]["kind"], Value::Null);
    }
    let local = json!({"spec": {"user": "a", "resourceAttributes": {"verb": "get", "namespace": "other"}}});
    api.post(LOCAL, &local).await.refused(
        422,
        "Invalid",
        ".authorization.k8s.io \"\" is invalid: spec.resourceAttributes.namespace: Invalid value: \"other\": must match \
         metadata.namespace",
    );
    let text = "no namespace on request";
    ask(&api, "selfsubjectrulesreviews", &json!({})).await.refused(400, "BadRequest", text);
}

#[tokio::test]
async fn metadata_of_a_question_must_be_empty() {
    let api = Api::start().await;
    let spec = json!({"resourceAttributes": {"verb": "get", "resource": "pods"}});
    let (path, mut body) = review("selfsubjectaccessreviews", &spec);
    body["metadata"] = json!({"name": "x"});
    let text = api.post(&path, &body).await.expect(422)["message"].as_str().unwrap().to_owned();
    let start = ".authorization.k8s.io \"\" is invalid: metadata: Invalid value: {\"name\":\"x\",\"managedFields\":\
                 [{\"manager\":\"unknown\",\"operation\":\"Update\",\"apiVersion\":\"authorization.k8s.io/v1\",\"time\":\
                 \"2024-05-06T07:08:09Z\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:spec\":";
    assert!(text.starts_with(start) && text.ends_with("}]}: must be empty"), "{text}");
}

#[tokio::test]
async fn selectors_that_cannot_be_understood_are_said_to_be_ignored() {
    let api = Api::start().await;
    let selector = json!({"requirements": [{"key": "a", "operator": "Exists"}]});
    let spec = json!({"resourceAttributes": {"verb": "list", "resource": "pods", "fieldSelector": selector}});
    let answer = ask(&api, "selfsubjectaccessreviews", &spec).await.expect(201);
    let said = "spec.resourceAttributes.fieldSelector ignored due to parse error";
    assert_eq!(answer["status"], json!({"allowed": true, "evaluationError": said}));
}

#[tokio::test]
async fn a_user_learns_the_rules_that_allow_what_they_may_do() {
    let api = Api::start().await;
    grant(&api, &json!({"kind": "Group", "name": "dev", "apiGroup": "rbac.authorization.k8s.io"})).await;
    let (path, body) = review("selfsubjectrulesreviews", &json!({"namespace": "default"}));
    // Whoever may ask is for other rules to say.
    let cluster = "/apis/rbac.authorization.k8s.io/v1";
    let rule = json!({"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["*"]});
    let role = json!({"metadata": {"name": "asker"}, "rules": [rule]});
    api.post(&format!("{cluster}/clusterroles"), &role).await.expect(201);
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "asker"});
    let dev = json!({"kind": "Group", "name": "dev", "apiGroup": "rbac.authorization.k8s.io"});
    let binding = json!({"metadata": {"name": "askers"}, "roleRef": role, "subjects": [dev]});
    api.post(&format!("{cluster}/clusterrolebindings"), &binding).await.expect(201);
    let answer = as_user(&api, UserInfo::new("ann", &["dev"]), &path, &body).await.expect(201);
    let reader = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]});
    assert_eq!(
        answer["status"],
        json!({"resourceRules": [rule, reader], "nonResourceRules": [], "incomplete": false})
    );
}

#[tokio::test]
async fn everybody_who_may_do_everything_has_two_rules() {
    let api = Api::with(|config| config.authorization = Authorization::AlwaysAllow).await;
    let answer = ask(&api, "selfsubjectrulesreviews", &json!({"namespace": "x"})).await.expect(201);
    assert_eq!(
        answer["status"],
        json!({
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": false,
        })
    );
}

#[tokio::test]
async fn a_client_learns_who_it_is() {
    let api = Api::with(|config| config.authorization = Authorization::AlwaysAllow).await;
    let extra = [("department".to_owned(), vec!["x".to_owned()])].into();
    let user = UserInfo { uid: "u1".to_owned(), extra, ..UserInfo::new("ann", &["dev"]) };
    let path = format!("{AUTHENTICATION}/selfsubjectreviews");
    let answer = as_user(&api, user, &path, &json!({"metadata": {"name": "x"}})).await.expect(201);
    assert_eq!(answer["metadata"], json!({"creationTimestamp": "2024-05-06T07:08:09Z"}));
    let groups = ["dev", "system:authenticated"];
    let expected = json!({"username": "ann", "uid": "u1", "groups": groups, "extra": {"department": ["x"]}});
    assert_eq!(answer["status"], json!({"userInfo": expected}));
}

#[tokio::test]
async fn a_token_is_reviewed_without_being_used() {
    let api = Api::with(|config| config.tokens = Tokens::parse(b"s3cret,alice,u1,\"dev\"\n").unwrap()).await;
    let path = format!("{AUTHENTICATION}/tokenreviews");
    let ask = async |token: &str| api.post(&path, &json!({"spec": {"token": token}})).await;
    let known = ask("s3cret").await.expect(201);
    let user = json!({"username": "alice", "uid": "u1", "groups": ["dev", "system:authenticated"]});
    assert_eq!(known["status"], json!({"authenticated": true, "user": user}));
    let unknown = ask("guess").await.expect(201);
    assert_eq!(unknown["status"], json!({"user": {}, "error": "invalid bearer token"}));
    let text = "token is required for TokenReview in authentication";
    ask("").await.refused(400, "BadRequest", text);
}

#[tokio::test]
async fn reviews_can_only_be_created() {
    let api = Api::start().await;
    let text = "the server does not allow this method on the requested resource";
    for resource in ["subjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"] {
        let path = format!("{AUTHORIZATION}/{resource}");
        api.get(&path).await.refused(405, "MethodNotAllowed", text);
        api.delete(&path).await.refused(405, "MethodNotAllowed", text);
        api.get(&format!("{path}/x")).await.expect(404);
    }
    api.get(LOCAL).await.refused(405, "MethodNotAllowed", text);
    api.post(&format!("{AUTHORIZATION}/localsubjectaccessreviews"), &json!({})).await.expect(404);
}

#[tokio::test]
async fn questions_are_decoded_as_strictly_as_objects() {
    let api = Api::start().await;
    let spec = json!({"resourceAttributes": {"verb": "get"}, "odd": 1});
    let (path, body) = review("selfsubjectaccessreviews", &spec);
    let strict = api.post(&format!("{path}?fieldValidation=Strict"), &body).await.expect(400);
    assert!(strict["message"].as_str().unwrap().contains("unknown field \"spec.odd\""), "{strict}");
    let warned = api.post(&format!("{path}?dryRun=All"), &body).await;
    assert!(warned.headers["warning"].to_str().unwrap().contains("spec.odd"));
    warned.expect(201);
}
