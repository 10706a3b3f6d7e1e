//! What the API shows of static Pods: for each a mirror, made anew when somebody deletes it.
//!
//! The state is what was seen; [`plan`] says what to do about it, and the keeper does it, one thing after the other.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{MIRROR, shows};
use crate::context::chain;

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// A Pod's namespace and name.
type Key = (String, String);

/// What is to be shown under a name.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    /// This Pod.
    Show(Arc<Pod>),
    /// Whatever is shown, while the Pod ends.
    Keep,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
enum Action {
    /// Make a mirror of the Pod.
    Create(Arc<Pod>),
    /// Remove this mirror.
    Delete(Arc<Pod>),
}

#[derive(Default)]
struct State {
    /// Whether all mirrors there are have been seen.
    is_listed: bool,
    seen: BTreeMap<Key, Arc<Pod>>,
    wanted: BTreeMap<Key, Wish>,
}

/// The mirrors of this node.
#[derive(Clone, Default)]
pub(crate) struct Mirrors(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

impl Mirrors {
    /// The mirror of this name.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Pod>> {
        self.0.state.lock().seen.get(key).cloned()
    }

    /// Notes a mirror that there is.
    pub(crate) fn seen(&self, mirror: Arc<Pod>) {
        self.0.state.lock().seen.insert(key(&mirror), mirror);
        self.0.changed.notify_one();
    }

    /// Notes that a mirror is gone.
    pub(crate) fn gone(&self, mirror: &Pod) {
        self.0.state.lock().forget(mirror);
        self.0.changed.notify_one();
    }

    /// Notes the uids of all Pods there are.
    pub(crate) fn listed(&self, uids: &HashSet<String>) {
        let mut state = self.0.state.lock();
        state.seen.retain(|_, mirror| mirror.metadata.uid.as_ref().is_some_and(|uid| uids.contains(uid)));
        state.is_listed = true;
        self.0.changed.notify_one();
    }

    /// Says what is to be shown; nothing else is.
    pub(crate) fn want(&self, wanted: BTreeMap<Key, Wish>) {
        self.0.state.lock().wanted = wanted;
        self.0.changed.notify_one();
    }

    /// Makes and removes mirrors until `shutdown`.
    pub(crate) async fn keep(self, client: Client, node: String, shutdown: CancellationToken) {
        let mut delay = FIRST_RETRY;
        loop {
            let turn = self.turn(&client, &node);
            let Some(done) = shutdown.run_until_cancelled(turn).await else { return };
            let wait = delay;
            let again = async move {
                if done {
                    return std::future::pending().await;
                }
                tokio::time::sleep(wait).await;
            };
            delay = if done { FIRST_RETRY } else { (delay * 2).min(LONGEST_RETRY) };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.0.changed.notified() => {}
                () = again => {}
            }
        }
    }

    /// Does what is to be done now; says whether all of it was.
    async fn turn(&self, client: &Client, node: &str) -> bool {
        let mut done = true;
        let actions = plan(&self.0.state.lock());
        for action in actions {
            let result = match &action {
                Action::Create(pod) => self.create(client, node, pod).await,
                Action::Delete(mirror) => self.delete(client, mirror).await,
            };
            if let Err(error) = result {
                let (Action::Create(pod) | Action::Delete(pod)) = &action;
                let (namespace, name) = key(pod);
                warn!(namespace, name, error = %chain(&error), "cannot show a static Pod in the API yet");
                done = false;
            }
        }
        done
    }

    async fn create(&self, client: &Client, node: &str, pod: &Pod) -> Result<(), kube::Error> {
        let owner = Api::<Node>::all(client.clone()).get(node).await?;
        let mirror = mirror_of(pod, &owner);
        let created = pods(client, pod).create(&PostParams::default(), &mirror).await?;
        self.0.state.lock().seen.insert(key(&created), Arc::new(created));
        Ok(())
    }

    async fn delete(&self, client: &Client, mirror: &Pod) -> Result<(), kube::Error> {
        let preconditions = Preconditions { uid: mirror.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        let name = mirror.metadata.name.as_deref().unwrap_or_default();
        match pods(client, mirror).delete(name, &params).await {
            Ok(_) => {}
            // It is gone, or another has its name.
            Err(kube::Error::Api(answer)) if answer.code == 404 || answer.code == 409 => {}
            Err(error) => return Err(error),
        }
        self.0.state.lock().forget(mirror);
        self.0.changed.notify_one();
        Ok(())
    }
}

