//! Events about what controllers did, for `kubectl describe` and `kubectl get events`.
//!
//! Flow: [`Recorder::event`] only queues; one task writes. The same event about the same object counts up
//! instead of appearing again.
//!
//! Caveats: events are best effort. When they come faster than they can be written, the surplus is dropped.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use wherry_api::clock::Clock;

use super::error::is_not_found;

/// How many events may wait to be written.
const WAITING: usize = 1024;
/// How many events are remembered to be counted up.
const REMEMBERED: usize = 2048;

/// Whether an event tells of the normal course of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Severity {
    Normal,
    Warning,
}

/// One thing to tell.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    /// Who tells it, e.g. `deployment-controller`.
    pub(crate) component: &'static str,
    pub(crate) severity: Severity,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// The controllers' end: cheap to clone, never waits.
#[derive(Clone)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<(ObjectReference, Notice, Timestamp)>,
    clock: Arc<dyn Clock>,
}

/// The writing end, to be run by one task.
pub(crate) struct Writer {
    queue: mpsc::Receiver<(ObjectReference, Notice, Timestamp)>,
    client: Client,
    seen: HashMap<Identity, Seen>,
    last_name: i128,
}

type Identity = (String, &'static str, &'static str, String);

struct Seen {
    name: String,
    count: i32,
}

/// Makes the two ends.
pub(crate) fn recorder(client: Client, clock: Arc<dyn Clock>) -> (Recorder, Writer) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let writer = Writer { queue: receiver, client, seen: HashMap::new(), last_name: 0 };
    (Recorder { queue: sender, clock }, writer)
}

impl Recorder {
    /// Tells something about an object.
    pub(crate) fn event(&self, about: ObjectReference, notice: Notice) {
        if self.queue.try_send((about, notice, self.clock.now())).is_err() {
            debug!("too many events are waiting, one was dropped");
        }
    }
}

impl Writer {
    /// Writes events until shutdown, then those already waiting.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some((about, notice, now)) = self.queue.recv() => self.write(about, notice, now).await,
            }
        }
        while let Ok((about, notice, now)) = self.queue.try_recv() {
            self.write(about, notice, now).await;
        }
    }

    async fn write(&mut self, about: ObjectReference, notice: Notice, now: Timestamp) {
        let namespace = about.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let api = Api::<Event>::namespaced(self.client.clone(), &namespace);
        let about_uid = about.uid.clone().unwrap_or_default();
        let identity = (about_uid, notice.component, notice.reason, notice.message.clone());
        if let Some(seen) = self.seen.get_mut(&identity) {
            seen.count = seen.count.saturating_add(1);
            let patch = serde_json::json!({ "count": seen.count, "lastTimestamp": Time(now) });
            match api.patch(&seen.name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => return,
                Err(error) if is_not_found(&error) => {}
                Err(error) => {
                    debug!(error = &error as &dyn std::error::Error, "an event could not be counted up");
                    return;
                }
            }
        }
        let event = event(about, notice, now, self.name_suffix(now));
        let name = event.metadata.name.clone().unwrap_or_default();
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => self.remember(identity, name),
            Err(error) => debug!(error = &error as &dyn std::error::Error, "an event could not be written"),
        }
    }

    fn remember(&mut self, identity: Identity, name: String) {
        if self.seen.len() >= REMEMBERED {
            self.seen.clear();
        }
        self.seen.insert(identity, Seen { name, count: 1 });
    }

    /// The time in nanoseconds, made unique.
    fn name_suffix(&mut self, now: Timestamp) -> i128 {
        self.last_name = now.as_nanosecond().max(self.last_name + 1);
        self.last_name
    }
}

fn event(about: ObjectReference, notice: Notice, now: Timestamp, suffix: i128) -> Event {
    let name = format!("{}.{suffix:x}", about.name.as_deref().unwrap_or_default());
    let namespace = about.namespace.clone().unwrap_or_else(|| "default".to_owned());
    Event {
        metadata: ObjectMeta { name: Some(name), namespace: Some(namespace), ..ObjectMeta::default() },
        involved_object: about,
        reason: Some(notice.reason.to_owned()),
        message: Some(notice.message),
        source: Some(EventSource { component: Some(notice.component.to_owned()), host: None }),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        type_: Some(format!("{:?}", notice.severity)),
        reporting_component: Some(notice.component.to_owned()),
        reporting_instance: Some(String::new()),
        ..Event::default()
    }
}
