//! Events about pods and the node, in kubelet's words.
//!
//! # Guarantees
//! - Telling an event never blocks and never fails the caller; events beyond a full queue are dropped.
//! - An event told again raises the count of the first instead of making another, and many become one: see [`Correlator`].

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use wherry_api::clock::Clock;
use wherry_api::events::{Correlator, New, Notice, Telling};

const QUEUE: usize = 1024;

/// Who tells events.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Which part of Kubernetes.
    pub(crate) component: &'static str,
    /// The node's name.
    pub(crate) host: String,
}

impl Source {
    /// A node's agent, by the name that its events have in Kubernetes.
    pub(crate) fn kubelet(node: &str) -> Self {
        Self { component: "kubelet", host: node.to_owned() }
    }
}

/// Whether an event tells of success or of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Severity {
    /// Things go as they should.
    Normal,
    /// Somebody may have to do something.
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

/// What happened, before it is known to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Happening {
    /// `spec.containers{web}`, or empty for the pod as a whole.
    pub(crate) field_path: String,
    /// Success or trouble.
    pub(crate) severity: Severity,
    /// One word.
    pub(crate) reason: &'static str,
    /// A sentence.
    pub(crate) message: String,
}

impl Happening {
    /// Something about the whole pod.
    pub(crate) fn of_pod(severity: Severity, reason: &'static str, message: impl Into<String>) -> Self {
        Self { field_path: String::new(), severity, reason, message: message.into() }
    }
}

struct Told {
    object: ObjectReference,
    happening: Happening,
    at: Timestamp,
}

/// Tells events; cheap to clone.
#[derive(Clone)]
pub(crate) struct Events {
    queue: mpsc::Sender<Told>,
    clock: Arc<dyn Clock>,
}

impl Events {
    /// The teller, and the task that writes what is told until `shutdown` and the queue is empty.
    pub(crate) fn new(
        client: Client,
        source: Source,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let writer = Writer { client, source, correlator: Correlator::default(), sequence: 0 };
        (Self { queue, clock }, writer.run(receiver, shutdown))
    }

    /// Tells an event of a pod.
    pub(crate) fn pod(&self, pod: &Pod, happening: Happening) {
        let meta = &pod.metadata;
        let object = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            field_path: Some(happening.field_path.clone()).filter(|path| !path.is_empty()),
        };
        self.tell(object, happening);
    }

    /// Tells an event of the node.
    pub(crate) fn node(&self, name: &str, happening: Happening) {
        let object = ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(name.to_owned()),
            uid: Some(name.to_owned()),
            ..ObjectReference::default()
        };
        self.tell(object, happening);
    }

    /// Tells an event of any object.
    pub(crate) fn tell(&self, object: ObjectReference, happening: Happening) {
        let told = Told { object, happening, at: self.clock.now() };
        if let Err(error) = self.queue.try_send(told) {
            warn!(error = %error, "event dropped");
        }
    }
}

struct Writer {
    client: Client,
    source: Source,
    correlator: Correlator,
    /// Keeps the names of events of one instant apart.
    sequence: i128,
}

impl Writer {
    async fn run(mut self, mut receiver: mpsc::Receiver<Told>, shutdown: CancellationToken) {
        loop {
            let told = tokio::select! {
                told = receiver.recv() => told,
                () = shutdown.cancelled() => receiver.try_recv().ok(),
            };
            let Some(told) = told else { return };
            if let Err(error) = self.write(told).await {
                warn!(error = %error, "cannot write event");
            }
        }
    }

    async fn write(&mut self, told: Told) -> Result<(), kube::Error> {
        let namespace = told.object.namespace.as_deref().unwrap_or("default");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let new = match self.correlator.tell(told.as_notice(self.source.component), told.at) {
            Telling::Nothing => return Ok(()),
            Telling::New(new) => new,
            Telling::Again { name, count, message, otherwise } => {
                let patch = json!({ "count": count, "lastTimestamp": Time(told.at), "message": message });
                match api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                    // The event has expired: tell it anew.
                    Err(kube::Error::Api(status)) if status.code == 404 => otherwise,
                    outcome => return outcome.map(|_| ()),
                }
            }
        };
        self.sequence += 1;
        let event = event_of(&told, &new, &self.source, self.sequence);
        let written = api.create(&PostParams::default(), &event).await?;
        self.correlator.written(&new, written.metadata.name.unwrap_or_default());
        Ok(())
    }
}

impl Told {
    fn as_notice(&self, source: &'static str) -> Notice<'_> {
        let Happening { field_path, severity, reason, message } = &self.happening;
        Notice {
            source,
            object: self.object.uid.as_deref().unwrap_or_default(),
            field_path,
            severity: severity.as_str(),
            reason,
            message,
        }
    }
}

fn event_of(told: &Told, new: &New, source: &Source, sequence: i128) -> Event {
    let object = &told.object;
    let suffix = told.at.as_nanosecond() + sequence;
    let name = format!("{}.{suffix:x}", object.name.as_deref().unwrap_or_default());
    let namespace = object.namespace.clone().unwrap_or_else(|| "default".to_owned());
    Event {
        metadata: ObjectMeta { name: Some(name), namespace: Some(namespace), ..ObjectMeta::default() },
        involved_object: object.clone(),
        type_: Some(told.happening.severity.as_str().to_owned()),
        reason: Some(told.happening.reason.to_owned()),
        message: Some(new.message.clone()),
        first_timestamp: Some(Time(told.at)),
        last_timestamp: Some(Time(told.at)),
        count: Some(new.count),
        source: Some(EventSource {
            component: Some(source.component.to_owned()),
            host: Some(source.host.clone()),
        }),
        reporting_component: Some(source.component.to_owned()),
        reporting_instance: Some(source.host.clone()),
        ..Event::default()
    }
}
