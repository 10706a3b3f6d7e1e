//! Bad input: each kind of it is refused with a text that says what is wrong, and changes nothing.

use serde_json::{Value, json};

use crate::harness::{Api, CONFIG_MAPS, DEPLOYMENTS, PODS, SERVICES, deployment};

async fn refused(path: &str, media: &str, body: impl Into<axum::body::Body>) -> Value {
    let api = Api::start().await;
    let before = api.store.revision();
    let answer = api.raw("POST", path, media, body).await;
    assert!(answer.code.is_client_error(), "{}", answer.text);
    assert_eq!(api.store.revision(), before, "a refused request wrote something");
    answer.body
}

fn message(status: &Value) -> &str {
    status["message"].as_str().unwrap()
}

#[rstest::rstest]
#[case(
    "{nope}",
    "json parse error: invalid character 'n' looking for beginning of object key string ({nope})"
)]
#[case("", "json parse error: unexpected end of JSON input (<empty>)")]
#[case(
    "apiVersion: v1",
    "invalid character 'a' looking for beginning of value (61706956657273696f6e3a207631)"
)]
#[tokio::test]
async fn malformed_json_is_shown_back(#[case] body: &'static str, #[case] text: &str) {
    let status = refused(CONFIG_MAPS, "application/json", body).await;
    assert_eq!((&status["code"], &status["reason"]), (&json!(400), &json!("BadRequest")));
    assert!(message(&status).ends_with(text), "{}", message(&status));
}

#[tokio::test]
async fn malformed_yaml_is_refused() {
    let status = refused(CONFIG_MAPS, "application/yaml", "a: b: c").await;
    assert!(message(&status).contains("error converting YAML to JSON"), "{}", message(&status));
}

#[tokio::test]
async fn unknown_and_duplicate_fields_are_refused_warned_of_or_dropped() {
    let api = Api::start().await;
    let body = r#"{"metadata":{"name":"d"},"data":{"a":"1","a":"2"},"bogus":1}"#;
    let before = api.store.revision();
    let strict = format!("{CONFIG_MAPS}?fieldValidation=Strict");
    api.raw("POST", &strict, "application/json", body).await.refused(
        400,
        "BadRequest",
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: duplicate field \
         \"data.a\", unknown field \"bogus\"",
    );
    assert_eq!(api.store.revision(), before);
    let warned = api.raw("POST", &format!("{CONFIG_MAPS}?dryRun=All"), "application/json", body).await;
    let warnings: Vec<_> = warned.headers.get_all("warning").iter().map(|w| w.to_str().unwrap()).collect();
    assert_eq!(warnings, [r#"299 - "duplicate field \"data.a\"""#, r#"299 - "unknown field \"bogus\"""#]);
    let ignored = format!("{CONFIG_MAPS}?fieldValidation=Ignore");
    let made = api.raw("POST", &ignored, "application/json", body).await;
    assert!(!made.headers.contains_key("warning"));
    assert_eq!(made.expect(201)["data"], json!({"a": "2"}));
    let other = format!("{CONFIG_MAPS}?fieldValidation=Other");
    api.raw("POST", &other, "application/json", body).await.refused(
        422,
        "Invalid",
        "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"Other\": supported values: \
         \"\", \"Ignore\", \"Strict\", \"Warn\"",
    );
}

#[tokio::test]
async fn wrong_types_name_the_field() {
    let mut body = deployment("d");
    body["spec"]["replicas"] = json!("x");
    let status = refused(DEPLOYMENTS, "application/json", body.to_string()).await;
    assert_eq!(
        message(&status),
        "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct \
         field DeploymentSpec.spec.replicas of type int32"
    );
}

#[tokio::test]
async fn another_kind_than_the_urls_is_refused() {
    let status = refused(CONFIG_MAPS, "application/json", r#"{"kind":"Nope","apiVersion":"v1"}"#).await;
    assert_eq!(
        message(&status),
        "Nope in version \"v1\" cannot be handled as a ConfigMap: no kind \"Nope\" is registered for version \"v1\" \
         in scheme \"pkg/api/legacyscheme/scheme.go:30\""
    );
}

#[tokio::test]
async fn an_oversized_body_is_refused() {
    let body = format!(r#"{{"metadata":{{"name":"a"}},"data":{{"k":"{}"}}}}"#, "x".repeat(3 * 1024 * 1024));
    let status = refused(CONFIG_MAPS, "application/json", body).await;
    assert_eq!((&status["code"], &status["reason"]), (&json!(413), &json!("RequestEntityTooLarge")));
    assert_eq!(message(&status), "Request entity too large: limit is 3145728");
}

#[tokio::test]
async fn a_body_nested_without_end_is_refused() {
    let body = format!("{}{}", r#"{"a":"#.repeat(200_000), "1");
    let status = refused(CONFIG_MAPS, "application/json", body).await;
    assert_eq!(status["code"], 400);
}

#[tokio::test]
async fn a_body_of_another_format_is_unsupported() {
    let status = refused(CONFIG_MAPS, "text/plain", r#"{"metadata":{"name":"a"}}"#).await;
    assert_eq!((&status["code"], &status["reason"]), (&json!(415), &json!("UnsupportedMediaType")));
}

#[tokio::test]
async fn an_answer_nobody_can_give_is_not_acceptable() {
    let api = Api::start().await;
    for accept in ["text/html", "application/vnd.kubernetes.protobuf"] {
        let status = api.get_as("/api/v1/namespaces/default", accept).await.expect(406);
        assert_eq!(status["reason"], "NotAcceptable");
    }
    let accept = "application/vnd.kubernetes.protobuf, text/html;q=0.9, application/json;q=0.5";
    assert_eq!(api.get_as("/api/v1/namespaces/default", accept).await.code, 200);
}

#[rstest::rstest]
#[case("labelSelector=app%3D%3D%3D", "unable to parse requirement: found '=', expected: identifier")]
#[case(
    "fieldSelector=nope%3Dx",
    "\"nope\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
)]
#[case("fieldSelector=a+in+(b)", "invalid selector: 'a in (b)'; can't understand 'a in (b)'")]
#[case("limit=x", "strconv.ParseInt: parsing \"x\": invalid syntax")]
#[case(
    "watch=1&labelSelector=a+b",
    "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"
)]
#[tokio::test]
async fn bad_selectors_are_bad_requests(#[case] query: &str, #[case] text: &str) {
    let api = Api::start().await;
    api.get(&format!("{CONFIG_MAPS}?{query}")).await.refused(400, "BadRequest", text);
}

#[tokio::test]
async fn a_collection_is_not_deleted_by_a_bad_selector() {
    let api = Api::start().await;
    api.config_map("a", &json!({})).await;
    let before = api.store.revision();
    assert_eq!(api.delete(&format!("{CONFIG_MAPS}?fieldSelector=nope%3Dx")).await.code, 400);
    assert_eq!(api.store.revision(), before);
}

#[rstest::rstest]
#[case(json!({"metadata": {}}), "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required")]
#[case(
    json!({"metadata": {"name": "a"}, "data": {"..": "x"}}),
    "ConfigMap \"a\" is invalid: data[..]: Invalid value: \"..\": must not be '..'"
)]
#[case(
    json!({"metadata": {"name": "a", "finalizers": ["bad"]}}),
    "ConfigMap \"a\" is invalid: metadata.finalizers[0]: Invalid value: \"bad\": name is neither a standard finalizer \
     name nor is it fully qualified"
)]
#[tokio::test]
async fn objects_that_break_rules_are_invalid(#[case] body: Value, #[case] text: &str) {
    let status = refused(CONFIG_MAPS, "application/json", body.to_string()).await;
    assert_eq!((&status["code"], &status["reason"]), (&json!(422), &json!("Invalid")));
    assert_eq!(message(&status), text);
}

