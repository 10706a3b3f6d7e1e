//! The server beside an API that has one node and some Pods, in simulated time.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use serde_json::json;
use tokio::time::{Duration, Instant, advance};
use tower::service_fn;

use super::*;

/// The time, which goes as tokio's does.
struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
            + SignedDuration::from_secs(1000)
            + SignedDuration::try_from(self.0.elapsed()).unwrap()
    }
}

/// What the API was asked, and whether its node answers.
struct Api {
    clock: PausedClock,
    scrapes: AtomicU32,
    silent: AtomicBool,
}

impl Api {
    /// The container uses a fifth of a processor.
    fn page(&self) -> String {
        self.scrapes.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.now();
        let (cpu, at) = (now.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64() / 5.0, now.as_millisecond());
        let labels = "{container=\"c\",namespace=\"ns\",pod=\"p\"}";
        format!(
            "node_cpu_usage_seconds_total {cpu} {at}\nnode_memory_working_set_bytes 4096 {at}\n\
             container_cpu_usage_seconds_total{labels} {cpu} {at}\n\
             container_memory_working_set_bytes{labels} 2048 {at}\ncontainer_start_time_seconds{labels} 5\n"
        )
    }

    fn answer(&self, request: &Request<Body>) -> (u16, String) {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let list = |kind: &str, items: Value| {
            let list = json!({
                "kind": kind, "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "1"}, "items": items,
            });
            (200, list.to_string())
        };
        let pod = json!({"metadata": {"name": "p", "namespace": "ns", "labels": {"app": "x"}}});
        let quiet = json!({"metadata": {"name": "quiet", "namespace": "ns"}});
        match path {
            "/api/v1/nodes" => list("PartialObjectMetadataList", json!([{"metadata": {"name": "n"}}])),
            "/api/v1/nodes/n/proxy/metrics/resource" if self.silent.load(Ordering::Relaxed) => {
                (503, "no".to_owned())
            }
            "/api/v1/nodes/n/proxy/metrics/resource" => (200, self.page()),
            _ if query.contains("labelSelector=%21%21") => {
                let status = json!({"status": "Failure", "message": "bad selector", "reason": "BadRequest", "code": 400});
                (400, status.to_string())
            }
            _ if query.contains("other") => list("PartialObjectMetadataList", json!([])),
            _ => list("PartialObjectMetadataList", json!([pod, quiet])),
        }
    }
}

fn server() -> (Arc<Api>, MetricsServer) {
    let start = Instant::now();
    let api = Arc::new(Api {
        clock: PausedClock(start),
        scrapes: AtomicU32::new(0),
        silent: AtomicBool::new(false),
    });
    let asked = Arc::clone(&api);
    let service = service_fn(move |request: Request<Body>| {
        let (code, body) = asked.answer(&request);
        let response = Response::builder().status(code).body(Body::from(body.into_bytes()));
        async { response }
    });
    (api, MetricsServer::new(Client::new(service, "default"), Arc::new(PausedClock(start))))
}

async fn get(server: &MetricsServer, path: &str) -> (u16, Value) {
    let request = Request::get(format!("/apis/metrics.k8s.io/v1beta1{path}")).body(()).unwrap();
    let response = server.answer(request).await;
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn nodes_are_asked_only_when_somebody_asks_and_not_more_often_than_that() {
    let (api, server) = server();
    let scrapes = || api.scrapes.load(Ordering::Relaxed);
    advance(Duration::from_mins(5)).await;
    assert_eq!(scrapes(), 0);
    let window = async || get(&server, "/nodes/n").await.1["window"].clone();
    assert_eq!((window().await, scrapes()), (json!("1s"), 2), "the first question waits for two scrapes");
    advance(Duration::from_secs(14)).await;
    assert_eq!((window().await, scrapes()), (json!("1s"), 2), "what is known is new enough");
    advance(Duration::from_secs(1)).await;
    assert_eq!((window().await, scrapes()), (json!("15s"), 3), "one more scrape makes a window of 15 s");
    advance(Duration::from_secs(61)).await;
    assert_eq!((window().await, scrapes()), (json!("1s"), 5), "what is known is too old to begin a window");
}

#[tokio::test(start_paused = true)]
async fn questions_that_come_together_share_their_scrapes() {
    let (api, server) = server();
    let (nodes, pods) = tokio::join!(get(&server, "/nodes"), get(&server, "/pods"));
    assert_eq!((nodes.0, pods.0, api.scrapes.load(Ordering::Relaxed)), (200, 200, 2));
}

#[tokio::test(start_paused = true)]
async fn what_is_used_is_told_of_what_is_there() {
    let (_, server) = server();
    let (_, list) = get(&server, "/namespaces/ns/pods").await;
    assert_eq!((&list["kind"], list["items"].as_array().map(Vec::len)), (&json!("PodMetricsList"), Some(1)));
    let pod = &list["items"][0];
    assert_eq!((&pod["metadata"]["name"], &pod["metadata"]["labels"]["app"]), (&json!("p"), &json!("x")));
    let expected = json!([{"name": "c", "usage": {"cpu": "200m", "memory": "2Ki"}}]);
    assert_eq!(pod["containers"], expected);
    assert_eq!(get(&server, "/namespaces/ns/pods/p").await.1["containers"], expected);
    let (_, empty) = get(&server, "/pods?labelSelector=app%3Dother").await;
    assert_eq!(empty["items"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_answered_says_why() {
    let (_, server) = server();
    let message =
        |answer: (u16, Value)| (answer.0, answer.1["message"].as_str().unwrap_or_default().to_owned());
    let unknown = message(get(&server, "/namespaces/ns/pods/other").await);
    assert_eq!(unknown, (404, "podmetrics.metrics.k8s.io \"ns/other\" not found".to_owned()));
    let refused = message(get(&server, "/pods?labelSelector=!!").await);
    assert_eq!(refused, (400, "bad selector".to_owned()));
    assert_eq!(get(&server, "/things").await.0, 404);
    assert_eq!(get(&server, "/pods?watch=1").await.0, 405);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_keeps_nobody_from_an_answer() {
    let (api, server) = server();
    api.silent.store(true, Ordering::Relaxed);
    assert_eq!(get(&server, "/nodes").await.1["items"], json!([]));
    assert_eq!(get(&server, "/nodes/n").await.0, 404);
}
