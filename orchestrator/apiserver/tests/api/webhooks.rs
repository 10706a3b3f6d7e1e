//! Webhooks: what is asked of them, what follows from their answers, and what of their silence.

use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::{Api, CONFIG_MAPS, DEPLOYMENTS, PODS, deployment};
use crate::hooks::{Hooks, MUTATING, VALIDATING, allow, configure, deny, make, patch};

/// Adds a key to the data of a ConfigMap.
fn add(key: &str) -> Value {
    patch(&json!([{"op": "add", "path": format!("/data/{key}"), "value": "hook"}]))
}

#[tokio::test]
async fn a_review_says_who_does_what_to_which_object() {
    let api = Api::start().await;
    let hooks = Hooks::start(|_, _| allow()).await;
    let all = json!({"rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["*"],
                                "resources": ["configmaps"]}]});
    configure(&api, VALIDATING, "v", &[hooks.hook("a.example.com", "/v", &all)]).await;
    make(&api, "a", &json!({"k": "1"})).await.expect(201);
    let change = json!({"data": {"k": "2"}});
    api.patch(&format!("{CONFIG_MAPS}/a?fieldManager=m"), "merge-patch", &change).await.expect(200);
    api.delete(&format!("{CONFIG_MAPS}/a?gracePeriodSeconds=0")).await.expect(200);
    let seen = hooks.seen.lock().clone();
    let [(_, create), (_, update), (_, delete)] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!(create["kind"], json!({"group": "", "version": "v1", "kind": "ConfigMap"}));
    assert_eq!(create["resource"], json!({"group": "", "version": "v1", "resource": "configmaps"}));
    assert_eq!(create["requestKind"], create["kind"]);
    assert_eq!((&create["name"], &create["namespace"]), (&json!("a"), &json!("default")));
    assert_eq!((&create["operation"], &create["dryRun"]), (&json!("CREATE"), &json!(false)));
    assert_eq!(create["userInfo"]["username"], "tester");
    assert_eq!((&create["object"]["data"]["k"], &create["oldObject"]), (&json!("1"), &Value::Null));
    assert!(create["object"]["metadata"]["uid"].is_string(), "{create}");
    assert_eq!(create["options"], json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}));
    assert_eq!(update["operation"], "UPDATE");
    assert_eq!(
        (&update["object"]["data"]["k"], &update["oldObject"]["data"]["k"]),
        (&json!("2"), &json!("1"))
    );
    let options = json!({"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "m"});
    assert_eq!(update["options"], options);
    assert_eq!((&delete["operation"], &delete["object"]), (&json!("DELETE"), &Value::Null));
    assert_eq!(delete["oldObject"]["data"]["k"], "2");
    assert_eq!(delete["options"]["gracePeriodSeconds"], 0);
}

#[rstest]
#[case(json!({"message": "because"}), 400, "", "admission webhook \"a.example.com\" denied the request: because")]
#[case(json!({"reason": "Why"}), 400, "Why", "admission webhook \"a.example.com\" denied the request: Why")]
#[case(json!({"code": 200}), 400, "", "admission webhook \"a.example.com\" denied the request without explanation")]
#[case(json!({"code": 403, "reason": "Forbidden", "message": "no"}), 403, "Forbidden",
       "admission webhook \"a.example.com\" denied the request: no")]
#[tokio::test]
async fn a_denial_is_told_with_its_status(
    #[case] status: Value,
    #[case] code: u16,
    #[case] reason: &str,
    #[case] message: &str,
) {
    let api = Api::start().await;
    let hooks = Hooks::start(move |_, _| json!({"allowed": false, "status": status})).await;
    configure(&api, VALIDATING, "v", &[hooks.hook("a.example.com", "/v", &json!({}))]).await;
    let body = make(&api, "a", &json!({})).await.refused(code, reason, message);
    assert!(body.get("details").is_none(), "{body}");
    api.get(&format!("{CONFIG_MAPS}/a")).await.expect(404);
}

