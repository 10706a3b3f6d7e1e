//! Events about placements, for `kubectl describe` and `kubectl get events`.
//!
//! The scheduler only queues; one task writes, several at once and never so many that bindings wait for them. A warning
//! told again about the same Pod is counted up instead of appearing again, and counted together while it is being
//! written. Events are best effort: a surplus is dropped.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{ObjectMeta, Patch};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use wherry_api::clock::Clock;

use super::send;

/// How many events may wait to be written.
const WAITING: usize = 32 * 1024;
/// How many are written at once.
const AT_ONCE: usize = 8;
/// How many events are remembered to be counted up.
const REMEMBERED: usize = 4096;
/// The longest text of an event.
const LONGEST_NOTE: usize = 1024;

/// What a scheduler tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Notice {
    /// A Pod has a node.
    Scheduled { node: String },
    /// A Pod has none.
    Failed { message: String },
    /// A Pod has to end for this one.
    Preempted { by: Box<PodName>, node: String },
}

/// A Pod that an event names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PodName {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

struct Told {
    about: ObjectReference,
    /// The scheduler that tells it.
    by: Arc<str>,
    notice: Notice,
    at: Timestamp,
}

/// The scheduler's end: never waits.
#[derive(Clone)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<Told>,
    clock: Arc<dyn Clock>,
}

/// A warning that was told before.
struct Series {
    /// Of the event.
    name: String,
    namespace: String,
    count: i32,
    last: Timestamp,
    /// How many of them the API knows; nothing while a write is under way.
    written: Option<i32>,
}

type Identity = (String, Notice);

/// Of which series a write is a part, and up to which count; how it ended.
type Ended = (Option<(Identity, i32)>, Result<(), kube::Error>);

/// The writing end, to be run by one task.
pub(crate) struct Writer {
    queue: mpsc::Receiver<Told>,
    client: Client,
    host: String,
    series: HashMap<Identity, Series>,
    last_name: i128,
    writes: JoinSet<Ended>,
}

/// Makes the two ends; events are told by an instance on this host.
pub(crate) fn recorder(client: Client, clock: Arc<dyn Clock>, host: String) -> (Recorder, Writer) {
    let (sender, queue) = mpsc::channel(WAITING);
    let writer = Writer { queue, client, host, series: HashMap::new(), last_name: 0, writes: JoinSet::new() };
    (Recorder { queue: sender, clock }, writer)
}

impl Recorder {
    /// Tells something about a Pod in the name of a scheduler.
    pub(crate) fn event(&self, pod: &Pod, by: &Arc<str>, notice: Notice) {
        let about = ObjectReference {
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            uid: pod.metadata.uid.clone(),
            resource_version: pod.metadata.resource_version.clone(),
            ..a_pod()
        };
        self.tell(about, by, notice);
    }

    /// The same of a Pod of which only the name is known.
    pub(crate) fn about(&self, pod: PodName, by: &Arc<str>, notice: Notice) {
        self.tell(pod.reference(), by, notice);
    }

