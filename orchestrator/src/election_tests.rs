//! Two control planes over one API, in simulated time: one leads, never two, and the other takes over.

use std::collections::BTreeSet;

use http::{Method, Request, Response};
use jiff::SignedDuration;
use kube::client::Body;
use parking_lot::Mutex;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;

/// An API that knows one Lease.
#[derive(Default)]
struct Server {
    lease: Option<Value>,
    version: u64,
    /// Who cannot reach it.
    cut_off: BTreeSet<&'static str>,
    /// How many writes to refuse because somebody else was faster.
    conflicts: usize,
    events: Vec<String>,
}

impl Server {
    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> (u16, Value) {
        let sent = || serde_json::from_slice::<Value>(body).unwrap();
        if path.ends_with("/events") {
            self.events.push(sent()["message"].as_str().unwrap().to_owned());
            return (201, sent());
        }
        match (method, &self.lease) {
            (&Method::GET, Some(lease)) => (200, lease.clone()),
            (&Method::POST, Some(_)) => (409, status(409, "AlreadyExists")),
            (&Method::POST, None) => (201, self.store(sent())),
            (_, Some(lease)) => {
                let is_stale = lease["metadata"]["resourceVersion"] != sent()["metadata"]["resourceVersion"];
                if is_stale || self.conflicts > 0 {
                    self.conflicts = self.conflicts.saturating_sub(1);
                    return (409, status(409, "Conflict"));
                }
                (200, self.store(sent()))
            }
            (_, None) => (404, status(404, "NotFound")),
        }
    }

    fn store(&mut self, mut lease: Value) -> Value {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease = Some(lease.clone());
        lease
    }
}

fn status(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason})
}

/// A clock that shows this at an instant, and goes on from there.
struct Offset(Timestamp, Instant);

impl Clock for Offset {
    fn now(&self) -> Timestamp {
        self.0 + SignedDuration::try_from(self.1.elapsed()).unwrap()
    }
}

#[derive(Default)]
struct Scene {
    server: Arc<Mutex<Server>>,
    /// Whose loops run.
    acting: Arc<Mutex<BTreeSet<&'static str>>>,
    tasks: JoinSet<()>,
}

impl Scene {
    /// A control plane whose clock is this many hours ahead.
    fn join(&mut self, name: &'static str, hours: i64) -> CancellationToken {
        let server = Arc::clone(&self.server);
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = Arc::clone(&server);
            async move {
                if server.lock().cut_off.contains(name) {
                    std::future::pending::<()>().await;
                }
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await?;
                let (code, answer) = server.lock().answer(&parts.method, parts.uri.path(), &body);
                let answer = Body::from(answer.to_string().into_bytes());
                Ok::<_, kube::Error>(Response::builder().status(code).body(answer).unwrap())
            }
        });
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours);
        let candidate = Candidate {
            client: Client::new(service, "default"),
            clock: Arc::new(Offset(now, Instant::now())),
            role: "kube-scheduler",
            identity: name.to_owned(),
            timing: LeaderElection::default(),
        };
        let (stop, acting) = (CancellationToken::new(), Arc::clone(&self.acting));
        let loops = move |term: CancellationToken| {
            let acting = Arc::clone(&acting);
            async move {
                assert!(
                    acting.lock().insert(name) && acting.lock().len() == 1,
                    "two lead: {:?}",
                    acting.lock()
                );
                term.cancelled().await;
                acting.lock().remove(name);
            }
        };
        self.tasks.spawn(candidate.run(stop.clone(), loops));
        stop
    }

    /// Lets seconds pass; answers who leads then.
    async fn after(&mut self, seconds: u64) -> Vec<&'static str> {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        if let Some(ended) = self.tasks.try_join_next() {
            ended.unwrap();
        }
        self.acting.lock().iter().copied().collect()
    }

    fn lease(&self) -> LeaseSpec {
        let lease: Lease = serde_json::from_value(self.server.lock().lease.clone().unwrap()).unwrap();
        lease.spec.unwrap()
    }
}

#[rstest]
#[case::clocks_agree(0)]
#[case::the_other_is_ahead(5)]
#[case::the_other_is_behind(-5)]
#[tokio::test(start_paused = true)]
async fn one_leads_whatever_the_clocks_show(#[case] hours: i64) {
    let mut scene = Scene::default();
    scene.join("a", 0);
    assert_eq!(scene.after(1).await, ["a"]);
    scene.join("b", hours);
    for _ in 0..30 {
        assert_eq!(scene.after(10).await, ["a"]);
    }
    let lease = scene.lease();
    assert_eq!((lease.holder_identity.as_deref(), lease.lease_duration_seconds), (Some("a"), Some(15)));
    assert_eq!(lease.lease_transitions, Some(0));
    assert_eq!(scene.server.lock().events, ["a became leader"]);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_renew_ends_before_another_begins() {
    let mut scene = Scene::default();
    scene.join("a", 0);
    assert_eq!(scene.after(1).await, ["a"]);
    scene.join("b", 0);
    assert_eq!(scene.after(20).await, ["a"]);
    scene.server.lock().cut_off.insert("a");
    assert_eq!(scene.after(7).await, ["a"], "the deadline is not over");
    assert!(scene.after(5).await.is_empty(), "it is over, and the lease has not lapsed");
    assert_eq!(scene.after(6).await, ["b"]);
    assert_eq!(scene.lease().lease_transitions, Some(1));
    scene.server.lock().cut_off.clear();
    assert_eq!(scene.after(60).await, ["b"], "who comes back waits");
}

#[tokio::test(start_paused = true)]
async fn what_is_released_is_taken_at_once() {
    let mut scene = Scene::default();
    let stop = scene.join("a", 0);
    assert_eq!(scene.after(1).await, ["a"]);
    scene.join("b", 0);
    // Between two tries of the other.
    assert_eq!(scene.after(19).await, ["a"]);
    stop.cancel();
    assert_eq!(scene.after(2).await, ["b"], "after no more than one wait between two tries");
    assert_eq!(scene.server.lock().events, ["a became leader", "a stopped leading", "b became leader"]);
}

#[tokio::test(start_paused = true)]
async fn conflicts_and_short_failures_are_survived() {
    let mut scene = Scene::default();
    scene.join("a", 0);
    assert_eq!(scene.after(1).await, ["a"]);
    scene.server.lock().conflicts = 3;
    assert_eq!(scene.after(30).await, ["a"]);
    assert_eq!(scene.server.lock().conflicts, 0);
    assert_eq!(scene.server.lock().events, ["a became leader"]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_another_holds_is_given_up_at_once() {
    let mut scene = Scene::default();
    scene.join("a", 0);
    assert_eq!(scene.after(1).await, ["a"]);
    let mut lease = scene.server.lock().lease.clone().unwrap();
    lease["spec"]["holderIdentity"] = json!("by hand");
    scene.server.lock().store(lease);
    assert!(scene.after(3).await.is_empty());
    assert!(scene.after(10).await.is_empty(), "the other may be at work");
    assert_eq!(scene.after(6).await, ["a"]);
    assert_eq!(scene.lease().lease_transitions, Some(1));
}
