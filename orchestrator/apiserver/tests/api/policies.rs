//! Admission policies: what they refuse, warn of and change, by whose word, and where they apply.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::harness::{Api, CONFIG_MAPS, DEPLOYMENTS, deployment};

pub(crate) const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

/// A rule about creations and updates of a resource.
pub(crate) fn matching(group: &str, version: &str, resource: &str) -> Value {
    json!({"resourceRules": [{
        "apiGroups": [group], "apiVersions": [version], "operations": ["CREATE", "UPDATE"], "resources": [resource],
    }]})
}

fn config_maps() -> Value {
    matching("", "v1", "configmaps")
}

/// Makes a validating policy and a binding, both of this name, with more in the spec of either.
pub(crate) async fn validating(api: &Api, name: &str, spec: &Value, binding: &Value) {
    both(api, "validating", name, spec, binding).await;
}

pub(crate) async fn mutating(api: &Api, name: &str, spec: &Value, binding: &Value) {
    both(api, "mutating", name, spec, binding).await;
}

async fn both(api: &Api, sort: &str, name: &str, spec: &Value, binding: &Value) {
    let policy = json!({"metadata": {"name": name}, "spec": spec});
    api.post(&format!("{GROUP}/{sort}admissionpolicies"), &policy).await.expect(201);
    let mut binding = json!({"metadata": {"name": name}, "spec": binding});
    binding["spec"]["policyName"] = name.into();
    api.post(&format!("{GROUP}/{sort}admissionpolicybindings"), &binding).await.expect(201);
}

fn config_map(name: &str, data: &Value) -> Value {
    json!({"metadata": {"name": name}, "data": data})
}

fn warnings(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all("warning").iter().map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn a_policy_refuses_what_does_not_meet_it() {
    let api = Api::start().await;
    let spec = json!({
        "matchConstraints": config_maps(),
        "variables": [{"name": "a", "expression": "object.data.?a.orValue('')"}],
        "validations": [
            {"expression": "variables.a != 'bad'", "messageExpression": "'got ' + variables.a"},
            {"expression": "variables.a.size() < 5", "message": "too long", "reason": "RequestEntityTooLarge"},
        ],
    });
    validating(&api, "p", &spec, &json!({"validationActions": ["Deny"]})).await;
    let text =
        "configmaps \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: ";
    let bad = config_map("x", &json!({"a": "bad"}));
    let body = api.post(CONFIG_MAPS, &bad).await.refused(422, "Invalid", &format!("{text}got bad"));
    let cause = "ValidatingAdmissionPolicy 'p' with binding 'p' denied request: got bad";
    assert_eq!(body["details"], json!({"name": "x", "kind": "configmaps", "causes": [{"message": cause}]}));
    let long = config_map("x", &json!({"a": "abcdef"}));
    let told = format!("{text}too long");
    api.post(CONFIG_MAPS, &long).await.refused(413, "RequestEntityTooLarge", &told);
    api.post(CONFIG_MAPS, &config_map("x", &json!({"a": "good"}))).await.expect(201);
    let path = format!("{CONFIG_MAPS}/x");
    api.put(&path, &bad).await.expect(422);
    api.patch(&path, "merge-patch", &json!({"data": {"a": "bad"}})).await.expect(422);
    let mut applied = config_map("y", &json!({"a": "bad"}));
    applied["apiVersion"] = "v1".into();
    applied["kind"] = "ConfigMap".into();
    api.apply(&format!("{CONFIG_MAPS}/y"), "m", &applied).await.expect(422);
    api.delete(&path).await.expect(200);
    // Without a binding, a policy does nothing.
    api.delete(&format!("{GROUP}/validatingadmissionpolicybindings/p")).await.expect(200);
    api.post(CONFIG_MAPS, &bad).await.expect(201);
}

#[tokio::test]
async fn a_policy_may_warn_instead() {
    let api = Api::start().await;
    let spec = json!({
        "matchConstraints": config_maps(),
        "validations": [{"expression": "object.data.a != 'bad'"}],
    });
    validating(&api, "p", &spec, &json!({"validationActions": ["Warn", "Audit"]})).await;
    let answer = api.post(CONFIG_MAPS, &config_map("x", &json!({"a": "bad"}))).await;
    let text = "299 - \"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p': failed expression: \
                object.data.a != 'bad'\"";
    assert_eq!(warnings(&answer.headers), [text]);
    answer.expect(201);
    let answer = api.post(CONFIG_MAPS, &config_map("y", &json!({"a": "good"}))).await;
    assert!(warnings(&answer.headers).is_empty());
}

#[tokio::test]
async fn the_failure_policy_decides_what_follows_from_errors() {
    let api = Api::start().await;
    let mut spec = json!({
        "matchConstraints": config_maps(), "failurePolicy": "Ignore",
        "validations": [{"expression": "object.data.nope == 'x'"}],
    });
    validating(&api, "ignores", &spec, &json!({"validationActions": ["Deny"]})).await;
    api.post(CONFIG_MAPS, &config_map("x", &json!({"a": "b"}))).await.expect(201);
    spec["failurePolicy"] = "Fail".into();
    validating(&api, "fails", &spec, &json!({"validationActions": ["Deny"]})).await;
    let text = "configmaps \"y\" is forbidden: ValidatingAdmissionPolicy 'fails' with binding 'fails' denied request: \
                expression 'object.data.nope == 'x'' resulted in error: no such key: nope";
    api.post(CONFIG_MAPS, &config_map("y", &json!({"a": "b"}))).await.refused(422, "Invalid", text);
}

#[tokio::test]
async fn conditions_and_selectors_say_where_a_policy_applies() {
    let api = Api::start().await;
    api.namespace("other").await;
    let labels = json!({"metadata": {"labels": {"checked": "yes"}}});
    api.patch("/api/v1/namespaces/default", "merge-patch", &labels).await.expect(200);
    let spec = json!({
        "matchConstraints": config_maps(),
        "matchConditions": [{"name": "named", "expression": "request.name != 'skipped'"}],
        "validations": [{"expression": "namespaceObject.metadata.name == 'nowhere' || oldObject != null"}],
    });
    let binding = json!({
        "validationActions": ["Deny"],
        "matchResources": {
            "namespaceSelector": {"matchLabels": {"checked": "yes"}},
            "excludeResourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"],
                "resourceNames": ["excluded"],
            }],
        },
    });
    validating(&api, "p", &spec, &binding).await;
    for (namespace, name, code) in [
        ("default", "x", 422),
        ("default", "skipped", 201),
        ("default", "excluded", 201),
        ("other", "x", 201),
    ] {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        api.post(&path, &config_map(name, &json!({}))).await.expect(code);
    }
}

