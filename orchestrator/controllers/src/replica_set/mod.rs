//! ReplicaSet and ReplicationController: keep as many Pods of their template as they say.
//!
//! Flow: claim the Pods (adopt, release), create or delete the difference, write the status. One controller for both
//! kinds; [`kind`] says what differs.
//!
//! Guarantees: while expectations are open nothing is created or deleted, so a cache that lags never leads to
//! more Pods than wanted. Creations start with one and double as long as they succeed, so that a template the
//! API refuses costs one request and not hundreds.

pub(crate) mod kind;
mod plan;
pub(crate) mod rank;
mod status;

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;

use crate::context::{Caches, Context};
use crate::objects::claim::{claim, wake_owners};
use crate::objects::meta::{Key, controller_of, uid};
use crate::objects::pod_control::PodControl;
use crate::runtime::cache::{Cache, Change};
use crate::runtime::error::{ReconcileError, Step};
use crate::runtime::expectations::Expectations;
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};
use kind::Replicated;
use plan::Decision;

/// See the module's documentation.
pub(crate) struct ReplicaController<S> {
    caches: Arc<Caches>,
    clock: Arc<dyn wherry_api::clock::Clock>,
    pods: PodControl,
    kind: PhantomData<fn() -> S>,
}

impl<S: Replicated> Controller for ReplicaController<S> {
    const NAME: &'static str = S::CONTROLLER;
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let expectations = Arc::new(Expectations::default());
        let (wake, open) = (queue.clone(), expectations.clone());
        S::cache(&context.caches).on_change(move |change| {
            if let (Some(gone), None) = (change.old, change.new) {
                open.forget(&Key::of(&**gone));
            }
            if let Some(set) = change.last() {
                wake.add(Key::of(&**set));
            }
        });
        let (wake, open, owners) = (queue.clone(), expectations.clone(), S::cache(&context.caches).clone());
        context.caches.pods.on_change(move |change| on_pod::<S>(change, &wake, &open, &owners));
        Self {
            caches: context.caches.clone(),
            clock: context.config.clock.clone(),
            pods: PodControl::new(context, expectations, S::CONTROLLER),
            kind: PhantomData,
        }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(set) = S::cache(&self.caches).get(key) else {
            self.pods.expectations.forget(key);
            return Ok(Next::OnChange);
        };
        let trusted = self.pods.waits(key).await?;
        let pods = claim(&self.pods.client, &*set, &self.caches.pods, |_| true).await?;
        let now = self.clock.now();
        let decided = match trusted {
            None => plan::plan(&*set, &pods, || self.related(&*set), now),
            Some(_) => Decision::Nothing,
        };
        let failed = match &decided {
            Decision::Nothing => None,
            Decision::Create { count, pod } => self.pods.sync(&*set, &vec![&**pod; *count], &[]).await,
            Decision::Delete(pods) => self.pods.sync(&*set, &[], pods).await,
        };
        let wanted = status::status(&*set, &pods, failed.as_ref().map(|(failure, _)| failure), now);
        let changed = set.with_status(wanted);
        if changed.status() != set.status() {
            let api = Api::<S>::namespaced(self.pods.client.clone(), &key.namespace);
            let written = api.replace_status(&key.name, &PostParams::default(), &changed).await;
            S::cache(&self.caches).note(written.step("writing the status of a set of replicas")?);
        }
        match failed {
            Some((_, error)) => Err(error),
            None => Ok(soonest(trusted, status::next_available(&*set, &pods, now))),
        }
    }
}

impl<S: Replicated> ReplicaController<S> {
    /// The Pods of all sets that belong together because one owner manages them.
    fn related(&self, set: &S) -> Vec<Arc<Pod>> {
        let namespace = set.meta().namespace.as_deref().unwrap_or_default();
        let siblings = match controller_of(set.meta()) {
            Some(owner) => S::cache(&self.caches).managed_by(namespace, &owner.uid),
            None => vec![Arc::new(set.clone())],
        };
        let pods = siblings.iter().map(|set| self.caches.pods.managed_by(namespace, uid(set.meta())));
        pods.flatten().collect()
    }
}

fn soonest(a: Option<Duration>, b: Option<Duration>) -> Next {
    a.into_iter().chain(b).min().map_or(Next::OnChange, Next::After)
}

/// Lowers expectations and wakes the sets a Pod belongs to, or might come to belong to.
fn on_pod<S: Replicated>(
    change: &Change<'_, Pod>,
    queue: &Queue<Key>,
    expectations: &Expectations,
    owners: &Cache<S>,
) {
    expectations.observe::<S>(change);
    wake_owners(change, owners, queue);
}