#[tokio::test]
async fn every_broken_rule_of_a_pod_is_told_at_once() {
    let pod = json!({
        "metadata": {"name": "p"},
        "spec": {
            "containers": [
                {"name": "A_b", "image": "", "ports": [{"containerPort": 0}], "env": [{"name": "", "value": "x"}]},
                {"name": "c", "image": "i", "volumeMounts": [{"name": "absent", "mountPath": "/m"}]},
            ],
            "restartPolicy": "Sometimes",
        },
    });
    let status = refused(PODS, "application/json", pod.to_string()).await;
    let fields: Vec<&str> = status["details"]["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        fields,
        [
            "spec.containers[0].name",
            "spec.containers[0].image",
            "spec.containers[0].ports[0].containerPort",
            "spec.containers[0].env[0].name",
            "spec.containers[1].volumeMounts[0].name",
            "spec.restartPolicy",
        ]
    );
}

#[tokio::test]
async fn a_selector_must_match_its_template_and_a_service_needs_ports() {
    let mut body = deployment("d");
    body["spec"]["selector"] = json!({"matchLabels": {"app": "zzz"}});
    let status = refused(DEPLOYMENTS, "application/json", body.to_string()).await;
    assert_eq!(
        message(&status),
        "Deployment.apps \"d\" is invalid: spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` \
         does not match template `labels`"
    );
    let status = refused(SERVICES, "application/json", r#"{"metadata":{"name":"s"},"spec":{}}"#).await;
    assert_eq!(message(&status), "Service \"s\" is invalid: spec.ports: Required value");
}

#[tokio::test]
async fn a_namespace_in_the_body_must_be_the_urls() {
    let status =
        refused(CONFIG_MAPS, "application/json", r#"{"metadata":{"name":"a","namespace":"other"}}"#).await;
    let text = "the namespace of the provided object does not match the namespace sent on the request";
    assert_eq!(message(&status), text);
}
