//! Which writes are on disk when they are acknowledged.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use wherry_apiserver::UserInfo;

use crate::harness::{Api, send};

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const ENDPOINTS: &str = "/api/v1/namespaces/default/endpoints";

fn slice(name: &str) -> Value {
    let labels = json!({"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"});
    json!({"metadata": {"name": name, "labels": labels}, "addressType": "IPv4", "endpoints": []})
}

/// Makes a slice and Endpoints of this name as a user, and answers how many of them a crash would leave.
async fn left_of(api: &Api, user: &str, name: &str) -> usize {
    let router = api.server.router_as(UserInfo::master(user));
    for (path, object) in [(SLICES, slice(name)), (ENDPOINTS, json!({"metadata": {"name": name}}))] {
        let request = Request::post(path).header("content-type", "application/json");
        send(&router, request.body(Body::from(object.to_string())).unwrap()).await.expect(201);
    }
    count(api, name)
}

/// How many objects of this name a crash would leave.
fn count(api: &Api, name: &str) -> usize {
    let state = api.after_a_crash().snapshot();
    state.range("", None).filter(|entry| entry.key.ends_with(&format!("/{name}"))).count()
}

#[tokio::test]
async fn what_controllers_derive_of_other_objects_waits_for_no_disk() {
    let api = Api::start().await;
    // The first write that may be late reserves revisions for those that follow, on disk.
    left_of(&api, "system:kube-controller-manager", "first").await;
    assert_eq!(left_of(&api, "system:kube-controller-manager", "derived").await, 0);
    assert_eq!(left_of(&api, "somebody", "written").await, 2);
    assert_eq!(count(&api, "derived"), 2, "what came before a durable write is on disk with it");
}
