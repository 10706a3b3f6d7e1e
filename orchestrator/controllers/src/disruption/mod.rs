//! PodDisruptionBudget: says how many Pods may be evicted now.
//!
//! Flow: add up the scale of the Pods' owners, count, write the status. The API server takes evictions off the number it
//! says, and notes them; what was noted counts as gone until it is, or has not gone in time.
//!
//! Guarantees: when it cannot be told how many Pods there should be, none may be evicted. A status that rests on an older
//! one is refused by the API, so that no eviction is forgotten.

mod plan;
mod scale;
pub(crate) mod stale;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use kube::api::PostParams;
use kube::core::SelectorExt;
use kube::{Api, Client, Resource, ResourceExt};
use wherry_api::clock::Clock;

use crate::context::{Caches, Context};
use crate::objects::meta::{Key, labels, reference, selector};
use crate::runtime::cache::Cache;
use crate::runtime::error::{ReconcileError, Step};
use crate::runtime::queue::Queue;
use crate::runtime::recorder::{Notice, Recorder, Severity};
use crate::runtime::worker::{Controller, Next};

/// See the module's documentation.
pub(crate) struct DisruptionController {
    client: Client,
    caches: Arc<Caches>,
    recorder: Recorder,
    clock: Arc<dyn Clock>,
}

impl Controller for DisruptionController {
    const NAME: &'static str = "controllermanager";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let wake = queue.clone();
        context.caches.disruption_budgets.on_change(move |change| {
            if let Some(budget) = change.new {
                wake.add(Key::of(&**budget));
            }
        });
        let (wake, budgets) = (queue.clone(), context.caches.disruption_budgets.clone());
        context.caches.pods.on_change(move |change| {
            for pod in change.both() {
                budgets_of(pod, &budgets).for_each(|key| wake.add(key));
            }
        });
        let caches = &context.caches;
        wake_by_scale(&caches.deployments, caches, queue, |owner| owner.spec.as_ref()?.replicas);
        wake_by_scale(&caches.replica_sets, caches, queue, |owner| owner.spec.as_ref()?.replicas);
        wake_by_scale(&caches.stateful_sets, caches, queue, |owner| owner.spec.as_ref()?.replicas);
        wake_by_scale(&caches.replication_controllers, caches, queue, |owner| owner.spec.as_ref()?.replicas);
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            recorder: context.recorder.clone(),
            clock: context.config.clock.clone(),
        }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(budget) = self.caches.disruption_budgets.get(key) else { return Ok(Next::OnChange) };
        let pods = self.pods(&budget)?;
        if pods.is_empty() {
            self.tell(&*budget, Severity::Normal, "NoPods", "No matching pods found".to_owned());
        }
        let now = self.clock.now();
        let scale = match self.scale(&budget, &pods).await {
            Ok(scale) => scale,
            Err(why) => {
                let message = format!("Failed to calculate the number of expected pods: {why}");
                self.tell(&*budget, Severity::Warning, "CalculateExpectedPodCountFailed", message);
                self.write(&budget, plan::failed(&budget, &why, now)).await?;
                return Ok(Next::OnChange);
            }
        };
        let plan = plan::plan(&budget, &pods, scale, now);
        for pod in &plan.not_deleted {
            let message =
                format!("Pod was expected by PDB {}/{} to be deleted but it wasn't", key.namespace, key.name);
            self.tell(&**pod, Severity::Warning, "NotDeleted", message);
        }
        self.write(&budget, plan.status).await?;
        Ok(plan.look_again.map_or(Next::OnChange, Next::After))
    }
}

impl DisruptionController {
    fn tell<K>(&self, about: &K, severity: Severity, reason: &'static str, message: String)
    where
        K: Resource<DynamicType = ()>,
    {
        self.recorder.event(reference(about), Notice { component: Self::NAME, severity, reason, message });
    }

    fn pods(&self, budget: &PodDisruptionBudget) -> Result<Vec<Arc<Pod>>, ReconcileError> {
        let wanted = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let Some(wanted) = wanted.map(selector).transpose()? else { return Ok(Vec::new()) };
        let namespace = budget.metadata.namespace.as_deref().unwrap_or_default();
        Ok(self.caches.pods.select(namespace, |pod| wanted.matches(labels(&pod.metadata))))
    }

    /// How many Pods the owners want, where that matters.
    async fn scale(&self, budget: &PodDisruptionBudget, pods: &[Arc<Pod>]) -> Result<i32, String> {
        let Some(spec) = budget.spec.as_ref().filter(|spec| plan::asks_for_scale(spec)) else { return Ok(0) };
        let scale = scale::scale(&self.client, &self.caches, pods).await?;
        if scale.unmanaged {
            let selector = serde_json::to_string(&spec.selector).unwrap_or_default();
            let message = format!(
                "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a \
                 result, the status of the PDB cannot be calculated correctly, which may result in undefined \
                 behavior. To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer \
                 value."
            );
            self.tell(budget, Severity::Warning, "UnmanagedPods", message);
        }
        Ok(scale.sum)
    }

    async fn write(
        &self,
        budget: &PodDisruptionBudget,
        status: PodDisruptionBudgetStatus,
    ) -> Result<(), ReconcileError> {
        if budget.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let mut changed = budget.clone();
        changed.status = Some(status);
        let key = Key::of(budget);
        let api = Api::<PodDisruptionBudget>::namespaced(self.client.clone(), &key.namespace);
        let written = api.replace_status(&key.name, &PostParams::default(), &changed).await;
        self.caches.disruption_budgets.note(written.step("writing the budget's status")?);
        Ok(())
    }
}

/// Wakes the budgets of a namespace when an owner of Pods appears in it, goes, or wants another number of them.
fn wake_by_scale<K: ResourceExt>(
    owners: &Cache<K>,
    caches: &Arc<Caches>,
    queue: &Arc<Queue<Key>>,
    scale: impl Fn(&K) -> Option<i32> + Send + Sync + 'static,
) {
    let (wake, budgets) = (queue.clone(), caches.disruption_budgets.clone());
    owners.on_change(move |change| {
        let scales = (change.old.map(|old| scale(old)), change.new.map(|new| scale(new)));
        let Some(owner) = change.last().filter(|_| scales.0 != scales.1) else { return };
        for budget in budgets.namespace(owner.meta().namespace.as_deref().unwrap_or_default()) {
            wake.add(Key::of(&*budget));
        }
    });
}

/// The budgets that are about a Pod.
fn budgets_of(pod: &Pod, budgets: &Cache<PodDisruptionBudget>) -> impl Iterator<Item = Key> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let about = |budget: &PodDisruptionBudget| {
        let wanted = budget.spec.as_ref().and_then(|spec| selector(spec.selector.as_ref()?).ok());
        wanted.is_some_and(|wanted| wanted.matches(labels(&pod.metadata)))
    };
    budgets.select(namespace, about).into_iter().map(|budget| Key::of(&*budget))
}
