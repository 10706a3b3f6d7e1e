//! Tests that do what descriptions of Kubernetes' conformance suite say of admission policies, named after them.

use serde_json::{Value, json};

use crate::harness::{Api, DEPLOYMENTS, deployment};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
const REPLICA_SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";

/// Makes a policy about Deployments in the namespace `default`, and binds it.
async fn bind(api: &Api, sort: &str, spec: &Value, binding: &Value) {
    let labels = json!({"metadata": {"labels": {"policies": "default"}}});
    api.patch("/api/v1/namespaces/default", "merge-patch", &labels).await.expect(200);
    let mut policy = json!({"metadata": {"name": "policy.example.com"}, "spec": spec});
    policy["spec"]["matchConstraints"] = json!({
        "namespaceSelector": {"matchLabels": {"policies": "default"}},
        "resourceRules": [{
            "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
            "resources": ["deployments"],
        }],
    });
    api.post(&format!("{GROUP}/{sort}admissionpolicies"), &policy).await.expect(201);
    let mut binding = json!({"metadata": {"name": "binding.example.com"}, "spec": binding});
    binding["spec"]["policyName"] = "policy.example.com".into();
    api.post(&format!("{GROUP}/{sort}admissionpolicybindings"), &binding).await.expect(201);
}

async fn bind_validating(api: &Api, spec: &Value) {
    let binding = json!({
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"policies": "default"}}},
    });
    bind(api, "validating", spec, &binding).await;
}

fn replicas(name: &str, count: u32) -> Value {
    let mut deployment = deployment(name);
    deployment["spec"]["replicas"] = count.into();
    deployment
}

async fn refused(api: &Api, name: &str, count: u32, why: &str) {
    let text = format!(
        "deployments.apps \"{name}\" is forbidden: ValidatingAdmissionPolicy 'policy.example.com' with binding \
         'binding.example.com' denied request: {why}"
    );
    api.post(DEPLOYMENTS, &replicas(name, count)).await.refused(422, "Invalid", &text);
}

/// A ReplicaSet of one replica, which no policy here is about.
async fn replica_set(api: &Api) {
    let mut set = replicas("set", 1);
    set["kind"] = "ReplicaSet".into();
    api.post(REPLICA_SETS, &set).await.expect(201);
}

#[tokio::test]
async fn validatingadmissionpolicy_should_validate_against_a_deployment() {
    let api = Api::start().await;
    let validations = json!([
        {
            "expression": "object.spec.replicas > 1",
            "messageExpression": "'wants replicas > 1, got ' + string(object.spec.replicas)",
        },
        {"expression": "namespaceObject.metadata.name == 'default'", "message": "other namespaces are not selected"},
    ]);
    bind_validating(&api, &json!({"validations": validations})).await;
    refused(&api, "single", 1, "wants replicas > 1, got 1").await;
    api.post(DEPLOYMENTS, &replicas("replicated", 2)).await.expect(201);
    replica_set(&api).await;
    api.namespace("other").await;
    api.post("/apis/apps/v1/namespaces/other/deployments", &replicas("single", 1)).await.expect(201);
}

#[tokio::test]
async fn validatingadmissionpolicy_should_allow_expressions_to_refer_variables() {
    let api = Api::start().await;
    let spec = json!({
        "variables": [
            {"name": "replicas", "expression": "object.spec.replicas"},
            {"name": "oddReplicas", "expression": "variables.replicas % 2 == 1"},
        ],
        "validations": [{"expression": "variables.replicas > 1"}, {"expression": "variables.oddReplicas"}],
    });
    bind_validating(&api, &spec).await;
    refused(&api, "single", 1, "failed expression: variables.replicas > 1").await;
    refused(&api, "even", 2, "failed expression: variables.oddReplicas").await;
    api.post(DEPLOYMENTS, &replicas("odd", 3)).await.expect(201);
    replica_set(&api).await;
}

fn applying(expression: &str) -> Value {
    json!({"reinvocationPolicy": "Never", "mutations": [
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}},
    ]})
}

async fn bind_mutating(api: &Api, expression: &str) {
    let binding = json!({"matchResources": {"namespaceSelector": {"matchLabels": {"policies": "default"}}}});
    bind(api, "mutating", &applying(expression), &binding).await;
}

#[tokio::test]
async fn mutatingadmissionpolicy_should_mutate_a_deployment() {
    let api = Api::start().await;
    bind_mutating(&api, "Object{spec: Object.spec{replicas: object.spec.replicas + 100}}").await;
    let made = api.post(DEPLOYMENTS, &replicas("d", 1)).await.expect(201);
    assert_eq!(made["spec"]["replicas"], 101);
    let changed = api.put(&format!("{DEPLOYMENTS}/d"), &replicas("d", 2)).await.expect(200);
    assert_eq!(changed["spec"]["replicas"], 102);
    assert_eq!(changed["metadata"]["generation"], 2);
    replica_set(&api).await;
}

#[tokio::test]
async fn mutatingadmissionpolicy_should_mutate_a_deployment_with_annotations() {
    let api = Api::start().await;
    let expression =
        "Object{metadata: Object.metadata{annotations: {'my-foo-annotation': 'myAnnotationValue'}}}";
    bind_mutating(&api, expression).await;
    let mut given = replicas("d", 1);
    given["metadata"]["annotations"] = json!({"own": "kept"});
    let made = api.post(DEPLOYMENTS, &given).await.expect(201);
    assert_eq!(
        made["metadata"]["annotations"],
        json!({"own": "kept", "my-foo-annotation": "myAnnotationValue"})
    );
    let read = api.get(&format!("{DEPLOYMENTS}/d")).await.expect(200);
    assert_eq!(read["metadata"]["annotations"], made["metadata"]["annotations"]);
}
