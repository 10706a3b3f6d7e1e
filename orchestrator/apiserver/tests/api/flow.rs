//! Priority and fairness over HTTP.

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body_util::StreamBody;
use serde_json::{Value, json};
use tower::ServiceExt;
use wherry_apiserver::UserInfo;

use crate::harness::{Api, CONFIG_MAPS, send};

const SCHEMAS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
const LEVELS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations";

fn level(name: &str, response: &Value) -> Value {
    json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
        "metadata": {"name": name},
        "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "limitResponse": response}},
    })
}

fn schema(name: &str, level: &str, user: &str) -> Value {
    let resources = json!([{
        "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"],
    }]);
    json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": name},
        "spec": {
            "matchingPrecedence": 50, "priorityLevelConfiguration": {"name": level},
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [{"subjects": [{"kind": "User", "user": {"name": user}}], "resourceRules": resources}],
        },
    })
}

/// A server with one seat in the level of the user `slow`, and the API as that user.
async fn crowded(response: &Value) -> (Api, Router, [String; 2]) {
    let api = Api::with(|config| config.concurrency = 1).await;
    let level = api.post(LEVELS, &level("small", response)).await.expect(201);
    let schema = api.post(SCHEMAS, &schema("slow", "small", "slow")).await.expect(201);
    let uid = |object: &Value| object["metadata"]["uid"].as_str().unwrap().to_owned();
    let user = UserInfo::master("slow");
    let router = api.server.router_as(user);
    (api, router, [uid(&schema), uid(&level)])
}

/// A request that is under way until its body ends.
fn slow_create() -> (Request<Body>, futures::channel::mpsc::UnboundedSender<Bytes>) {
    use futures::StreamExt;
    let (end, body) = futures::channel::mpsc::unbounded::<Bytes>();
    let frames = body.map(|bytes| Ok::<_, std::io::Error>(http_body::Frame::data(bytes)));
    let body = Body::new(StreamBody::new(frames));
    (Request::post(CONFIG_MAPS).header("content-type", "application/json").body(body).unwrap(), end)
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn answers_name_the_schema_and_level_that_let_them_in() {
    let (_api, router, [schema, level]) = crowded(&json!({"type": "Reject"})).await;
    let headers = send(&router, get(CONFIG_MAPS)).await.headers;
    assert_eq!(headers["x-kubernetes-pf-flowschema-uid"], schema.as_str());
    assert_eq!(headers["x-kubernetes-pf-prioritylevel-uid"], level.as_str());
}

#[tokio::test]
async fn a_level_without_a_free_seat_refuses_and_says_when_to_come_back() {
    use futures::FutureExt;
    let (api, router, [schema, _]) = crowded(&json!({"type": "Reject"})).await;
    let (request, body) = slow_create();
    let mut under_way = Box::pin(router.clone().oneshot(request));
    assert!((&mut under_way).now_or_never().is_none());
    let refused = send(&router, get(CONFIG_MAPS)).await;
    assert_eq!(refused.code, 429);
    assert_eq!(refused.text, "Too many requests, please try again later.\n");
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.headers["x-kubernetes-pf-flowschema-uid"], schema.as_str());
    // Others have seats of their own.
    assert_eq!(api.get(CONFIG_MAPS).await.code, 200);
    let page = api.get("/metrics").await.text;
    let rejected = "apiserver_flowcontrol_rejected_requests_total{flow_schema=\"slow\",priority_level=\"small\",\
                    reason=\"concurrency-limit\"} 1";
    assert!(page.contains(rejected), "{page}");
    body.unbounded_send(Bytes::from_static(b"{\"metadata\":{\"name\":\"x\"}}")).unwrap();
    drop(body);
    assert_eq!(under_way.await.unwrap().status(), 201);
    assert_eq!(send(&router, get(CONFIG_MAPS)).await.code, 200);
}

