//! The ranges that cluster IPs come from: a ServiceCIDR that is deleted stays as long as somebody needs its addresses.
//!
//! Flow: every ServiceCIDR gets a finalizer and is ready. One that is being deleted gives out no more addresses; it loses its
//! finalizer once another range holds it, or nobody has an address of it alone.
//!
//! Guarantees: no address is left without a range. The API server gives out nothing of a range that is being deleted, so what a
//! list shows after that is all there can be.

mod plan;
pub(crate) mod repair;
mod repair_plan;

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::context::{Caches, Context};
use crate::objects::meta::labels;
use crate::runtime::cache::Cache;
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};
use plan::{Action, ready, terminating};

/// The label of the IPAddresses that the API server makes for Services, and its value.
const MANAGED_BY: (&str, &str) = ("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
/// The manager of the condition's fields.
const MANAGER: &str = "service-cidr-controller";

/// Keys are names of ServiceCIDRs.
pub(crate) struct ServiceCidrController {
    client: Client,
    caches: Arc<Caches>,
    clock: Arc<dyn wherry_api::clock::Clock>,
}

impl Controller for ServiceCidrController {
    const NAME: &'static str = "service-cidr-controller";
    type Key = String;

    fn new(context: &Context, queue: &Arc<Queue<String>>) -> Self {
        let (wake, cidrs) = (queue.clone(), context.caches.service_cidrs.clone());
        context.caches.service_cidrs.on_change(move |change| {
            if let Some(cidr) = change.last() {
                wake.add(cidr.name_any());
            }
            wake_terminating(&cidrs, &wake);
        });
        let (wake, cidrs) = (queue.clone(), context.caches.service_cidrs.clone());
        context.caches.ip_addresses.on_change(move |change| {
            if change.new.is_none() {
                wake_terminating(&cidrs, &wake);
            }
        });
        let (client, caches) = (context.client.clone(), context.caches.clone());
        Self { client, caches, clock: context.config.clock.clone() }
    }

    async fn reconcile(&self, name: &String) -> Result<Next, ReconcileError> {
        let Some(cidr) = self.caches.service_cidrs.get_global(name) else { return Ok(Next::OnChange) };
        let all = self.caches.service_cidrs.all();
        let known = self.caches.ip_addresses.all();
        let addresses: Vec<_> = known.iter().filter_map(|address| allocated(address)).collect();
        match plan::plan(&cidr, &all, &addresses) {
            Action::Keep => self.keep(&cidr).await?,
            Action::Wait => self.tell(&cidr, terminating(self.clock.now())).await?,
            Action::Release => self.release(&cidr, &all).await?,
        }
        Ok(Next::OnChange)
    }
}

impl ServiceCidrController {
    async fn keep(&self, cidr: &ServiceCIDR) -> Result<(), ReconcileError> {
        if let Some(finalizers) = plan::with_finalizer(&cidr.metadata) {
            self.set_finalizers(cidr, &finalizers).await?;
        }
        self.tell(cidr, ready(self.clock.now())).await
    }

    /// Lets go of a range that nobody seems to need, unless somebody does.
    async fn release(&self, cidr: &ServiceCIDR, all: &[Arc<ServiceCIDR>]) -> Result<(), ReconcileError> {
        let Some(finalizers) = plan::without_finalizer(&cidr.metadata) else { return Ok(()) };
        let ours = ListParams::default().labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1));
        let listed =
            Api::<IPAddress>::all(self.client.clone()).list(&ours).await.step("listing IPAddresses")?;
        let addresses: Vec<_> = listed.items.iter().filter_map(allocated).collect();
        if plan::plan(cidr, all, &addresses) == Action::Release {
            return self.set_finalizers(cidr, &finalizers).await;
        }
        self.tell(cidr, terminating(self.clock.now())).await
    }

    async fn set_finalizers(&self, cidr: &ServiceCIDR, finalizers: &[String]) -> Result<(), ReconcileError> {
        let patch = json!({
            "metadata": {"resourceVersion": cidr.metadata.resource_version, "finalizers": finalizers},
        });
        let api = Api::<ServiceCIDR>::all(self.client.clone());
        match api.patch(&cidr.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => Ok(()),
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => Err(error).step("writing the finalizers of a ServiceCIDR"),
        }
    }

    async fn tell(&self, cidr: &ServiceCIDR, condition: Condition) -> Result<(), ReconcileError> {
        if plan::is_told(cidr, &condition) {
            return Ok(());
        }
        let patch = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "status": {"conditions": [condition]},
        });
        let (api, params) =
            (Api::<ServiceCIDR>::all(self.client.clone()), PatchParams::apply(MANAGER).force());
        match api.patch_status(&cidr.name_any(), &params, &Patch::Apply(patch)).await {
            Ok(_) => Ok(()),
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => Err(error).step("writing the condition of a ServiceCIDR"),
        }
    }
}

/// The address, if the API server gave it to a Service.
fn allocated(address: &IPAddress) -> Option<IpAddr> {
    let manager = labels(&address.metadata).get(MANAGED_BY.0).filter(|manager| *manager == MANAGED_BY.1);
    manager.and_then(|_| address.metadata.name.as_deref()?.parse().ok())
}

fn wake_terminating(cidrs: &Cache<ServiceCIDR>, queue: &Queue<String>) {
    for cidr in cidrs.all() {
        if cidr.metadata.deletion_timestamp.is_some() {
            queue.add(cidr.name_any());
        }
    }
}
