//! ReplicaSet: keeps as many Pods of its template as it says.
//!
//! Flow: claim the Pods (adopt, release), create or delete the difference, write the status.
//!
//! Guarantees: while expectations are open nothing is created or deleted, so a cache that lags never leads to
//! more Pods than wanted. Creations start with one and double as long as they succeed, so that a template the
//! API refuses costs one request and not hundreds.

mod apply;
mod plan;
mod rank;
mod status;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::core::SelectorExt;
use kube::{Api, Client};

use crate::context::{Caches, Context};
use crate::objects::claim;
use crate::objects::meta::{Key, controller_key, controller_of, labels, selector, uid};
use crate::objects::pods::is_terminating;
use crate::runtime::cache::Change;
use crate::runtime::error::{ReconcileError, Step};
use crate::runtime::expectations::Expectations;
use crate::runtime::queue::Queue;
use crate::runtime::recorder::Recorder;
use crate::runtime::worker::{Controller, Next};

/// See the module's documentation.
pub(crate) struct ReplicaSetController {
    client: Client,
    caches: Arc<Caches>,
    recorder: Recorder,
    clock: Arc<dyn wherry_api::clock::Clock>,
    expectations: Arc<Expectations>,
}

impl Controller for ReplicaSetController {
    const NAME: &'static str = "replicaset-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let expectations = Arc::new(Expectations::default());
        let (wake, open) = (queue.clone(), expectations.clone());
        context.caches.replica_sets.on_change(move |change| {
            if let (Some(gone), None) = (change.old, change.new) {
                open.forget(&Key::of(&**gone));
            }
            if let Some(set) = change.last() {
                wake.add(Key::of(&**set));
            }
        });
        let (wake, open, caches) = (queue.clone(), expectations.clone(), context.caches.clone());
        context.caches.pods.on_change(move |change| on_pod(change, &wake, &open, &caches));
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            recorder: context.recorder.clone(),
            clock: context.config.clock.clone(),
            expectations,
        }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(set) = self.caches.replica_sets.get(key) else {
            self.expectations.forget(key);
            return Ok(Next::OnChange);
        };
        let trusted = self.expectations.open(key);
        let pods = self.claim(&set).await?;
        let decided = if trusted.is_none() { plan::plan(&set, &pods) } else { plan::Decision::Nothing };
        let failure = self.apply(key, &set, &decided).await;
        let now = self.clock.now();
        let wanted = status::status(&set, &pods, failure.as_ref().map(|(decision, _)| decision), now);
        if set.status.as_ref() != Some(&wanted) {
            let mut changed = (*set).clone();
            changed.status = Some(wanted);
            let api = Api::<ReplicaSet>::namespaced(self.client.clone(), &key.namespace);
            let written = api.replace_status(&key.name, &PostParams::default(), &changed).await;
            self.caches.replica_sets.note(written.step("writing the ReplicaSet's status")?);
        }
        if let Some((_, error)) = failure {
            return Err(error);
        }
        Ok(soonest(trusted, status::next_available(&set, &pods, now)))
    }
}

impl ReplicaSetController {
    /// The Pods that belong to the set, after adoption and release.
    async fn claim(&self, set: &ReplicaSet) -> Result<Vec<Arc<Pod>>, ReconcileError> {
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        let selector = selector(&set.spec.as_ref().map(|spec| spec.selector.clone()).unwrap_or_default())?;
        let own = uid(&set.metadata);
        let candidates = self.caches.pods.select(namespace, |pod| match controller_of(&pod.metadata) {
            Some(owner) => owner.uid == own,
            None => selector.matches(labels(&pod.metadata)),
        });
        let claims = claim::claim(set, &selector, candidates);
        let sets = Api::<ReplicaSet>::namespaced(self.client.clone(), namespace);
        let pods = Api::<Pod>::namespaced(self.client.clone(), namespace);
        claim::settle(&sets, set, &pods, claims).await
    }
}

fn soonest(a: Option<Duration>, b: Option<Duration>) -> Next {
    a.into_iter().chain(b).min().map_or(Next::OnChange, Next::After)
}

/// Lowers expectations and wakes the sets a Pod belongs to, or might come to belong to.
fn on_pod(change: &Change<'_, Pod>, queue: &Queue<Key>, expectations: &Expectations, caches: &Caches) {
    let Some(pod) = change.last() else { return };
    if let Some(key) = controller_key::<ReplicaSet>(&pod.metadata) {
        if change.old.is_none() {
            expectations.created(&key, 1);
        }
        if change.new.is_none() || is_terminating(pod) {
            expectations.deleted(&key, uid(&pod.metadata));
        }
    }
    for key in change.both().filter_map(|pod| controller_key::<ReplicaSet>(&pod.metadata)) {
        queue.add(key);
    }
    if change.new.is_some() && controller_of(&pod.metadata).is_none() {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        for set in caches.replica_sets.namespace(namespace) {
            let wanted = set.spec.as_ref().and_then(|spec| selector(&spec.selector).ok());
            if wanted.is_some_and(|wanted| wanted.matches(labels(&pod.metadata))) {
                queue.add(Key::of(&*set));
            }
        }
    }
}