#[tokio::test]
async fn warnings_reach_the_client_and_connections_are_used_again() {
    let api = Api::start().await;
    let hooks = Hooks::start(|_, _| json!({"allowed": true, "warnings": ["mind the gap"]})).await;
    configure(&api, VALIDATING, "v", &[hooks.hook("a.example.com", "/v", &json!({}))]).await;
    for name in ["a", "b", "c"] {
        let answer = make(&api, name, &json!({})).await;
        assert_eq!(answer.headers["warning"], "299 - \"mind the gap\"");
        answer.expect(201);
    }
    assert_eq!(*hooks.connections.lock(), 1);
}

#[rstest]
#[case(json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}), true)]
#[case(json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}), false)]
#[case(json!({"objectSelector": {"matchExpressions": [{"key": "x", "operator": "Exists"}]}}), false)]
#[case(json!({"matchConditions": [{"name": "c", "expression": "object.metadata.name == 'a'"}]}), true)]
#[case(json!({"matchConditions": [{"name": "c", "expression": "request.userInfo.username == 'x'"}]}), false)]
#[case(json!({"rules": [{"operations": ["CREATE"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"],
                         "scope": "Cluster"}]}), false)]
#[case(json!({"rules": [{"operations": ["CREATE"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"],
                         "scope": "Namespaced"}]}), true)]
#[case(json!({"rules": [{"operations": ["CREATE"], "apiGroups": ["*"], "apiVersions": ["*"],
                         "resources": ["configmaps/status"]}]}), false)]
#[tokio::test]
async fn a_hook_sees_what_it_wants_to_see(#[case] wants: Value, #[case] sees: bool) {
    let api = Api::start().await;
    let hooks = Hooks::start(|_, _| deny("seen")).await;
    configure(&api, VALIDATING, "v", &[hooks.hook("a.example.com", "/v", &wants)]).await;
    make(&api, "a", &json!({})).await.expect(if sees { 400 } else { 201 });
}

