//! The built-in load balancer: Services of type LoadBalancer, without a class or of class `wherry`, are reached at the addresses
//! of the nodes.
//!
//! Flow: whenever a Service, its endpoints, a node or a port that Pods take of a node changes, all of it is looked at together
//! ([`plan`]), and the Services whose status says something else are told. Nodes do what the status says
//! (`spec.ports` at the addresses of `status.loadBalancer.ingress`); nothing runs for a Service.
//!
//! Guarantees: a port is led to one Service, and a Service that has its ports keeps them. Ports that lead elsewhere on a node are
//! not taken from whoever has them: Pods, NodePorts, the node's own endpoint, the API server.
//!
//! Leaves to others: Services of other classes.

mod facts;
mod plan;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use wherry_api::clock::Clock;

use crate::context::{Caches, Context};
use crate::objects::meta::reference;
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::queue::Queue;
use crate::runtime::recorder::{Notice, Recorder, Severity};
use crate::runtime::worker::{Controller, Next};
use plan::{Verdict, told};

/// The condition of a Service whose ports lead elsewhere, under upstream's name.
const PORTS_ERROR: &str = "LoadBalancerPortsError";

/// See the module's documentation. There is one key: all Services together.
pub(crate) struct LoadBalancerController {
    client: Client,
    caches: Arc<Caches>,
    recorder: Recorder,
    clock: Arc<dyn Clock>,
}

impl Controller for LoadBalancerController {
    const NAME: &'static str = "service-lb-controller";
    type Key = ();

    fn new(context: &Context, queue: &Arc<Queue<()>>) -> Self {
        if context.config.load_balancer {
            facts::wake(&context.caches, queue);
        }
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            recorder: context.recorder.clone(),
            clock: context.config.clock.clone(),
        }
    }

    async fn reconcile(&self, (): &()) -> Result<Next, ReconcileError> {
        let services = self.caches.services.all();
        let places = facts::places(&self.caches);
        for (service, verdict) in
            plan::plan(&services, &places, |service| facts::nodes_of(&self.caches, service))
        {
            self.tell(&service, verdict).await?;
        }
        Ok(Next::OnChange)
    }
}

impl LoadBalancerController {
    async fn tell(&self, service: &Service, verdict: Verdict) -> Result<(), ReconcileError> {
        let before = told(service);
        if before == verdict {
            return Ok(());
        }
        let ingress: Vec<_> =
            verdict.addresses.iter().map(|ip| json!({ "ip": ip, "ipMode": "VIP" })).collect();
        let patch = json!({
            "metadata": { "uid": service.uid(), "resourceVersion": service.resource_version() },
            "status": { "loadBalancer": { "ingress": ingress }, "conditions": self.conditions(service, &verdict) },
        });
        let api = Api::<Service>::namespaced(self.client.clone(), &service.namespace().unwrap_or_default());
        match api.patch_status(&service.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(written) => self.caches.services.note(written),
            Err(error) if is_not_found(&error) => return Ok(()),
            Err(error) => return Err(error).step("writing the addresses of a load balancer"),
        }
        self.record(service, &before, &verdict);
        Ok(())
    }

    /// Those of others stay.
    fn conditions(&self, service: &Service, verdict: &Verdict) -> Vec<Condition> {
        let found = service.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let others = found.filter(|condition| condition.type_ != PORTS_ERROR).cloned();
        let problem = verdict.problem.as_ref().map(|problem| Condition {
            type_: PORTS_ERROR.to_owned(),
            status: "True".to_owned(),
            reason: "PortConflict".to_owned(),
            message: problem.clone(),
            last_transition_time: Time(self.clock.now()),
            observed_generation: service.metadata.generation,
        });
        others.chain(problem).collect()
    }

    fn record(&self, service: &Service, before: &Verdict, now: &Verdict) {
        let tell = |severity, reason, message: String| {
            self.recorder
                .event(reference(service), Notice { component: Self::NAME, severity, reason, message });
        };
        match &now.problem {
            Some(problem) => tell(Severity::Warning, "SyncLoadBalancerFailed", problem.clone()),
            None if now.addresses.is_empty() && !before.addresses.is_empty() => {
                let message = "There are no available nodes for LoadBalancer".to_owned();
                tell(Severity::Warning, "UnAvailableLoadBalancer", message);
            }
            None if now.addresses != before.addresses => {
                let message = format!("The ports are open at {}", now.addresses.join(", "));
                tell(Severity::Normal, "EnsuredLoadBalancer", message);
            }
            None => {}
        }
    }
}
