//! Tests of what becomes of notices: events, or counts of events.

use std::convert::Infallible;

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use wherry_api::clock::SystemClock;

use super::*;

type Requests = Arc<Mutex<Vec<(Method, String, Value)>>>;

/// A server that remembers what it was asked, and lets nothing be written before `open`.
fn server() -> (Client, Requests, CancellationToken) {
    let requests = Requests::default();
    let open = CancellationToken::new();
    let (seen, opened) = (requests.clone(), open.clone());
    let service =
        tower::service_fn(move |request: Request<Body>| -> BoxFuture<'static, Result<_, Infallible>> {
            let (seen, opened) = (seen.clone(), opened.clone());
            Box::pin(async move {
                let (parts, body) = request.into_parts();
                let bytes = body.collect().await.unwrap().to_bytes();
                seen.lock().push((
                    parts.method,
                    parts.uri.to_string(),
                    serde_json::from_slice(&bytes).unwrap(),
                ));
                opened.cancelled().await;
                Ok(Response::new(Body::from(br#"{"metadata":{}}"#.to_vec())))
            })
        });
    (Client::new(service, "default"), requests, open)
}

fn pod(name: &str) -> Arc<Pod> {
    let pod = json!({ "metadata": { "name": name, "namespace": "ns", "uid": format!("uid-{name}") } });
    Arc::new(serde_json::from_value(pod).unwrap())
}

async fn tell(notices: Vec<(&str, Notice)>, open_first: bool) -> Vec<(Method, String, Value)> {
    let (client, requests, open) = server();
    let (recorder, writer) = recorder(client, Arc::new(SystemClock), "host".to_owned());
    let by = Arc::from("default-scheduler");
    for (name, notice) in notices {
        recorder.event(&pod(name), &by, notice);
    }
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    if open_first {
        open.cancel();
        writer.run(shutdown).await;
    } else {
        // All are taken before the first is written.
        let ((), ()) = tokio::join!(writer.run(shutdown), async {
            tokio::task::yield_now().await;
            open.cancel();
        });
    }
    let mut requests = requests.lock();
    std::mem::take(&mut *requests)
}

fn failed(message: &str) -> Notice {
    Notice::Failed { message: message.to_owned() }
}

#[tokio::test]
async fn events_say_what_happened_as_upstream_does() {
    let by = PodName { namespace: "ns".to_owned(), name: "b".to_owned(), uid: "uid-b".to_owned() };
    let told = tell(
        vec![
            ("a", Notice::Scheduled { node: "n".to_owned() }),
            ("a", failed("0/1 nodes are available: 1 Insufficient cpu.")),
            ("a", Notice::Preempted { by: Box::new(by), node: "n".to_owned() }),
        ],
        true,
    )
    .await;
    let events: Vec<_> = told.iter().map(|(_, _, event)| event).collect();
    let text = |field: &str| events.iter().map(|event| event[field].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(text("reason"), ["Scheduled", "FailedScheduling", "Preempted"]);
    assert_eq!(text("type"), ["Normal", "Warning", "Normal"]);
    assert_eq!(text("action"), ["Binding", "Scheduling", "Preempting"]);
    assert_eq!(
        text("note"),
        [
            "Successfully assigned ns/a to n",
            "0/1 nodes are available: 1 Insufficient cpu.",
            "Preempted by pod uid-b on node n",
        ]
    );
    assert_eq!(text("reportingController"), ["default-scheduler"; 3]);
    assert_eq!(text("reportingInstance"), ["default-scheduler-host"; 3]);
    assert_eq!(
        (&events[2]["related"]["name"], &events[0]["regarding"]["uid"]),
        (&json!("b"), &json!("uid-a"))
    );
    assert!(told.iter().all(|(_, uri, _)| uri.starts_with("/apis/events.k8s.io/v1/namespaces/ns/events")));
}

#[tokio::test]
async fn a_thousand_warnings_alike_are_an_event_and_its_count() {
    let told = tell(vec![("a", failed("no")); 1_000], false).await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!((&told[0].0, &told[1].0), (&Method::POST, &Method::PATCH));
    assert_eq!(told[1].2["series"]["count"], json!(1_000));
}

#[tokio::test]
async fn warnings_of_another_text_or_pod_are_events_of_their_own() {
    let told = tell(vec![("a", failed("no")), ("a", failed("never")), ("b", failed("no"))], true).await;
    assert!(told.len() == 3 && told.iter().all(|(method, _, _)| method == Method::POST), "{told:?}");
}

#[test]
fn long_texts_are_cut() {
    let text = shortened(&"ä".repeat(600));
    assert!(text.len() <= LONGEST_NOTE && text.ends_with("ä ..."));
    assert_eq!(shortened("short"), "short");
}