impl State {
    fn forget(&mut self, mirror: &Pod) {
        let key = key(mirror);
        if self.seen.get(&key).is_some_and(|seen| seen.metadata.uid == mirror.metadata.uid) {
            self.seen.remove(&key);
        }
    }
}

/// What to do: a name shows its Pod or nothing.
fn plan(state: &State) -> Vec<Action> {
    if !state.is_listed {
        return Vec::new();
    }
    let is_right = |key: &Key, mirror: &Pod| match state.wanted.get(key) {
        Some(Wish::Show(pod)) => mirror.metadata.deletion_timestamp.is_none() && shows(mirror, pod),
        Some(Wish::Keep) => true,
        None => false,
    };
    let wrong = state.seen.iter().filter(|(key, mirror)| !is_right(key, mirror));
    let removed = wrong.map(|(_, mirror)| Action::Delete(mirror.clone()));
    let missing = state.wanted.iter().filter_map(|(key, wish)| match wish {
        Wish::Show(pod) if !state.seen.contains_key(key) => Some(Action::Create(pod.clone())),
        Wish::Show(_) | Wish::Keep => None,
    });
    removed.chain(missing).collect()
}

/// The object that shows the Pod.
fn mirror_of(pod: &Pod, node: &Node) -> Pod {
    let meta = &pod.metadata;
    let mut annotations = meta.annotations.clone().unwrap_or_default();
    annotations.insert(MIRROR.to_owned(), meta.uid.clone().unwrap_or_default());
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.metadata.name.clone().unwrap_or_default(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        ..OwnerReference::default()
    };
    let metadata = ObjectMeta {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        labels: meta.labels.clone(),
        annotations: Some(annotations),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    };
    Pod { metadata, spec: pod.spec.clone(), status: None }
}

fn pods(client: &Client, pod: &Pod) -> Api<Pod> {
    Api::namespaced(client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default())
}

fn key(pod: &Pod) -> Key {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    (part(&pod.metadata.namespace), part(&pod.metadata.name))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, shown: Option<&str>) -> Arc<Pod> {
        let annotations = shown.map(|hash| json!({ MIRROR: hash }));
        let metadata = json!({ "name": "web", "namespace": "shop", "uid": uid, "annotations": annotations });
        Arc::new(serde_json::from_value(json!({ "metadata": metadata, "spec": null })).unwrap())
    }

    fn planned(wish: Option<Wish>, seen: Option<Arc<Pod>>) -> Vec<Action> {
        let key = || ("shop".to_owned(), "web".to_owned());
        let wanted = wish.map(|wish| (key(), wish)).into_iter().collect();
        plan(&State { is_listed: true, seen: seen.map(|seen| (key(), seen)).into_iter().collect(), wanted })
    }

    #[test]
    fn a_name_shows_its_pod_or_nothing() {
        let (own, mirror, stale) = (pod("h1", None), pod("u1", Some("h1")), pod("u0", Some("h0")));
        let show = || Some(Wish::Show(own.clone()));
        let mut ending = Pod::clone(&mirror);
        ending.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        let ending = Arc::new(ending);
        assert_eq!(planned(show(), None), [Action::Create(own.clone())]);
        assert_eq!(planned(show(), Some(mirror.clone())), []);
        assert_eq!(planned(show(), Some(stale.clone())), [Action::Delete(stale.clone())]);
        assert_eq!(planned(show(), Some(ending.clone())), [Action::Delete(ending)]);
        assert_eq!(planned(Some(Wish::Keep), Some(stale.clone())), []);
        assert_eq!(planned(Some(Wish::Keep), None), []);
        assert_eq!(planned(None, Some(mirror.clone())), [Action::Delete(mirror)]);
    }

    #[test]
    fn nothing_is_made_or_removed_before_all_is_known() {
        let mirrors = Mirrors::default();
        mirrors.seen(pod("u1", Some("h1")));
        assert_eq!(plan(&mirrors.0.state.lock()), []);
        mirrors.listed(&HashSet::new());
        assert!(
            plan(&mirrors.0.state.lock()).is_empty() && mirrors.get(&("shop".into(), "web".into())).is_none()
        );
    }
}
