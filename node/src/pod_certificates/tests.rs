//! Pods that get certificates, new ones in time, and none where a signer refuses.

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1beta1::PodCertificateRequest;
use pem::Pem;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::*;
use crate::events::{Events, Source};
use crate::testing::FakeApi;
use crate::trust_bundles::encode;

const REQUESTS: &str = "/apis/certificates.k8s.io/v1beta1/namespaces/shop/podcertificaterequests";

/// A clock that a test sets.
struct SetClock(Mutex<Timestamp>);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// An API server, and an agent that may begin again.
struct World {
    api: Arc<FakeApi>,
    dir: tempfile::TempDir,
    clock: Arc<SetClock>,
    wakers: Wakers,
    tasks: TaskTracker,
}

impl World {
    fn new() -> Self {
        let api = FakeApi::new();
        api.put("/api/v1/nodes/n", json!({ "metadata": { "name": "n", "uid": "node-uid" } }));
        let account = json!({ "metadata": { "name": "web", "namespace": "shop", "uid": "account-uid" } });
        api.put("/api/v1/namespaces/shop/serviceaccounts/web", account);
        Self {
            api,
            dir: tempfile::tempdir().unwrap(),
            clock: Arc::new(SetClock(Mutex::new(at(0)))),
            wakers: Wakers::default(),
            tasks: TaskTracker::new(),
        }
    }

    fn agent(&self) -> PodCertificates {
        let (client, clock) = (self.api.client(), self.clock.clone() as Arc<dyn Clock>);
        let (events, writer) =
            Events::new(client.clone(), Source::kubelet("n"), clock.clone(), CancellationToken::new());
        self.tasks.spawn(writer);
        let parts = Parts {
            client: &client,
            clock: &clock,
            node_name: "n",
            pods: self.dir.path().to_owned(),
            events: &events,
            wakers: &self.wakers,
        };
        PodCertificates::new(parts, &self.tasks)
    }

    fn paths(&self) -> Vec<String> {
        self.api.paths().into_iter().filter(|path| path.starts_with(REQUESTS)).collect()
    }

    /// Waits for a request besides these; where it is, and the request.
    async fn request(&self, known: &[String]) -> (String, PodCertificateRequest) {
        loop {
            if let Some(path) = self.paths().into_iter().find(|path| !known.contains(path)) {
                let request = self.api.get(&path).unwrap();
                return (path, serde_json::from_value(request).unwrap());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn answer(&self, path: &str, status: Value) {
        let mut request = self.api.get(path).unwrap();
        request["status"] = status;
        self.api.put(path, request);
    }
}

fn pod() -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": "p", "namespace": "shop", "uid": "pod-uid" },
        "spec": { "containers": [], "serviceAccountName": "web" },
    }))
    .unwrap()
}

fn wanted() -> PodCertificateProjection {
    serde_json::from_value(json!({
        "signerName": "ex.com/s", "keyType": "ED25519", "maxExpirationSeconds": 7200,
        "userAnnotations": { "ex.com/a": "b" },
    }))
    .unwrap()
}

fn condition(kind: &str) -> Value {
    json!([{
        "type": kind, "status": "True", "reason": "Because", "message": "of this",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }])
}

fn chain(content: &str) -> String {
    encode(&[Pem::new("CERTIFICATE", content.as_bytes())])
}

/// A certificate to be renewed at `refresh`.
fn issued(content: &str, refresh: i64) -> Value {
    json!({
        "conditions": condition("Issued"), "certificateChain": format!("note\n{}", chain(content)),
        "notBefore": at(0), "beginRefreshAt": at(refresh), "notAfter": at(refresh + 3600),
    })
}

#[tokio::test(start_paused = true)]
async fn a_pod_gets_a_certificate_and_another_in_time() {
    let world = World::new();
    let agent = world.agent();
    let (pod, wanted) = (pod(), wanted());
    let get = || agent.get(&pod, ("v", 1), &wanted);
    let waker = world.wakers.register("pod-uid");
    let answer = async {
        let (path, request) = world.request(&[]).await;
        world.answer(&path, issued("first", 1000));
        (path, request)
    };
    let (first, (path, request)) = tokio::join!(get(), answer);
    let Ok(first) = first else { panic!("there is no certificate") };
    assert_eq!(first.chain, chain("first"));
    assert!(first.key.starts_with("-----BEGIN PRIVATE KEY-----"));
    let spec = &request.spec;
    let names = [&spec.pod_name, &spec.service_account_name, &spec.node_name, &spec.signer_name];
    assert_eq!(names, ["p", "web", "n", "ex.com/s"]);
    let uids = [&spec.pod_uid, &spec.service_account_uid, &spec.node_uid];
    assert_eq!(uids, ["pod-uid", "account-uid", "node-uid"]);
    assert_eq!(spec.max_expiration_seconds, Some(7200));
    assert_eq!(spec.unverified_user_annotations, wanted.user_annotations);
    let text = serde_json::to_string(&request).unwrap();
    assert!(!text.contains("PRIVATE"), "the key was sent: {text}");
    waker.woken().await;
    assert!(waker.take_references_changed());

    // Not before it may, and not much later: the renewals of many pods are spread.
    *world.clock.0.lock() = at(999);
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(world.paths(), std::slice::from_ref(&path));
    *world.clock.0.lock() = at(1300);
    let (next, _) = world.request(&[path]).await;
    let Ok(meanwhile) = get().await else { panic!("the first one is gone") };
    assert!(meanwhile == first);
    world.answer(&next, issued("second", 9000));
    waker.woken().await;
    let Ok(second) = get().await else { panic!("there is no second one") };
    assert_eq!(second.chain, chain("second"));
    assert_ne!(second.key, first.key);
}

