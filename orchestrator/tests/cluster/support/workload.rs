//! What the tests of workloads share: templates, and the life of Pods as a watch tells it.

use std::collections::BTreeMap;
use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

use super::{Cluster, wait};

/// A Pod template of one container, labelled `app: <app>`.
pub(crate) fn template(app: &str, image: &str) -> Value {
    json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "c", "image": image}]}})
}

/// The image of the Pod's container.
pub(crate) fn image(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.containers.first()?.image.as_deref()).unwrap_or_default()
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

pub(crate) fn is_going(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// The owner that manages the Pod, by kind and name.
pub(crate) fn manager(pod: &Pod) -> Option<(String, String)> {
    let owners = pod.metadata.owner_references.iter().flatten();
    let manager = owners.into_iter().find(|owner| owner.controller == Some(true))?;
    Some((manager.kind.clone(), manager.name.clone()))
}

/// One change of a Pod: how it was, how it is (nothing once it is gone).
pub(crate) struct Change<'p> {
    pub(crate) old: Option<&'p Pod>,
    pub(crate) new: Option<&'p Pod>,
    /// All Pods as they were before the change, by name.
    pub(crate) pods: &'p BTreeMap<String, Pod>,
}

/// The Pods of an app, as a watch tells of them in order from now on.
pub(crate) struct Chronicle {
    pods: BTreeMap<String, Pod>,
    events: Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<Pod>>> + Send>>,
}

impl Chronicle {
    pub(crate) async fn begin(cluster: &Cluster, app: &str) -> Self {
        let labels = format!("app={app}");
        let list = cluster.api::<Pod>().list(&ListParams::default().labels(&labels)).await.unwrap();
        let version = list.metadata.resource_version.unwrap();
        let params = WatchParams::default().labels(&labels);
        let events = cluster.api::<Pod>().watch(&params, &version).await.unwrap().boxed();
        Self { pods: list.items.into_iter().map(|pod| (pod.name_any(), pod)).collect(), events }
    }

    /// Reads on until the Pods are as described; `check` sees every change on the way.
    pub(crate) async fn until(
        &mut self,
        are: impl Fn(&BTreeMap<String, Pod>) -> bool,
        check: impl Fn(&Change<'_>),
    ) {
        let read = async {
            while !are(&self.pods) {
                let (pod, is_gone) = match self.events.next().await.unwrap().unwrap() {
                    WatchEvent::Added(pod) | WatchEvent::Modified(pod) => (pod, false),
                    WatchEvent::Deleted(pod) => (pod, true),
                    WatchEvent::Bookmark(_) => continue,
                    WatchEvent::Error(error) => panic!("{error}"),
                };
                let name = pod.name_any();
                let change =
                    Change { old: self.pods.get(&name), new: (!is_gone).then_some(&pod), pods: &self.pods };
                check(&change);
                if is_gone {
                    self.pods.remove(&name);
                } else {
                    self.pods.insert(name, pod);
                }
            }
            Ok::<(), std::convert::Infallible>(())
        };
        Box::pin(wait(read)).await;
    }
}