#[tokio::test]
async fn a_condition_that_cannot_be_evaluated_refuses_unless_it_may_be_ignored() {
    let api = Api::start().await;
    let hooks = Hooks::start(|_, _| allow()).await;
    let broken = json!({"matchConditions": [{"name": "c", "expression": "object.nope == 1"}]});
    configure(&api, VALIDATING, "v", &[hooks.hook("a.example.com", "/v", &broken)]).await;
    let message =
        "configmaps \"a\" is forbidden: expression 'object.nope == 1' resulted in error: no such key: nope";
    make(&api, "a", &json!({})).await.refused(403, "Forbidden", message);
    let ignore = json!([{"op": "add", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]);
    api.patch(&format!("{VALIDATING}/v"), "json-patch", &ignore).await.expect(200);
    make(&api, "a", &json!({})).await.expect(201);
    assert!(hooks.paths().is_empty());
}

#[tokio::test]
async fn an_equivalent_resource_is_shown_as_the_one_that_is_asked_for() {
    let api = Api::start().await;
    let hooks = Hooks::start(|_, request| {
        let version = request["object"]["apiVersion"].as_str().unwrap().to_owned();
        patch(
            &json!([{"op": "add", "path": "/metadata/labels", "value": {"seen": version.replace('/', "-")}}]),
        )
    })
    .await;
    let rules = json!([{"operations": ["CREATE"], "apiGroups": ["autoscaling"], "apiVersions": ["v2"],
                        "resources": ["horizontalpodautoscalers"]}]);
    configure(&api, MUTATING, "m", &[hooks.hook("a.example.com", "/m", &json!({"rules": rules}))]).await;
    let path = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
    let scaler = |name: &str| {
        json!({"metadata": {"name": name}, "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50,
               "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}})
    };
    let made = api.post(path, &scaler("a")).await.expect(201);
    assert_eq!(made["apiVersion"], "autoscaling/v1");
    assert_eq!(made["metadata"]["labels"]["seen"], "autoscaling-v2");
    assert_eq!(made["spec"]["targetCPUUtilizationPercentage"], 50);
    let request = hooks.seen.lock()[0].1.clone();
    assert_eq!(
        (&request["kind"]["version"], &request["requestKind"]["version"]),
        (&json!("v2"), &json!("v1"))
    );
    let exact = json!([{"op": "replace", "path": "/webhooks/0/matchPolicy", "value": "Exact"}]);
    api.patch(&format!("{MUTATING}/m"), "json-patch", &exact).await.expect(200);
    assert!(api.post(path, &scaler("b")).await.expect(201)["metadata"].get("labels").is_none());
}

#[tokio::test]
async fn a_hook_is_asked_again_after_a_later_change_if_it_wants_to_be() {
    let api = Api::start().await;
    let hooks = Hooks::start(|path, request| match path {
        "/late" => add("late"),
        _ if request["object"]["data"]["late"].is_string() => add("early"),
        _ => allow(),
    })
    .await;
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    let early = [
        hooks.hook("early.example.com", "/early", &again),
        hooks.hook("once.example.com", "/once", &json!({})),
    ];
    configure(&api, MUTATING, "a", &early).await;
    configure(&api, MUTATING, "b", &[hooks.hook("late.example.com", "/late", &json!({}))]).await;
    let made = make(&api, "a", &json!({"own": "1"})).await.expect(201);
    assert_eq!(made["data"], json!({"own": "1", "late": "hook", "early": "hook"}));
    assert_eq!(hooks.paths(), ["/early", "/once", "/late", "/early"]);
}

#[tokio::test]
async fn a_dry_run_asks_only_those_without_side_effects() {
    let api = Api::start().await;
    let hooks = Hooks::start(|_, _| allow()).await;
    let some = json!({"sideEffects": "NoneOnDryRun"});
    configure(&api, VALIDATING, "v", &[hooks.hook("a.example.com", "/v", &some)]).await;
    let body = json!({"metadata": {"name": "a"}});
    api.post(&format!("{CONFIG_MAPS}?dryRun=All"), &body).await.expect(201);
    let request = hooks.seen.lock()[0].1.clone();
    assert_eq!((&request["dryRun"], &request["options"]["dryRun"]), (&json!(true), &json!(["All"])));
}

#[rstest]
#[case(json!({"allowed": true, "uid": "x"}), "received invalid webhook response: expected response.uid=\"00000000-")]
#[case(json!({"allowed": true, "patch": "e30=", "patchType": "JSONPatch"}),
       "received undecodable patch in webhook response: json: cannot unmarshal object into Go value")]
#[case(json!({"allowed": true, "patch": "W10=", "patchType": "Other"}), "")]
#[tokio::test]
async fn an_answer_that_makes_no_sense_counts_as_none(#[case] answer: Value, #[case] why: &str) {
    let api = Api::start().await;
    let hooks = Hooks::start(move |_, _| answer.clone()).await;
    configure(&api, MUTATING, "m", &[hooks.hook("a.example.com", "/m", &json!({}))]).await;
    let made = make(&api, "a", &json!({})).await;
    if why.is_empty() {
        made.expect(201);
        return;
    }
    let message = made.expect(500)["message"].as_str().unwrap().to_owned();
    let start = format!("Internal error occurred: failed calling webhook \"a.example.com\": {why}");
    assert!(message.starts_with(&start), "{message}");
}

#[tokio::test]
async fn a_patch_that_does_not_apply_refuses_and_so_does_one_of_a_deletion() {
    let api = Api::start().await;
    let hooks = Hooks::start(|_, _| patch(&json!([{"op": "remove", "path": "/data/none"}]))).await;
    let rules =
        json!([{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]);
    api.config_map("old", &json!({})).await;
    let more = json!({"rules": rules, "failurePolicy": "Ignore"});
    configure(&api, MUTATING, "m", &[hooks.hook("a.example.com", "/m", &more)]).await;
    make(&api, "a", &json!({})).await.expect(500);
    let message = "Internal error occurred: admission webhook \"a.example.com\" attempted to modify the object, which is \
                   not supported for this operation";
    api.delete(&format!("{CONFIG_MAPS}/old")).await.refused(500, "InternalError", message);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_believed() {
    let api = Api::start().await;
    let (hooks, others) = (Hooks::start(|_, _| allow()).await, Hooks::start(|_, _| allow()).await);
    let mut hook = hooks.hook("a.example.com", "/v", &json!({}));
    hook["clientConfig"]["caBundle"] = json!(others.bundle);
    configure(&api, VALIDATING, "v", &[hook]).await;
    let message = format!(
        "Internal error occurred: failed calling webhook \"a.example.com\": failed to call webhook: Post \
         \"https://127.0.0.1:{}/v?timeout=10s\": tls: failed to verify certificate: x509: certificate signed by unknown \
         authority",
        hooks.port
    );
    make(&api, "a", &json!({})).await.refused(500, "InternalError", &message);
}

#[tokio::test]
async fn a_service_is_called_by_its_name() {
    let api = Api::start().await;
    let hooks = Hooks::start(|_, _| allow()).await;
    let mut hook = hooks.hook("a.example.com", "/v", &json!({}));
    hook["clientConfig"] = json!({"service": {"namespace": "default", "name": "hook", "path": "/x"}});
    configure(&api, VALIDATING, "v", &[hook]).await;
    let told = |why: &str| {
        format!(
            "Internal error occurred: failed calling webhook \"a.example.com\": failed to call webhook: Post \
             \"https://hook.default.svc:443/x?timeout=10s\": {why}"
        )
    };
    let missing = told("service \"hook\" not found");
    make(&api, "a", &json!({})).await.refused(500, "InternalError", &missing);
    let service = json!({"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 80}]}});
    api.post("/api/v1/namespaces/default/services", &service).await.expect(201);
    let port = told("no service port 443 found for service \"hook\"");
    make(&api, "a", &json!({})).await.refused(500, "InternalError", &port);
}

#[tokio::test]
async fn parts_of_objects_are_seen_as_what_they_are() {
    let api = Api::start().await;
    let hooks = Hooks::start(|_, request| match request["kind"]["kind"].as_str() {
        Some("Scale") => patch(&json!([{"op": "replace", "path": "/spec/replicas", "value": 7}])),
        Some("Eviction") => deny("stay"),
        _ => allow(),
    })
    .await;
    let rules = json!([{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"],
                        "resources": ["deployments/scale", "pods/eviction", "deployments/status"]}]);
    configure(&api, MUTATING, "m", &[hooks.hook("a.example.com", "/m", &json!({"rules": rules}))]).await;
    api.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    let three = json!({"spec": {"replicas": 3}});
    let scaled = api.patch(&format!("{DEPLOYMENTS}/d/scale"), "merge-patch", &three).await.expect(200);
    assert_eq!(scaled["spec"]["replicas"], 7);
    let seen = hooks.seen.lock()[0].1.clone();
    assert_eq!(seen["kind"], json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}));
    assert_eq!((&seen["subResource"], &seen["oldObject"]["spec"]["replicas"]), (&json!("scale"), &json!(1)));
    api.patch(&format!("{DEPLOYMENTS}/d/status"), "merge-patch", &json!({"status": {"replicas": 1}}))
        .await
        .expect(200);
    assert_eq!(hooks.seen.lock()[1].1["kind"]["kind"], "Deployment");
    api.pod("p", None).await;
    let message = "admission webhook \"a.example.com\" denied the request: stay";
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    api.post(&format!("{PODS}/p/eviction"), &eviction).await.refused(400, "", message);
    api.get(&format!("{PODS}/p")).await.expect(200);
}