#[tokio::test]
async fn parameters_are_objects_that_bindings_name_or_select() {
    let api = Api::start().await;
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": matching("", "v1", "secrets"),
        "validations": [{
            "expression": "size(object.data) <= int(params.data.max)",
            "messageExpression": "'at most ' + params.data.max + ' by ' + params.kind",
        }],
    });
    let named = json!({"validationActions": ["Deny"], "paramRef": {"name": "one", "parameterNotFoundAction": "Deny"}});
    validating(&api, "named", &spec, &named).await;
    let secrets = "/api/v1/namespaces/default/secrets";
    let secret = json!({"metadata": {"name": "s"}, "data": {"a": "AA==", "b": "AA=="}});
    let text = |why: &str| {
        format!(
            "secrets \"s\" is forbidden: ValidatingAdmissionPolicy 'named' with binding 'named' denied request: {why}"
        )
    };
    let missing =
        "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction";
    api.post(secrets, &secret).await.refused(422, "Invalid", &text(missing));
    api.post(CONFIG_MAPS, &config_map("one", &json!({"max": "1"}))).await.expect(201);
    api.post(secrets, &secret).await.refused(422, "Invalid", &text("at most 1 by ConfigMap"));
    api.put(&format!("{CONFIG_MAPS}/one"), &config_map("one", &json!({"max": "2"}))).await.expect(200);
    let selected = json!({"validationActions": ["Deny"], "paramRef": {
        "selector": {"matchLabels": {"limit": "yes"}}, "parameterNotFoundAction": "Allow",
    }});
    validating(&api, "selected", &spec, &selected).await;
    api.post(&format!("{secrets}?dryRun=All"), &secret).await.expect(201);
    for (name, max) in [("five", "5"), ("zero", "0")] {
        let mut limit = config_map(name, &json!({"max": max}));
        limit["metadata"]["labels"] = json!({"limit": "yes"});
        api.post(CONFIG_MAPS, &limit).await.expect(201);
    }
    let refused = api.post(secrets, &secret).await.expect(422);
    assert!(
        refused["message"].as_str().unwrap().ends_with("denied request: at most 0 by ConfigMap"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_policy_whose_parameters_have_no_kind_refuses() {
    let api = Api::start().await;
    let spec = json!({
        "paramKind": {"apiVersion": "example.com/v1", "kind": "Nope"},
        "matchConstraints": config_maps(),
        "validations": [{"expression": "params == null"}],
    });
    validating(&api, "p", &spec, &json!({"validationActions": ["Warn"]})).await;
    let text = "configmaps \"x\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: \
                failed to find resource referenced by paramKind: 'example.com/v1, Kind=Nope'";
    api.post(CONFIG_MAPS, &config_map("x", &json!({}))).await.refused(422, "Invalid", text);
}

#[tokio::test]
async fn a_patch_changes_what_is_created() {
    let api = Api::start().await;
    let spec = json!({
        "matchConstraints": config_maps(), "reinvocationPolicy": "Never",
        "matchConditions": [{"name": "new", "expression": "oldObject == null"}],
        "mutations": [
            {"patchType": "JSONPatch", "jsonPatch": {"expression":
                "[JSONPatch{op: 'add', path: '/metadata/labels', value: {'added': request.operation}}]"}},
            {"patchType": "JSONPatch", "jsonPatch": {"expression":
                "[JSONPatch{op: 'test', path: '/data/a', value: 'b'}, JSONPatch{op: 'remove', path: '/data'}]"}},
        ],
    });
    mutating(&api, "p", &spec, &json!({})).await;
    let made = api.post(CONFIG_MAPS, &config_map("x", &json!({"a": "c"}))).await.expect(201);
    assert_eq!(
        (&made["metadata"]["labels"], &made["data"]),
        (&json!({"added": "CREATE"}), &json!({"a": "c"}))
    );
    let made = api.post(CONFIG_MAPS, &config_map("y", &json!({"a": "b"}))).await.expect(201);
    assert_eq!(made["data"], Value::Null);
    let bare = json!({"metadata": {"labels": null}});
    let changed = api.patch(&format!("{CONFIG_MAPS}/x"), "merge-patch", &bare).await;
    assert_eq!(changed.expect(200)["metadata"]["labels"], Value::Null);
}

#[tokio::test]
async fn a_change_that_cannot_be_made_refuses() {
    let api = Api::start().await;
    let change = |expression: &str| {
        json!({
            "matchConstraints": config_maps(), "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}],
        })
    };
    let expression = "Object{metadata: Object.metadata{finalizers: Object.nope{}}, data: object.nope}";
    mutating(&api, "p", &change(expression), &json!({})).await;
    let text = format!(
        "policy 'p' with binding 'p' denied request: expression '{expression}' resulted in error: no such key: nope"
    );
    let body = api.post(CONFIG_MAPS, &config_map("x", &json!({}))).await.expect(403);
    assert_eq!((body["message"].as_str(), body["reason"].as_str()), (Some(&*text), Some("Invalid")));
    assert_eq!(body["details"]["causes"], json!([{"message": text}]));
    api.delete(&format!("{GROUP}/mutatingadmissionpolicybindings/p")).await.expect(200);
    mutating(&api, "q", &change("Object{metadata: Object.nope{}}"), &json!({})).await;
    let body = api.post(CONFIG_MAPS, &config_map("x", &json!({}))).await.expect(403);
    let text = "policy 'q' with binding 'q' denied request: type mismatch: unexpected type name \"Object.nope\", expected \
                \"Object.metadata\", which matches field name path from root Object type";
    assert_eq!(body["message"].as_str(), Some(text));
}

#[tokio::test]
async fn what_is_owned_as_a_whole_cannot_be_applied() {
    let api = Api::start().await;
    let spec = json!({
        "matchConstraints": matching("apps", "v1", "deployments"), "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
            "Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'a': 'b'}}}}"}}],
    });
    mutating(&api, "p", &spec, &json!({})).await;
    let body = api.post(DEPLOYMENTS, &deployment("d")).await.expect(403);
    let text = "policy 'p' with binding 'p' denied request: error applying patch: invalid ApplyConfiguration: may not \
                mutate atomic arrays, maps or structs: .spec.selector";
    assert_eq!(body["message"].as_str(), Some(text));
}

