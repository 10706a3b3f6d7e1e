//! Server-side apply: configurations, their conflicts, and what becomes of what is applied no more.

use serde_json::{Value, json};

use crate::harness::{Api, CONFIG_MAPS, DEPLOYMENTS, PODS, deployment};

fn map(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data})
}

fn path() -> String {
    format!("{CONFIG_MAPS}/m")
}

#[tokio::test]
async fn applying_makes_an_object_and_then_changes_it() {
    let api = Api::start().await;
    let made = api.apply(&path(), "a", &map(&json!({"x": "1", "y": "1"}))).await.expect(201);
    assert_eq!(made["metadata"]["managedFields"][0]["operation"], "Apply");
    let changed = api.apply(&path(), "a", &map(&json!({"x": "2"}))).await.expect(200);
    assert_eq!(changed["data"], json!({"x": "2"}));
    assert_ne!(made["metadata"]["resourceVersion"], changed["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn applying_the_same_again_writes_nothing() {
    let api = Api::start().await;
    let config = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": deployment("d")["spec"].clone(),
    });
    let path = format!("{DEPLOYMENTS}/d");
    let made = api.apply(&path, "a", &config).await.expect(201);
    api.clock.advance(5);
    assert_eq!(api.apply(&path, "a", &config).await.expect(200), made);
}

#[tokio::test]
async fn a_conflict_names_every_field_and_its_owner() {
    let api = Api::start().await;
    api.apply(&path(), "a", &map(&json!({"x": "1", "y": "1"}))).await.expect(201);
    let refused = api.apply(&path(), "b", &map(&json!({"x": "2", "y": "2"}))).await.refused(
        409,
        "Conflict",
        "Apply failed with 2 conflicts: conflicts with \"a\":\n- .data.x\n- .data.y",
    );
    assert_eq!(
        refused["details"]["causes"],
        json!([
            {"reason": "FieldManagerConflict", "message": "conflict with \"a\"", "field": ".data.x"},
            {"reason": "FieldManagerConflict", "message": "conflict with \"a\"", "field": ".data.y"},
        ])
    );
    assert_eq!(api.get(&path()).await.expect(200)["data"], json!({"x": "1", "y": "1"}));
}

#[tokio::test]
async fn force_takes_the_field_and_leaves_the_rest() {
    let api = Api::start().await;
    api.apply(&path(), "a", &map(&json!({"x": "1", "y": "1"}))).await.expect(201);
    let forced = api.apply(&path(), "b&force=true", &map(&json!({"x": "2"}))).await.expect(200);
    assert_eq!(forced["data"], json!({"x": "2", "y": "1"}));
    let fields = |index: usize| forced["metadata"]["managedFields"][index]["fieldsV1"].clone();
    assert_eq!(fields(0), json!({"f:data": {"f:y": {}}}));
    assert_eq!(fields(1), json!({"f:data": {"f:x": {}}}));
}

