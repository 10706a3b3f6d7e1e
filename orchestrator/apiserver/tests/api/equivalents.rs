//! `matchPolicy: Equivalent`: rules that name another version or group of what is written see it as what they name.

use serde_json::{Value, json};

use crate::conversion::{convert, define, tests};
use crate::harness::{Api, CONFIG_MAPS};
use crate::hooks::{Hooks, MUTATING, VALIDATING, allow, configure, deny, patch};
use crate::policies::{GROUP, matching, mutating, validating};

const EXACT: &str = r#"[{"op": "replace", "path": "/webhooks/0/matchPolicy", "value": "Exact"}]"#;

/// What a hook wants to see that knows tests in v2 only.
fn in_v2() -> Value {
    json!({"rules": [{"operations": ["CREATE", "UPDATE", "DELETE"], "apiGroups": ["stable.example.com"],
                      "apiVersions": ["v2"], "resources": ["tests"]}]})
}

fn test(name: &str) -> Value {
    json!({"metadata": {"name": name}, "hostPort": "localhost:80"})
}

#[tokio::test]
async fn a_webhook_sees_and_changes_a_custom_object_in_the_version_its_rules_name() {
    let api = Api::start().await;
    let conversions = Hooks::start(convert).await;
    define(&api, &conversions, "/convert").await;
    let hooks = Hooks::start(|_, request| match request["object"]["host"].as_str() {
        Some("localhost") => patch(&json!([
            {"op": "replace", "path": "/host", "value": "example.com"}, {"op": "add", "path": "/unknown", "value": 1},
        ])),
        _ => allow(),
    })
    .await;
    configure(&api, MUTATING, "m", &[hooks.hook("m.example.com", "/m", &in_v2())]).await;
    let made = api.post(&tests("v1"), &test("a")).await.expect(201);
    assert_eq!(
        (&made["apiVersion"], &made["hostPort"]),
        (&json!("stable.example.com/v1"), &json!("example.com:80"))
    );
    assert_eq!((made.get("host"), made.get("unknown")), (None, None), "the version asked for knows neither");
    let request = hooks.seen.lock()[0].1.clone();
    assert_eq!(request["kind"]["version"], "v2");
    assert_eq!(
        request["requestKind"],
        json!({"group": "stable.example.com", "version": "v1", "kind": "Test"})
    );
    assert_eq!(request["resource"]["version"], "v2");
    assert_eq!(request["requestResource"]["version"], "v1");
    assert_eq!(request["object"]["apiVersion"], "stable.example.com/v2");
    let exact: Value = serde_json::from_str(EXACT).unwrap();
    api.patch(&format!("{MUTATING}/m"), "json-patch", &exact).await.expect(200);
    assert_eq!(api.post(&tests("v1"), &test("b")).await.expect(201)["hostPort"], "localhost:80");
}

#[tokio::test]
async fn a_webhook_sees_old_objects_in_that_version_too() {
    let api = Api::start().await;
    let conversions = Hooks::start(convert).await;
    define(&api, &conversions, "/convert").await;
    api.post(&tests("v1"), &test("a")).await.expect(201);
    let hooks = Hooks::start(|_, request| match request["oldObject"]["port"].as_str() {
        Some("80") => deny("it listens on port 80"),
        _ => allow(),
    })
    .await;
    configure(&api, VALIDATING, "v", &[hooks.hook("v.example.com", "/v", &in_v2())]).await;
    let told = "admission webhook \"v.example.com\" denied the request: it listens on port 80";
    let path = format!("{}/a", tests("v1"));
    api.delete(&path).await.refused(400, "", told);
    api.patch(&path, "merge-patch", &json!({"hostPort": "localhost:81"})).await.refused(400, "", told);
    assert!(hooks.seen.lock()[0].1["object"].is_null());
    assert_eq!(hooks.seen.lock()[1].1["object"]["port"], "81");
}

#[tokio::test]
async fn a_conversion_that_fails_refuses_the_write() {
    let api = Api::start().await;
    let conversions = Hooks::start(convert).await;
    define(&api, &conversions, "/refuse").await;
    let hooks = Hooks::start(|_, _| allow()).await;
    configure(&api, VALIDATING, "v", &[hooks.hook("v.example.com", "/v", &in_v2())]).await;
    let why = "conversion webhook for stable.example.com/v1, Kind=Test failed: not today";
    let told = format!("Internal error occurred: {why}");
    api.post(&tests("v1"), &test("a")).await.refused(500, "InternalError", &told);
    assert_eq!(hooks.paths().len(), 0);
    let spec = json!({"matchConstraints": matching("stable.example.com", "v2", "tests"),
                      "validations": [{"expression": "has(object.host)"}]});
    api.delete(&format!("{VALIDATING}/v")).await.expect(200);
    validating(&api, "p", &spec, &json!({"validationActions": ["Deny"]})).await;
    let refused = api.post(&tests("v1"), &test("a")).await.expect(422);
    let told = format!("failed to configure binding: failed to convert object version: {why}");
    assert!(refused["message"].as_str().unwrap().ends_with(&told), "{refused}");
}

