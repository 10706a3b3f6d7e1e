//! Scale and status, and the streams of Pods.

use axum::body::Body;
use http::Request;
use serde_json::json;

use crate::harness::{Api, DEPLOYMENTS, PODS, deployment};

#[tokio::test]
async fn a_scale_shows_and_changes_the_number_of_replicas() {
    let api = Api::start().await;
    api.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    let path = format!("{DEPLOYMENTS}/d/scale");
    let mut scale = api.get(&path).await.expect(200);
    assert_eq!((&scale["kind"], &scale["apiVersion"]), (&json!("Scale"), &json!("autoscaling/v1")));
    assert_eq!(scale["spec"]["replicas"], 1);
    assert_eq!(scale["status"]["selector"], "app=a");
    scale["spec"]["replicas"] = json!(4);
    let scaled = api.put(&path, &scale).await.expect(200);
    assert_eq!(scaled["spec"]["replicas"], 4);
    let object = api.get(&format!("{DEPLOYMENTS}/d")).await.expect(200);
    assert_eq!((&object["spec"]["replicas"], &object["metadata"]["generation"]), (&json!(4), &json!(2)));
    let zero = json!({"spec": {"replicas": 0}});
    api.patch(&path, "merge-patch", &zero).await.expect(200);
    assert_eq!(api.get(&format!("{DEPLOYMENTS}/d")).await.expect(200)["spec"]["replicas"], 0);
}

#[tokio::test]
async fn a_scale_of_an_older_version_or_below_zero_is_refused() {
    let api = Api::start().await;
    api.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    let path = format!("{DEPLOYMENTS}/d/scale");
    let old = api.get(&path).await.expect(200);
    api.patch(&path, "merge-patch", &json!({"spec": {"replicas": 2}})).await.expect(200);
    assert_eq!(api.put(&path, &old).await.code, 409);
    api.patch(&path, "merge-patch", &json!({"spec": {"replicas": -1}})).await.refused(
        422,
        "Invalid",
        "Scale.autoscaling \"d\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0",
    );
    assert_eq!(api.get(&path).await.expect(200)["spec"]["replicas"], 2);
}

#[tokio::test]
async fn streams_of_a_pod_say_what_is_missing() {
    let api = Api::start().await;
    api.pod("waiting", None).await;
    api.pod("p", Some("n")).await;
    let upgrade = async |path: &str| {
        let request = Request::post(format!("{PODS}/{path}")).header("connection", "Upgrade");
        api.send(request.header("upgrade", "SPDY/3.1").body(Body::empty()).unwrap()).await
    };
    for part in ["attach", "exec", "portforward"] {
        let plain = api.get(&format!("{PODS}/p/{part}")).await;
        plain.refused(400, "BadRequest", "Upgrade request required");
        let unbound = upgrade(&format!("waiting/{part}")).await;
        unbound.refused(400, "BadRequest", "pod waiting does not have a host assigned");
        upgrade(&format!("none/{part}")).await.refused(404, "NotFound", "pods \"none\" not found");
    }
    let why = "container x is not valid for pod p";
    upgrade("p/exec?container=x&command=a").await.refused(400, "BadRequest", why);
    let why = "cannot convert to []int32: \"x\": invalid digit found in string";
    upgrade("p/portforward?ports=80,x").await.refused(400, "BadRequest", why);
}
