//! HorizontalPodAutoscaler: as many replicas as metrics ask for.
//!
//! Flow: read the scale of the target; within the bounds ask the sources of all metrics, work out what each asks for
//! ([`proposal`], [`calculate`]), take the highest ([`plan`]), hold it back as the behavior says ([`limits`]), write
//! the scale and the status. An autoscaler is looked at when it is new or its spec changes, and then once every period;
//! without autoscalers nothing is ever due.
//!
//! Guarantees: what cannot be measured scales nothing down. A failure is told and looked at again a period later, and
//! never sooner.

mod answers;
mod calculate;
mod config;
mod draft;
mod limits;
mod memory;
mod metrics;
mod plan;
mod pods;
mod proposal;
mod samples;
mod selectors;
mod target;

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerStatus, MetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;
use tracing::warn;
use wherry_api::clock::Clock;

use crate::context::{Caches, Context};
use crate::objects::meta::{Key, labels, reference};
use crate::runtime::error::{ReconcileError, text};
use crate::runtime::everything::Everything;
use crate::runtime::queue::Queue;
use crate::runtime::recorder::{Notice, Recorder, Severity};
use crate::runtime::worker::{Controller, Next};
use calculate::World;
pub use config::Autoscaling;
use draft::{ABLE_TO_SCALE, Draft, SCALING_ACTIVE};
use memory::Memory;
use metrics::Sources;
use plan::{Course, Rescale};
use selectors::Selectors;
use target::Target;

/// See the module's documentation.
pub(crate) struct AutoscalerController {
    client: Client,
    caches: Arc<Caches>,
    everything: Arc<Everything>,
    recorder: Recorder,
    clock: Arc<dyn Clock>,
    options: Autoscaling,
    memories: Mutex<HashMap<Key, Memory>>,
    selectors: Mutex<Selectors>,
}

impl Controller for AutoscalerController {
    const NAME: &'static str = "horizontal-pod-autoscaler";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let wake = queue.clone();
        context.caches.autoscalers.on_change(move |change| {
            if change.old.map(|old| &old.spec) != change.new.map(|new| &new.spec)
                && let Some(autoscaler) = change.last()
            {
                wake.add(Key::of(&**autoscaler));
            }
        });
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            everything: context.everything.clone(),
            recorder: context.recorder.clone(),
            clock: context.config.clock.clone(),
            options: context.config.autoscaling,
            memories: Mutex::default(),
            selectors: Mutex::default(),
        }
    }

    async fn ready(&self) {
        self.everything.ready().await;
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(autoscaler) = self.caches.autoscalers.get(key) else {
            self.memories.lock().remove(key);
            self.selectors.lock().forget(key);
            return Ok(Next::OnChange);
        };
        let mut memory = self.memories.lock().get(key).cloned().unwrap_or_default();
        let mut draft = Draft::of(&autoscaler, self.clock.now());
        let followed = self.follow(key, &autoscaler, &mut memory, &mut draft).await;
        self.memories.lock().insert(key.clone(), memory);
        for (severity, reason, message) in std::mem::take(&mut draft.events) {
            self.tell(&autoscaler, severity, reason, message);
        }
        let written = self.write(key, &autoscaler, draft.status).await;
        if let Err(why) = followed.and(written) {
            let Key { namespace, name } = key;
            warn!(namespace, name, why, "an autoscaler cannot do all it should");
        }
        Ok(Next::After(self.options.sync_period))
    }
}

impl AutoscalerController {
    fn tell(
        &self,
        about: &HorizontalPodAutoscaler,
        severity: Severity,
        reason: &'static str,
        message: String,
    ) {
        self.recorder.event(reference(about), Notice { component: Self::NAME, severity, reason, message });
    }

    /// Looks at the target and scales it; says in the draft what came of it.
    async fn follow(
        &self,
        key: &Key,
        autoscaler: &HorizontalPodAutoscaler,
        memory: &mut Memory,
        draft: &mut Draft,
    ) -> Result<(), String> {
        let spec = &autoscaler.spec;
        let wanted = &spec.scale_target_ref;
        let found = Target::find(&self.client, &self.everything, &key.namespace, wanted).await;
        let mut target = found.inspect_err(|why| {
            draft.warn("FailedGetScale", why);
            let message = format!("the HPA controller was unable to get the target's current scale: {why}");
            draft.set(ABLE_TO_SCALE, false, "FailedGetScale", message);
        })?;
        let message = "the HPA controller was able to get the target's current scale";
        draft.set(ABLE_TO_SCALE, true, "SucceededGetScale", message);
        let current = target.wanted();
        memory.begin(current, self.clock.now());
        let (rescale, metrics, error) = match plan::course(spec, current) {
            Course::Disabled => {
                let message = "scaling is disabled since the replica count of the target is zero";
                draft.set(SCALING_ACTIVE, false, "ScalingDisabled", message);
                (None, None, None)
            }
            Course::Bound(rescale) => (Some(rescale), None, None),
            Course::Measure => self.measure(key, autoscaler, &target, (memory, draft)).await?,
        };
        let Some(rescale) = rescale else {
            draft.count(current, Some(current), metrics);
            return error.map_or(Ok(()), Err);
        };
        let done = self.rescale(&mut target, &rescale, draft).await;
        draft.count(current, done.is_ok().then_some(rescale.to), metrics);
        done?;
        draft.scaled();
        if let Some(behavior) = &spec.behavior {
            memory.scaled(behavior, (current, rescale.to), self.clock.now());
        }
        error.map_or(Ok(()), Err)
    }