#[tokio::test]
async fn policies_decide_about_a_custom_object_in_the_version_their_rules_name() {
    let api = Api::start().await;
    let conversions = Hooks::start(convert).await;
    define(&api, &conversions, "/convert").await;
    let about = matching("stable.example.com", "v2", "tests");
    let spec = json!({
        "matchConstraints": about, "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration",
                       "applyConfiguration": {"expression": "Object{host: object.host + '.example.com'}"}}],
    });
    mutating(&api, "m", &spec, &json!({})).await;
    let spec = json!({
        "matchConstraints": about,
        "validations": [{"expression": "object.port != '81'",
                         "messageExpression": "request.requestKind.version + ' as ' + request.kind.version"}],
    });
    validating(&api, "v", &spec, &json!({"validationActions": ["Deny"]})).await;
    let made = api.post(&tests("v1"), &test("a")).await.expect(201);
    assert_eq!(made["hostPort"], "localhost.example.com:80");
    let other = json!({"metadata": {"name": "b"}, "hostPort": "localhost:81"});
    let refused = api.post(&tests("v1"), &other).await.expect(422);
    assert!(refused["message"].as_str().unwrap().ends_with("denied request: v1 as v2"), "{refused}");
    let exact = json!({"spec": {"matchConstraints": {"matchPolicy": "Exact"}}});
    for sort in ["mutating", "validating"] {
        let path = format!("{GROUP}/{sort}admissionpolicies/{}", &sort[..1]);
        api.patch(&path, "merge-patch", &exact).await.expect(200);
    }
    assert_eq!(api.post(&tests("v1"), &other).await.expect(201)["hostPort"], "localhost:81");
}

#[tokio::test]
async fn parameters_are_read_in_the_version_that_the_policy_names() {
    let api = Api::start().await;
    let conversions = Hooks::start(convert).await;
    define(&api, &conversions, "/convert").await;
    let mut parameter = test("a");
    parameter["metadata"]["labels"] = json!({"for": "policies"});
    api.post(&tests("v1"), &parameter).await.expect(201);
    let spec = json!({
        "paramKind": {"apiVersion": "stable.example.com/v2", "kind": "Test"},
        "matchConstraints": matching("", "v1", "configmaps"),
        "validations": [{"expression": "object.data.host == params.host",
                         "messageExpression": "params.apiVersion + ' ' + params.port"}],
    });
    for (name, reference) in [
        ("named", json!({"name": "a"})),
        ("selected", json!({"selector": {"matchLabels": {"for": "policies"}}})),
    ] {
        let mut reference = reference;
        reference["parameterNotFoundAction"] = "Deny".into();
        validating(&api, name, &spec, &json!({"validationActions": ["Deny"], "paramRef": reference})).await;
        let map = |host: &str| json!({"metadata": {"name": name}, "data": {"host": host}});
        let refused = api.post(CONFIG_MAPS, &map("other")).await.expect(422);
        assert!(
            refused["message"].as_str().unwrap().ends_with("request: stable.example.com/v2 80"),
            "{refused}"
        );
        api.post(CONFIG_MAPS, &map("localhost")).await.expect(201);
        api.delete(&format!("{GROUP}/validatingadmissionpolicybindings/{name}")).await.expect(200);
    }
}

#[tokio::test]
async fn events_of_either_group_are_equivalent() {
    let api = Api::start().await;
    let hooks = Hooks::start(|_, _| allow()).await;
    let rules = json!({"rules": [{"operations": ["CREATE"], "apiGroups": ["events.k8s.io"], "apiVersions": ["v1"],
                                  "resources": ["events"]}]});
    configure(&api, VALIDATING, "v", &[hooks.hook("v.example.com", "/v", &rules)]).await;
    let event = json!({"metadata": {"name": "e"}, "reason": "Test", "message": "hello", "type": "Normal",
                       "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}});
    api.post("/api/v1/namespaces/default/events", &event).await.expect(201);
    let request = hooks.seen.lock()[0].1.clone();
    assert_eq!(
        (&request["kind"]["group"], &request["requestKind"]["group"]),
        (&json!("events.k8s.io"), &json!(""))
    );
    assert_eq!(
        (&request["object"]["note"], &request["object"]["regarding"]["kind"]),
        (&json!("hello"), &json!("Pod"))
    );
}

#[tokio::test]
async fn the_status_of_a_policy_tells_what_does_not_fit_a_custom_kind() {
    let api = Api::with(|config| config.type_checking = true).await;
    let conversions = Hooks::start(convert).await;
    define(&api, &conversions, "/convert").await;
    let policy = json!({"metadata": {"name": "p"}, "spec": {
        "paramKind": {"apiVersion": "stable.example.com/v1", "kind": "Test"},
        "matchConstraints": matching("stable.example.com", "v2", "tests"),
        "validations": [
            {"expression": "object.host == params.hostPort && object.metadata.labels['a'] == 'b'"},
            {"expression": "object.hostPort == ''"},
            {"expression": "params.host == ''"},
        ],
    }});
    api.post(&format!("{GROUP}/validatingadmissionpolicies"), &policy).await.expect(201);
    let read = api.get(&format!("{GROUP}/validatingadmissionpolicies/p")).await.expect(200);
    let warning = |index: usize, column: usize, field: &str, text: &str| {
        let told = "stable.example.com/v2, Kind=Test: ERROR: <input>:1";
        let dots = ".".repeat(column - 1);
        json!({"fieldRef": format!("spec.validations[{index}].expression"),
               "warning": format!("{told}:{column}: undefined field '{field}'\n | {text}\n | {dots}^\n")})
    };
    let warnings = json!([
        warning(1, 7, "hostPort", "object.hostPort == ''"),
        warning(2, 7, "host", "params.host == ''")
    ]);
    assert_eq!(read["status"]["typeChecking"]["expressionWarnings"], warnings);
}