#[tokio::test]
async fn a_request_waits_in_its_queue_until_there_is_a_seat() {
    use futures::FutureExt;
    let queuing = json!({"queues": 1, "handSize": 1, "queueLengthLimit": 1});
    let (_api, router, _) = crowded(&json!({"type": "Queue", "queuing": queuing})).await;
    let (request, body) = slow_create();
    let mut under_way = Box::pin(router.clone().oneshot(request));
    assert!((&mut under_way).now_or_never().is_none());
    let mut waiting = Box::pin(send(&router, get(CONFIG_MAPS)));
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(send(&router, get(CONFIG_MAPS)).await.code, 429);
    drop(body);
    assert_eq!(under_way.await.unwrap().status(), 400);
    assert_eq!(waiting.await.code, 200);
}

#[tokio::test]
async fn a_watch_gives_its_seat_back_when_it_has_begun() {
    let (_api, router, _) = crowded(&json!({"type": "Reject"})).await;
    let watch = router.clone().oneshot(get(&format!("{CONFIG_MAPS}?watch=true"))).await.unwrap();
    assert_eq!(watch.status(), 200);
    assert_eq!(send(&router, get(CONFIG_MAPS)).await.code, 200);
}

#[tokio::test]
async fn a_changed_schema_counts_from_the_next_request_on() {
    let (api, router, [schema, _]) = crowded(&json!({"type": "Reject"})).await;
    api.delete(&format!("{SCHEMAS}/slow")).await.expect(200);
    let headers = send(&router, get(CONFIG_MAPS)).await.headers;
    assert_ne!(
        headers.get("x-kubernetes-pf-flowschema-uid").map(|v| v.to_str().unwrap().to_owned()),
        Some(schema)
    );
}

/// The condition of a schema: status, reason and message.
async fn dangling(api: &Api, name: &str) -> [String; 3] {
    let schema = api.get(&format!("{SCHEMAS}/{name}")).await.expect(200);
    let conditions = schema["status"]["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|c| c["type"] == "Dangling").unwrap();
    ["status", "reason", "message"].map(|field| found[field].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_schema_says_whether_its_level_exists() {
    let api = Api::start().await;
    let created = api.post(SCHEMAS, &schema("early", "late", "user")).await.expect(201);
    let subject = "This FlowSchema references the PriorityLevelConfiguration object named \"late\"";
    let missing = ["True", "NotFound", &format!("{subject} but there is no such object")].map(str::to_owned);
    let there = ["False", "Found", &format!("{subject} and it exists")].map(str::to_owned);
    assert_eq!(dangling(&api, "early").await, missing);

    api.post(LEVELS, &level("late", &json!({"type": "Reject"}))).await.expect(201);
    assert_eq!(dangling(&api, "early").await, there);
    let marked = api.get(&format!("{SCHEMAS}/early")).await.expect(200);
    assert_eq!(marked["metadata"]["generation"], created["metadata"]["generation"]);

    api.delete(&format!("{LEVELS}/late")).await.expect(200);
    assert_eq!(dangling(&api, "early").await, missing);
}

#[tokio::test]
async fn the_server_owns_what_it_says_of_a_schema() {
    let api = Api::start().await;
    api.post(SCHEMAS, &schema("early", "late", "user")).await.expect(201);
    let marked = api.get(&format!("{SCHEMAS}/early")).await.expect(200);
    let owners = marked["metadata"]["managedFields"].as_array().unwrap();
    let owner = owners.iter().find(|o| o["subresource"] == "status").unwrap();
    assert_eq!(owner["manager"], "api-priority-and-fairness-config-consumer-v1");
    assert_eq!(owner["operation"], "Apply");
    assert_eq!(
        owner["fieldsV1"]["f:status"]["f:conditions"]["k:{\"type\":\"Dangling\"}"]["f:status"],
        json!({})
    );

    // What is true already is not written again, not even when somebody changes another schema.
    api.post(SCHEMAS, &schema("other", "late", "user")).await.expect(201);
    let again = api.get(&format!("{SCHEMAS}/early")).await.expect(200);
    assert_eq!(again["metadata"]["resourceVersion"], marked["metadata"]["resourceVersion"]);

    // A client cannot make it say otherwise.
    let lie = json!({"status": {"conditions": [{"type": "Dangling", "status": "False"}]}});
    api.patch(&format!("{SCHEMAS}/early/status"), "merge-patch", &lie).await.expect(200);
    assert_eq!(dangling(&api, "early").await[0], "True");
}