    fn tell(&self, about: ObjectReference, by: &Arc<str>, notice: Notice) {
        let told = Told { about, by: by.clone(), notice, at: self.clock.now() };
        if self.queue.try_send(told).is_err() {
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
                Some(told) = self.queue.recv(), if self.writes.len() < AT_ONCE => self.take(told),
                Some(ended) = self.writes.join_next() => self.ended(ended),
            }
        }
        loop {
            while self.writes.len() < AT_ONCE {
                let Ok(told) = self.queue.try_recv() else { break };
                self.take(told);
            }
            let Some(ended) = self.writes.join_next().await else { return };
            self.ended(ended);
        }
    }

    fn take(&mut self, told: Told) {
        let uid = told.about.uid.clone().unwrap_or_default();
        let identity = matches!(told.notice, Notice::Failed { .. }).then(|| (uid, told.notice.clone()));
        let Some(identity) = identity else {
            let event = self.event(told);
            self.create(event, None);
            return;
        };
        if let Some(series) = self.series.get_mut(&identity) {
            series.count = series.count.saturating_add(1);
            series.last = told.at;
            if series.written.take().is_some() {
                self.count_up(identity);
            }
            return;
        }
        if self.series.len() >= REMEMBERED {
            self.series.retain(|_, series| series.written.is_none());
        }
        let at = told.at;
        let event = self.event(told);
        let (name, namespace) = (event.metadata.name.clone(), event.metadata.namespace.clone());
        let series = Series {
            name: name.unwrap_or_default(),
            namespace: namespace.unwrap_or_default(),
            count: 1,
            last: at,
            written: None,
        };
        self.series.insert(identity.clone(), series);
        self.create(event, Some((identity, 1)));
    }

    fn create(&mut self, event: Event, part: Option<(Identity, i32)>) {
        let client = self.client.clone();
        self.writes.spawn(async move {
            let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
            (part, send::create(client, namespace, &event).await)
        });
    }

    fn count_up(&mut self, identity: Identity) {
        let Some(series) = self.series.get(&identity) else { return };
        let (count, name) = (series.count, series.name.clone());
        let last = MicroTime(series.last);
        let patch = serde_json::json!({ "series": { "count": count, "lastObservedTime": last } });
        let (client, namespace) = (self.client.clone(), series.namespace.clone());
        self.writes.spawn(async move {
            let written = send::patch::<Event>(client, (&namespace, &name), &Patch::Merge(patch)).await;
            (Some((identity, count)), written)
        });
    }

    fn ended(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        let Ok((part, outcome)) = ended else {
            debug!("the write of an event ended abnormally");
            return;
        };
        if let Err(error) = &outcome {
            debug!(error = error as &dyn std::error::Error, "an event could not be written");
        }
        let Some((identity, count)) = part else { return };
        if outcome.is_err() {
            // The next one like it is an event of its own.
            self.series.remove(&identity);
        } else if let Some(series) = self.series.get_mut(&identity) {
            if series.count > count {
                self.count_up(identity);
            } else {
                series.written = Some(count);
            }
        }
    }

    fn event(&mut self, told: Told) -> Event {
        let Told { about, by, notice, at } = told;
        // The time in nanoseconds, made unique.
        self.last_name = at.as_nanosecond().max(self.last_name + 1);
        let name = about.name.as_deref().unwrap_or_default();
        let metadata = ObjectMeta {
            name: Some(format!("{name}.{:x}", self.last_name)),
            namespace: about.namespace.clone(),
            ..ObjectMeta::default()
        };
        let (type_, reason, action) = notice.kind();
        Event {
            metadata,
            event_time: Some(MicroTime(at)),
            action: Some(action.to_owned()),
            reason: Some(reason.to_owned()),
            note: Some(notice.note(&about)),
            related: notice.related(),
            regarding: Some(about),
            reporting_controller: Some(by.as_ref().to_owned()),
            reporting_instance: Some(format!("{by}-{}", self.host)),
            type_: Some(type_.to_owned()),
            ..Event::default()
        }
    }
}

impl Notice {
    /// The type, the reason and the action.
    fn kind(&self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Scheduled { .. } => ("Normal", "Scheduled", "Binding"),
            Self::Failed { .. } => ("Warning", "FailedScheduling", "Scheduling"),
            Self::Preempted { .. } => ("Normal", "Preempted", "Preempting"),
        }
    }

    fn note(&self, about: &ObjectReference) -> String {
        match self {
            Self::Scheduled { node } => {
                let (namespace, name) = (&about.namespace, &about.name);
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                format!("Successfully assigned {}/{} to {node}", text(namespace), text(name))
            }
            Self::Failed { message } => shortened(message),
            Self::Preempted { by, node } => format!("Preempted by pod {} on node {node}", by.uid),
        }
    }

    fn related(&self) -> Option<ObjectReference> {
        let Self::Preempted { by, .. } = self else { return None };
        Some(by.clone().reference())
    }
}

impl PodName {
    fn reference(self) -> ObjectReference {
        ObjectReference {
            name: Some(self.name),
            namespace: Some(self.namespace),
            uid: Some(self.uid),
            ..a_pod()
        }
    }
}

fn a_pod() -> ObjectReference {
    let (version, kind) = (Some("v1".to_owned()), Some("Pod".to_owned()));
    ObjectReference { api_version: version, kind, ..ObjectReference::default() }
}

/// A text of at most the length that events may have.
fn shortened(message: &str) -> String {
    if message.len() <= LONGEST_NOTE {
        return message.to_owned();
    }
    let mark = " ...";
    format!("{}{mark}", &message[..message.floor_char_boundary(LONGEST_NOTE - mark.len())])
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