#[tokio::test(start_paused = true)]
async fn the_next_agent_goes_on_with_what_serves() {
    let world = World::new();
    let (pod, wanted) = (pod(), wanted());
    let agent = world.agent();
    let answer = async {
        let (path, _) = world.request(&[]).await;
        world.answer(&path, issued("first", 1000));
    };
    let (first, ()) = tokio::join!(agent.get(&pod, ("v", 0), &wanted), answer);
    let before = world.paths();
    let agent = world.agent();
    assert!(agent.get(&pod, ("v", 0), &wanted).await.is_ok_and(|again| Some(again) == first.ok()));
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(world.paths(), before);
    // What is over is of no use to anybody.
    *world.clock.0.lock() = at(4600);
    let agent = world.agent();
    assert!(agent.get(&pod, ("v", 0), &wanted).await.is_err());
    assert_ne!(world.paths(), before);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_and_nobody_asks_again() {
    for (kind, outcome) in [("Denied", "denied"), ("Failed", "failed")] {
        let world = World::new();
        let agent = world.agent();
        let (pod, wanted) = (pod(), wanted());
        let answer = async {
            let (path, _) = world.request(&[]).await;
            world.answer(&path, json!({ "conditions": condition(kind) }));
        };
        let (refused, ()) = tokio::join!(agent.get(&pod, ("v", 0), &wanted), answer);
        let Err(refused) = refused else { panic!("there is a certificate") };
        let text = format!(
            "PodCertificateRequest was permanently {outcome}: reason=\"Because\" message=\"of this\""
        );
        assert_eq!(refused.to_string(), text);
        assert_eq!(world.api.wait_event(kind).await, text);
        tokio::time::sleep(Duration::from_hours(1)).await;
        assert_eq!(world.paths().len(), 1);
        assert!(agent.get(&pod, ("v", 0), &wanted).await.is_err_and(|again| again == refused));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_renewal_leaves_what_there_is_to_its_end() {
    let world = World::new();
    let agent = world.agent();
    let (pod, wanted) = (pod(), wanted());
    let answer = async {
        let (path, _) = world.request(&[]).await;
        world.answer(&path, issued("first", 1000));
        path
    };
    let (first, path) = tokio::join!(agent.get(&pod, ("v", 0), &wanted), answer);
    *world.clock.0.lock() = at(1300);
    let (next, _) = world.request(&[path]).await;
    world.answer(&next, json!({ "conditions": condition("Denied") }));
    world.api.wait_event("Denied").await;
    assert!(agent.get(&pod, ("v", 0), &wanted).await.is_ok_and(|still| Some(still) == first.ok()));
    *world.clock.0.lock() = at(4600);
    assert_eq!(world.api.wait_event("CertificateOverdueForRefresh").await, "PodCertificate refresh overdue");
    assert_eq!(world.api.wait_event("CertificateExpired").await, "PodCertificate expired");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_signer_is_told_for_which() {
    let world = World::new();
    let agent = world.agent();
    let (pod, wanted) = (pod(), wanted());
    let Err(error) = agent.get(&pod, ("v", 0), &wanted).await else { panic!("there is a certificate") };
    assert_eq!(
        error.to_string(),
        "credential bundle is not issued yet: signer \"ex.com/s\" has not answered"
    );
    // A request that somebody deletes is made again.
    let paths = world.paths();
    world.api.remove(&paths[0]);
    world.request(&paths).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_lets_go_asks_for_nothing_more() {
    let world = World::new();
    let agent = world.agent();
    let (pod, wanted) = (pod(), wanted());
    assert!(agent.get(&pod, ("v", 0), &wanted).await.is_err());
    agent.release("pod-uid");
    let paths = world.paths();
    world.api.remove(&paths[0]);
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(world.paths(), [""; 0]);
}
