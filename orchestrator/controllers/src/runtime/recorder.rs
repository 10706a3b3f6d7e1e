//! Events about what controllers did, for `kubectl describe` and `kubectl get events`.
//!
//! Flow: [`Recorder::event`] only queues; one task writes what [`Correlator`] leaves of it.
//!
//! Caveats: events are best effort. When they come faster than they can be written, the surplus is dropped.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use wherry_api::clock::Clock;
use wherry_api::events::{self, Correlator, New, Telling};

use super::error::is_not_found;

/// How many events may wait to be written.
const WAITING: usize = 1024;

/// Whether an event tells of the normal course of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Severity {
    Normal,
    Warning,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
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

impl Notice {
    fn as_told<'a>(&'a self, about: &'a ObjectReference) -> events::Notice<'a> {
        events::Notice {
            source: self.component,
            object: about.uid.as_deref().or(about.name.as_deref()).unwrap_or_default(),
            field_path: about.field_path.as_deref().unwrap_or_default(),
            severity: self.severity.as_str(),
            reason: self.reason,
            message: &self.message,
        }
    }
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
    correlator: Correlator,
    last_name: i128,
}

/// Makes the two ends.
pub(crate) fn recorder(client: Client, clock: Arc<dyn Clock>) -> (Recorder, Writer) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let writer = Writer { queue: receiver, client, correlator: Correlator::default(), last_name: 0 };
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
        let new = match self.correlator.tell(notice.as_told(&about), now) {
            Telling::Nothing => return,
            Telling::New(new) => new,
            Telling::Again { name, count, message, otherwise } => {
                let patch = json!({ "count": count, "lastTimestamp": Time(now), "message": message });
                match api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
                    Err(error) if is_not_found(&error) => otherwise,
                    outcome => return complain(outcome, "an event could not be counted up"),
                }
            }
        };
        let event = event(about, &notice, &new, now, self.name_suffix(now));
        match api.create(&PostParams::default(), &event).await {
            Ok(event) => self.correlator.written(&new, event.name_any()),
            failed => complain(failed, "an event could not be written"),
        }
    }

    /// The time in nanoseconds, made unique.
    fn name_suffix(&mut self, now: Timestamp) -> i128 {
        self.last_name = now.as_nanosecond().max(self.last_name + 1);
        self.last_name
    }
}

fn complain(outcome: kube::Result<Event>, what: &str) {
    if let Err(error) = outcome {
        debug!(error = &error as &dyn std::error::Error, "{what}");
    }
}

fn event(about: ObjectReference, notice: &Notice, new: &New, now: Timestamp, suffix: i128) -> Event {
    let name = format!("{}.{suffix:x}", about.name.as_deref().unwrap_or_default());
    let namespace = about.namespace.clone().unwrap_or_else(|| "default".to_owned());
    Event {
        metadata: ObjectMeta { name: Some(name), namespace: Some(namespace), ..ObjectMeta::default() },
        involved_object: about,
        reason: Some(notice.reason.to_owned()),
        message: Some(new.message.clone()),
        source: Some(EventSource { component: Some(notice.component.to_owned()), host: None }),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(new.count),
        type_: Some(notice.severity.as_str().to_owned()),
        reporting_component: Some(notice.component.to_owned()),
        reporting_instance: Some(String::new()),
        ..Event::default()
    }
}
