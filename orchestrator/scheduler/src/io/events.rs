//! Events about placements, for `kubectl describe` and `kubectl get events`.
//!
//! The scheduler only queues; one task writes. The same event about the same Pod counts up instead of appearing
//! again. Events are best effort: a surplus is dropped.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use wherry_api::clock::Clock;

/// How many events may wait to be written.
const WAITING: usize = 4096;
/// How many events are remembered to be counted up.
const REMEMBERED: usize = 2048;

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Notice {
    /// `Normal` or `Warning`.
    pub(crate) severity: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

struct Told {
    about: ObjectReference,
    notice: Notice,
    at: Timestamp,
}

/// The scheduler's end: never waits.
#[derive(Clone)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<Told>,
    clock: Arc<dyn Clock>,
}

/// The writing end, to be run by one task.
pub(crate) struct Writer {
    queue: mpsc::Receiver<Told>,
    client: Client,
    component: String,
    seen: HashMap<(String, Notice), (String, i32)>,
    last_name: i128,
}

/// Makes the two ends; events are told in the name of `component`.
pub(crate) fn recorder(client: Client, clock: Arc<dyn Clock>, component: String) -> (Recorder, Writer) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let writer = Writer { queue: receiver, client, component, seen: HashMap::new(), last_name: 0 };
    (Recorder { queue: sender, clock }, writer)
}

impl Recorder {
    /// Tells something about a Pod.
    pub(crate) fn event(&self, pod: &Pod, notice: Notice) {
        let about = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            uid: pod.metadata.uid.clone(),
            resource_version: pod.metadata.resource_version.clone(),
            field_path: None,
        };
        if self.queue.try_send(Told { about, notice, at: self.clock.now() }).is_err() {
            debug!("too many events are waiting, one was dropped");
        }
    }
}

impl Writer {
    /// Writes events until shutdown, then those already waiting.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(told) = self.queue.recv() => self.write(told).await,
            }
        }
        while let Ok(told) = self.queue.try_recv() {
            self.write(told).await;
        }
    }

    async fn write(&mut self, told: Told) {
        let namespace = told.about.namespace.clone().unwrap_or_default();
        let api = Api::<Event>::namespaced(self.client.clone(), &namespace);
        let identity = (told.about.uid.clone().unwrap_or_default(), told.notice.clone());
        if let Some((name, count)) = self.seen.get_mut(&identity) {
            *count = count.saturating_add(1);
            let patch = serde_json::json!({ "count": count, "lastTimestamp": Time(told.at) });
            match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => return,
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => {
                    debug!(error = &error as &dyn std::error::Error, "an event could not be counted up");
                    return;
                }
            }
        }
        let event = self.event(told);
        match api.create(&PostParams::default(), &event).await {
            Ok(created) => {
                if self.seen.len() >= REMEMBERED {
                    self.seen.clear();
                }
                self.seen.insert(identity, (created.metadata.name.unwrap_or_default(), 1));
            }
            Err(error) => debug!(error = &error as &dyn std::error::Error, "an event could not be written"),
        }
    }

    fn event(&mut self, told: Told) -> Event {
        let Told { about, notice, at } = told;
        // The time in nanoseconds, made unique.
        self.last_name = at.as_nanosecond().max(self.last_name + 1);
        let metadata = ObjectMeta {
            name: Some(format!("{}.{:x}", about.name.as_deref().unwrap_or_default(), self.last_name)),
            namespace: about.namespace.clone(),
            ..ObjectMeta::default()
        };
        Event {
            metadata,
            involved_object: about,
            reason: Some(notice.reason.to_owned()),
            message: Some(notice.message),
            source: Some(EventSource { component: Some(self.component.clone()), host: None }),
            first_timestamp: Some(Time(at)),
            last_timestamp: Some(Time(at)),
            count: Some(1),
            type_: Some(notice.severity.to_owned()),
            reporting_component: Some(self.component.clone()),
            reporting_instance: Some(String::new()),
            ..Event::default()
        }
    }
}