#[tokio::test]
async fn what_was_applied_and_is_not_any_more_gets_its_default_back() {
    let api = Api::start().await;
    let path = format!("{DEPLOYMENTS}/d");
    let mut config = deployment("d");
    config["spec"]["replicas"] = 3.into();
    config["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "Never".into();
    api.apply(&path, "a", &config).await.expect(201);
    let changed = api.apply(&path, "a", &deployment("d")).await.expect(200);
    assert_eq!(changed["spec"]["replicas"], 1);
    assert_eq!(changed["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"], "Always");
}

#[tokio::test]
async fn yaml_is_read_and_keys_given_twice_are_refused_if_asked() {
    let api = Api::start().await;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\ndata:\n  x: \"1\"\n  x: \"2\"\n";
    let send = async |query: &str| {
        let path = format!("{}?fieldManager=a{query}", path());
        api.raw("PATCH", &path, "application/apply-patch+yaml", yaml).await
    };
    let strict = send("&fieldValidation=Strict").await.expect(400);
    let message = strict["message"].as_str().unwrap();
    assert!(
        message.starts_with("error strict decoding YAML: error converting YAML to JSON: yaml:"),
        "{message}"
    );
    assert_eq!(send("&fieldValidation=Warn").await.expect(201)["data"], json!({"x": "2"}));
}

#[tokio::test]
async fn a_configuration_of_something_else_is_refused() {
    let api = Api::start().await;
    let refuse = async |change: fn(&mut Value), code: u16, reason: &str, message: &str| {
        let mut config = map(&json!({"x": "1"}));
        change(&mut config);
        api.apply(&path(), "a", &config).await.refused(code, reason, message);
    };
    refuse(|c| c["apiVersion"] = "v2".into(), 400, "BadRequest", "invalid object type: /v2, Kind=ConfigMap")
        .await;
    refuse(|c| c["kind"] = "X".into(), 400, "BadRequest", "invalid object type: /v1, Kind=X").await;
    let owned = "metadata.managedFields must be nil";
    refuse(|c| c["metadata"]["managedFields"] = json!([]), 400, "BadRequest", owned).await;
    let other = "the name of the object (o) does not match the name on the URL (m)";
    refuse(|c| c["metadata"]["name"] = "o".into(), 400, "BadRequest", other).await;
    let stray =
        "failed to create typed patch object (/m; /v1, Kind=ConfigMap): .nope: field not declared in schema";
    refuse(|c| c["nope"] = 1.into(), 500, "", stray).await;
    let uid = "Operation cannot be fulfilled on configmaps \"m\": uid mismatch: the provided object specified uid u, \
               and no existing object was found";
    refuse(|c| c["metadata"]["uid"] = "u".into(), 409, "Conflict", uid).await;
    let body = "- 1";
    let text = "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into \
                Go value of type map[string]interface {}";
    let query = format!("{}?fieldManager=a", path());
    api.raw("PATCH", &query, "application/apply-patch+yaml", body).await.refused(400, "BadRequest", text);
}

#[tokio::test]
async fn apply_needs_a_manager_and_other_patches_have_no_force() {
    let api = Api::start().await;
    let answer = api.apply(&path(), "", &map(&json!({}))).await;
    answer.refused(
        422,
        "Invalid",
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
    );
    api.config_map("m", &json!({})).await;
    let answer = api.patch(&format!("{}?force=true", path()), "merge-patch", &json!({})).await;
    answer.refused(
        422,
        "Invalid",
        "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch",
    );
}

#[tokio::test]
async fn a_dry_run_applies_to_nothing() {
    let api = Api::start().await;
    let config = map(&json!({"x": "1"}));
    let shown = api.apply(&path(), "a&dryRun=All", &config).await.expect(201);
    assert_eq!(shown["data"], json!({"x": "1"}));
    api.get(&path()).await.expect(404);
    api.apply(&path(), "a", &config).await.expect(201);
    let shown = api.apply(&path(), "a&dryRun=All", &map(&json!({"x": "2"}))).await.expect(200);
    assert_eq!(shown["data"], json!({"x": "2"}));
    assert_eq!(api.get(&path()).await.expect(200)["data"], json!({"x": "1"}));
}

#[tokio::test]
async fn versions_are_preconditions_of_an_apply() {
    let api = Api::start().await;
    let made = api.apply(&path(), "a", &map(&json!({"x": "1"}))).await.expect(201);
    let mut config = map(&json!({"x": "2"}));
    config["metadata"]["resourceVersion"] = "1".into();
    api.apply(&path(), "a", &config).await.expect(409);
    config["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"].clone();
    assert_eq!(api.apply(&path(), "a", &config).await.expect(200)["data"], json!({"x": "2"}));
}

#[tokio::test]
async fn items_of_lists_merge_by_their_keys() {
    let api = Api::start().await;
    let path = format!("{PODS}/p");
    let pod = |containers: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": containers}});
    api.apply(&path, "a", &pod(json!([{"name": "c", "image": "i"}]))).await.expect(201);
    let changed = api.apply(&path, "b", &pod(json!([{"name": "c", "image": "i"}]))).await.expect(200);
    assert_eq!(changed["spec"]["containers"].as_array().unwrap().len(), 1);
    let twice = pod(json!([{"name": "c", "image": "i"}, {"name": "c", "image": "j"}]));
    api.apply(&path, "a", &twice).await.refused(
        500,
        "",
        "failed to create typed patch object (/p; /v1, Kind=Pod): .spec.containers: duplicate entries for key [name=\"c\"]",
    );
    api.apply(&path, "b", &pod(json!([{"name": "c", "image": "j"}]))).await.refused(
        409,
        "Conflict",
        "Apply failed with 1 conflict: conflict with \"a\": .spec.containers[name=\"c\"].image",
    );
}

#[tokio::test]
async fn many_appliers_of_one_object_all_get_their_part() {
    let api = Api::start().await;
    let applied = (0..16).map(|number| {
        let data = json!({ format!("k{number}"): "v" });
        let (api, path) = (&api, path());
        async move { api.apply(&path, &format!("m{number}"), &map(&data)).await.code.as_u16() }
    });
    let codes = futures::future::join_all(applied).await;
    assert_eq!(codes.iter().filter(|code| **code == 201).count(), 1);
    assert!(codes.iter().all(|code| matches!(code, 200 | 201)), "{codes:?}");
    let object = api.get(&path()).await.expect(200);
    assert_eq!(object["data"].as_object().unwrap().len(), 16);
    assert_eq!(object["metadata"]["managedFields"].as_array().unwrap().len(), 16);
}