    /// What the metrics say, if anything can be said; with what some of them failed by.
    async fn measure(
        &self,
        key: &Key,
        autoscaler: &HorizontalPodAutoscaler,
        target: &Target,
        (memory, draft): (&mut Memory, &mut Draft),
    ) -> Result<(Option<Rescale>, Option<Vec<MetricStatus>>, Option<String>), String> {
        let spec = &autoscaler.spec;
        let current = target.wanted();
        let stuck = |draft: &mut Draft, metrics, why: String| {
            draft.count(current, None, metrics);
            draft.warn("FailedComputeMetricsReplicas", &why);
            Err(why)
        };
        let pods = match self.pods(key, target.selector(), draft) {
            Ok(pods) => pods,
            Err(why) => return stuck(draft, None, why),
        };
        let world = World {
            namespace: &key.namespace,
            wanted: current,
            observed: target.observed(),
            pods: &pods,
            tolerances: plan::tolerances(spec, &self.options),
            options: &self.options,
            now: self.clock.now(),
        };
        let sources = Sources {
            client: &self.client,
            everything: &self.everything,
            namespace: &key.namespace,
            pods: target.selector(),
        };
        let mut proposals = Vec::new();
        for metric in spec.metrics.iter().flatten() {
            let measured = proposal::measure(&sources, metric).await;
            proposals.push(proposal::propose(metric, measured, &world));
        }
        let verdict = plan::verdict(spec, proposals, &world, memory, draft);
        if verdict.is_stuck {
            return stuck(draft, Some(verdict.metrics), verdict.error.unwrap_or_default());
        }
        Ok((verdict.rescale, Some(verdict.metrics), verdict.error))
    }

    /// The Pods of a selector, which must be those of one autoscaler only.
    fn pods(&self, key: &Key, text: &str, draft: &mut Draft) -> Result<Vec<Arc<Pod>>, String> {
        let found = self.selectors.lock().choose(key, text, |selector| {
            let is_chosen = |pod: &Pod| selectors::matches(selector, labels(&pod.metadata));
            self.caches.pods.select(&key.namespace, is_chosen)
        });
        found.map_err(|refused| {
            draft.warn(refused.event, &refused.error);
            draft.set(SCALING_ACTIVE, false, refused.reason, refused.message);
            refused.error
        })
    }

    async fn rescale(&self, target: &mut Target, rescale: &Rescale, draft: &mut Draft) -> Result<(), String> {
        let Rescale { to, reason } = rescale;
        if let Err(why) = target.set(*to).await {
            draft.warn("FailedRescale", format!("New size: {to}; reason: {reason}; error: {why}"));
            let message = format!("the HPA controller was unable to update the target scale: {why}");
            draft.set(ABLE_TO_SCALE, false, "FailedUpdateScale", message);
            return Err(why);
        }
        let message = format!("the HPA controller was able to update the target scale to {to}");
        draft.set(ABLE_TO_SCALE, true, "SucceededRescale", message);
        draft.tell(Severity::Normal, "SuccessfulRescale", format!("New size: {to}; reason: {reason}"));
        Ok(())
    }

    async fn write(
        &self,
        key: &Key,
        autoscaler: &HorizontalPodAutoscaler,
        status: HorizontalPodAutoscalerStatus,
    ) -> Result<(), String> {
        if autoscaler.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let mut changed = autoscaler.clone();
        changed.status = Some(status);
        let api = Api::<HorizontalPodAutoscaler>::namespaced(self.client.clone(), &key.namespace);
        match api.replace_status(&key.name, &PostParams::default(), &changed).await {
            Ok(written) => self.caches.autoscalers.note(written),
            Err(error) => {
                self.tell(autoscaler, Severity::Warning, "FailedUpdateStatus", text(&error));
                return Err(text(&error));
            }
        }
        Ok(())
    }
}