#[tokio::test]
async fn a_policy_is_asked_again_after_later_changes() {
    let api = Api::start().await;
    let count = |name: &str, policy: &str, condition: &str| {
        json!({
            "matchConstraints": config_maps(), "reinvocationPolicy": policy,
            "matchConditions": [{"name": "once", "expression": condition}],
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": format!(
                "Object{{data: {{'{name}': string(int(object.?data['{name}'].orValue('0')) + 1)}}}}"
            )}}],
        })
    };
    mutating(&api, "a-again", &count("again", "IfNeeded", "true"), &json!({})).await;
    mutating(&api, "b-never", &count("never", "Never", "true"), &json!({})).await;
    let made = api.post(CONFIG_MAPS, &config_map("x", &json!({}))).await.expect(201);
    assert_eq!(made["data"], json!({"again": "2", "never": "1"}));
}

#[tokio::test]
async fn a_validating_policy_sees_what_a_mutating_one_made() {
    let api = Api::start().await;
    let spec = json!({
        "matchConstraints": matching("apps", "v1", "deployments"), "reinvocationPolicy": "IfNeeded",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
            "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{containers: [\
             Object.spec.template.spec.containers{name: 'side', image: 'side'}]}}}}"}}],
    });
    mutating(&api, "side", &spec, &json!({})).await;
    let spec = json!({
        "matchConstraints": matching("apps", "v1", "deployments"),
        "validations": [{"expression": "object.spec.template.spec.containers.size() == 1"}],
    });
    validating(&api, "one", &spec, &json!({"validationActions": ["Deny"]})).await;
    api.post(DEPLOYMENTS, &deployment("d")).await.expect(422);
    api.delete(&format!("{GROUP}/validatingadmissionpolicies/one")).await.expect(200);
    let made = api.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    let containers = made["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 2);
    assert_eq!(
        (&containers[1]["name"], &containers[1]["imagePullPolicy"]),
        (&json!("side"), &json!("Always"))
    );
}

