//! What OpenAPI tells of versions that other servers serve, and what is told of servers that cannot be reached.

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::aggregation::{API_SERVICES, FLUNDERS, SLICES, api_service, front, publish, register, start};
use crate::harness::{Api, Events, SERVICES};
use crate::logs::Authority;

const DOCUMENT: &str = "/openapi/v3/apis/wardle.example.com/v1alpha1?hash=ABC";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// What the sample server answers to `/openapi/v3`.
pub(crate) fn index() -> Value {
    json!({"paths": {
        "apis/wardle.example.com/v1alpha1": {"serverRelativeURL": DOCUMENT},
        "version": {"serverRelativeURL": "/openapi/v3/version?hash=ABC"},
    }})
}

/// What it answers to `/openapi/v2`: a document that never changes.
pub(crate) fn swagger(request: &Request<Incoming>) -> Response<Body> {
    let answer = Response::builder().header("etag", "\"one\"").header("content-type", "application/json");
    if request.headers().get("if-none-match").is_some_and(|tag| tag == "\"one\"") {
        return answer.status(304).body(Body::empty()).unwrap();
    }
    let to = |name: &str| json!({"$ref": format!("#/definitions/{name}")});
    let document = json!({
        "swagger": "2.0",
        "paths": {
            "/apis/wardle.example.com/v1alpha1/flunders": {"get": {"responses": {"200": {"schema": to("Flunder")}}}},
            "/version/": {"get": {"responses": {"200": {"schema": to("Version")}}}},
        },
        "definitions": {
            "Flunder": {"type": "object", "properties": {"metadata": to(META)}},
            META: {"description": "another"}, "Version": {"type": "object"},
        },
    });
    answer.body(Body::from(document.to_string())).unwrap()
}

#[tokio::test]
async fn openapi_tells_of_what_others_serve() {
    let local = tokio::task::LocalSet::new();
    let test = local.run_until(async {
        let (ca, mut tasks) = (Authority::new(), JoinSet::new());
        let api = front(&ca).await;
        let tags = async || (api.get("/openapi/v3").await.headers, api.get("/openapi/v2").await.headers);
        let before = tags().await;
        let address = start(&ca, &mut tasks).await;
        publish(&api, address).await;
        register(&api, &api_service(&ca.pem)).await;

        let index = api.get("/openapi/v3").await.expect(200);
        assert_eq!(index["paths"]["apis/wardle.example.com/v1alpha1"]["serverRelativeURL"], DOCUMENT);
        assert_ne!(index["paths"]["version"]["serverRelativeURL"], "/openapi/v3/version?hash=ABC");
        let seen = api.get(DOCUMENT).await.expect(200);
        assert_eq!(seen["uri"], DOCUMENT);
        api.get("/openapi/v3/version").await.expect(200)["openapi"].as_str().unwrap();

        let after = tags().await;
        assert_ne!((&before.0["etag"], &before.1["etag"]), (&after.0["etag"], &after.1["etag"]));
        let document = api.get("/openapi/v2").await.expect(200);
        let (paths, definitions) = (&document["paths"], &document["definitions"]);
        assert!(paths["/apis/wardle.example.com/v1alpha1/flunders"].is_object());
        assert!(paths["/apis/apps/v1/deployments"].is_object());
        let own = format!("{META}_v2");
        let reference = &definitions["Flunder"]["properties"]["metadata"]["$ref"];
        assert_eq!(*reference, format!("#/definitions/{own}"));
        assert_eq!(definitions[&own]["description"], "another");
        assert!(definitions.get("Version").is_none());
        let known = Request::get("/openapi/v2").header("if-none-match", &after.1["etag"]);
        assert_eq!(api.send(known.body(Body::empty()).unwrap()).await.code, 304);

        api.delete(&format!("{API_SERVICES}/v1alpha1.wardle.example.com")).await.expect(200);
        let last = tags().await;
        assert_eq!((&before.0["etag"], &before.1["etag"]), (&last.0["etag"], &last.1["etag"]));
        api.get(DOCUMENT).await.expect(404);
    });
    test.await;
}

/// Waits until the condition of the sample's APIService has this reason, and answers its message.
async fn told(events: &mut Events, reason: &str) -> String {
    loop {
        let event = events.next().await.unwrap();
        let condition = &event["object"]["status"]["conditions"][0];
        if event["object"]["spec"]["group"] == "wardle.example.com" && condition["reason"] == reason {
            return condition["message"].as_str().unwrap().to_owned();
        }
    }
}

fn service(port: u16) -> Value {
    json!({"metadata": {"name": "sample"}, "spec": {"ports": [{"name": "https", "port": port}]}})
}

async fn endpoint(api: &Api, ready: bool) {
    let slice = json!({
        "metadata": {"name": "sample", "labels": {"kubernetes.io/service-name": "sample"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.244.0.99"], "conditions": {"ready": ready}}],
        "ports": [{"name": "https", "port": 1}],
    });
    let path = format!("{SLICES}/sample");
    match api.get(&path).await.code.as_u16() {
        404 => api.post(SLICES, &slice).await.expect(201),
        _ => api.patch(&path, "merge-patch", &slice).await.expect(200),
    };
}

#[tokio::test]
async fn what_keeps_a_server_from_working_is_told_at_once() {
    let ca = Authority::new();
    let api = front(&ca).await;
    let mut events = api.watch(&format!("{API_SERVICES}?watch=1")).await;
    api.post(API_SERVICES, &api_service(&ca.pem)).await.expect(201);
    assert_eq!(told(&mut events, "ServiceNotFound").await, "service/sample in \"default\" is not present");
    let made = api.post(SERVICES, &service(80)).await.expect(201);
    let message = told(&mut events, "ServicePortError").await;
    assert_eq!(message, "service/sample in \"default\" is not listening on port 443");
    let path = format!("{SERVICES}/sample");
    let port = json!([{"op": "replace", "path": "/spec/ports/0/port", "value": 443}]);
    api.patch(&path, "json-patch", &port).await.expect(200);
    let message = told(&mut events, "EndpointsNotFound").await;
    assert_eq!(message, "cannot find endpointslices for service/sample in \"default\"");
    endpoint(&api, false).await;
    let message = told(&mut events, "MissingEndpoints").await;
    let expected =
        "endpointslices for service/sample in \"default\" have no addresses with port name \"https\"";
    assert_eq!(message, expected);
    endpoint(&api, true).await;
    let message = told(&mut events, "FailedDiscoveryCheck").await;
    let url = format!(
        "https://{}:443/apis/wardle.example.com/v1alpha1",
        made["spec"]["clusterIP"].as_str().unwrap()
    );
    assert!(
        message.starts_with(&format!("failing or missing response from {url}: Get \"{url}\": ")),
        "{message}"
    );
    assert_eq!(api.get(FLUNDERS).await.code, 503);
}