#[tokio::test]
async fn the_status_tells_what_does_not_fit_a_kind() {
    let api = Api::with(|config| config.type_checking = true).await;
    let mut policy = json!({"metadata": {"name": "p"}, "spec": {
        "matchConstraints": matching("apps", "v1", "deployments"),
        "validations": [{"expression": "object.spec.nope > 1"}],
    }});
    let path = format!("{GROUP}/validatingadmissionpolicies");
    api.post(&path, &policy).await.expect(201);
    let path = format!("{path}/p");
    let read = api.get(&path).await.expect(200);
    let warning = "apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'nope'\n | object.spec.nope > 1\n | \
                   ...........^\n";
    let warnings = json!([{"fieldRef": "spec.validations[0].expression", "warning": warning}]);
    assert_eq!(
        read["status"],
        json!({"observedGeneration": 1, "typeChecking": {"expressionWarnings": warnings}})
    );
    policy["spec"]["validations"][0]["expression"] = "object.spec.replicas > 1".into();
    policy["metadata"]["resourceVersion"] = read["metadata"]["resourceVersion"].clone();
    api.put(&path, &policy).await.expect(200);
    let read = api.get(&path).await.expect(200);
    assert_eq!(read["status"]["observedGeneration"], 2);
    assert_eq!(read["status"]["typeChecking"]["expressionWarnings"], Value::Null);
    let unchecked = Api::start().await;
    policy["metadata"]["resourceVersion"] = Value::Null;
    unchecked.post(&format!("{GROUP}/validatingadmissionpolicies"), &policy).await.expect(201);
    assert_eq!(unchecked.get(&path).await.expect(200)["status"], json!({}));
}

/// A definition of limits, with a version that is served and stored.
fn limits() -> Value {
    json!({
        "metadata": {"name": "limits.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "limits", "kind": "Limit"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "max": {"type": "integer"}, "unit": {"type": "string"},
                    "mode": {"type": "object", "properties": {"strict": {"type": "boolean", "default": true}}},
                }}},
            }],
        },
    })
}

#[tokio::test]
async fn custom_kinds_are_parameters_and_are_decided_about() {
    let api = Api::start().await;
    let path = "/apis/example.com/v1/namespaces/default/limits";
    let spec = json!({
        "paramKind": {"apiVersion": "example.com/v1", "kind": "Limit"},
        "matchConstraints": config_maps(),
        "validations": [{
            "expression": "size(object.data) <= params.max", "messageExpression": "'not a ' + params.kind",
        }],
    });
    let binding =
        json!({"validationActions": ["Deny"], "paramRef": {"name": "l", "parameterNotFoundAction": "Deny"}});
    validating(&api, "p", &spec, &binding).await;
    let two = config_map("x", &json!({"a": "1", "b": "2"}));
    let refused = api.post(CONFIG_MAPS, &two).await.expect(422);
    let why = "failed to find resource referenced by paramKind: 'example.com/v1, Kind=Limit'";
    assert!(refused["message"].as_str().unwrap().ends_with(why), "{refused}");
    api.define(&limits()).await;
    let spec = json!({
        "matchConstraints": matching("example.com", "v1", "limits"), "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
            "Object{unit: 'entries', mode: Object.mode{}}"}}],
    });
    mutating(&api, "m", &spec, &json!({})).await;
    let spec = json!({
        "matchConstraints": matching("example.com", "v1", "limits"),
        "validations": [{"expression": "object.max > 0 && object.unit == 'entries'"}],
    });
    validating(&api, "v", &spec, &json!({"validationActions": ["Deny"]})).await;
    api.post(path, &json!({"metadata": {"name": "l"}, "max": 0})).await.expect(422);
    let made = api.post(path, &json!({"metadata": {"name": "l"}, "max": 1})).await.expect(201);
    assert_eq!((&made["unit"], &made["mode"]["strict"]), (&json!("entries"), &json!(true)));
    let refused = api.post(CONFIG_MAPS, &two).await.expect(422);
    assert!(refused["message"].as_str().unwrap().ends_with("denied request: not a Limit"), "{refused}");
    api.post(CONFIG_MAPS, &config_map("x", &json!({"a": "1"}))).await.expect(201);
}
