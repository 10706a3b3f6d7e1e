//! Repairs what should not be: cluster IPs without their IPAddress, and IPAddresses whose Service is gone.
//!
//! The API server writes both by one transaction, so this is for what was written before it did, and for what people change by
//! hand.
//!
//! Assumptions: Services and IPAddresses are told of by two watches, of which one may be late. So whatever looks wrong in the
//! caches is looked at in the API before anything is done.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::{IPAddress, IPAddressSpec, ParentReference};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client, Resource, ResourceExt};

use super::repair_plan::{FAMILY, Fault, Stray, family, ips, judge_address, judge_ip, parent};
use super::{MANAGED_BY, plan};
use crate::context::{Caches, Context};
use crate::objects::meta::{Key, reference};
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step};
use crate::runtime::queue::Queue;
use crate::runtime::recorder::{Notice, Recorder, Severity};
use crate::runtime::worker::{Controller, Next};

/// What is looked at.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum Item {
    Service(Key),
    Address(String),
}

/// See the module's documentation.
pub(crate) struct AddressRepairController {
    client: Client,
    caches: Arc<Caches>,
    recorder: Recorder,
    clock: Arc<dyn wherry_api::clock::Clock>,
}

impl Controller for AddressRepairController {
    const NAME: &'static str = "ipallocator-repair-controller";
    type Key = Item;

    fn new(context: &Context, queue: &Arc<Queue<Item>>) -> Self {
        let (wake, services) = (queue.clone(), context.caches.services.clone());
        context.caches.service_cidrs.on_change(move |_| {
            for service in services.all() {
                wake.add(Item::Service(Key::of(&*service)));
            }
        });
        let wake = queue.clone();
        context.caches.services.on_change(move |change| {
            let [before, now] =
                [change.old, change.new].map(|one| one.map(|service| ips(service)).unwrap_or_default());
            if let Some(service) = change.last().filter(|_| before != now) {
                wake.add(Item::Service(Key::of(&**service)));
                // Who had it is told by the IPAddress.
                before.iter().chain(&now).for_each(|ip| wake.add(Item::Address(ip.to_string())));
            }
        });
        let wake = queue.clone();
        context.caches.ip_addresses.on_change(move |change| {
            if let Some(address) = change.last() {
                wake.add(Item::Address(address.name_any()));
                change
                    .both()
                    .filter_map(|address| parent(address))
                    .for_each(|key| wake.add(Item::Service(key)));
            }
        });
        let (client, caches) = (context.client.clone(), context.caches.clone());
        Self { client, caches, recorder: context.recorder.clone(), clock: context.config.clock.clone() }
    }

    async fn reconcile(&self, item: &Item) -> Result<Next, ReconcileError> {
        match item {
            Item::Service(key) => self.service(key).await.map(|()| Next::OnChange),
            Item::Address(name) => self.address(name).await,
        }
    }
}

impl AddressRepairController {
    async fn service(&self, key: &Key) -> Result<(), ReconcileError> {
        let Some(service) = self.caches.services.get(key) else { return Ok(()) };
        let ranges: Vec<_> =
            self.caches.service_cidrs.all().iter().flat_map(|cidr| plan::nets(cidr)).collect();
        for ip in ips(&service) {
            let known = self.caches.ip_addresses.get_global(&ip.to_string());
            let named = known.as_deref().and_then(parent).and_then(|named| self.caches.services.get(&named));
            if judge_ip(ip, key, &ranges, known.as_deref(), named.as_deref()).is_none() {
                continue;
            }
            let Some(service) = self.live_service(key).await?.filter(|service| ips(service).contains(&ip))
            else {
                return Ok(());
            };
            let found = self.live_address(&ip.to_string()).await?;
            let named = match found.as_ref().and_then(parent) {
                Some(named) => self.live_service(&named).await?,
                None => None,
            };
            if let Some(fault) = judge_ip(ip, key, &ranges, found.as_ref(), named.as_ref()) {
                self.mend(ip, &service, fault, found.as_ref()).await?;
            }
        }
        Ok(())
    }

    async fn mend(
        &self,
        ip: IpAddr,
        service: &Service,
        fault: Fault,
        found: Option<&IPAddress>,
    ) -> Result<(), ReconcileError> {
        let of = Key::of(service);
        let (reason, message) = told_of_fault(&fault, ip, &of);
        // Upstream tells nobody of labels.
        if fault != Fault::WrongLabels {
            self.tell(service, reason, message);
        }
        match fault {
            Fault::OutOfRange | Fault::Doubled => Ok(()),
            Fault::Missing => self.create(ip, &of).await,
            Fault::WrongReference | Fault::WrongLabels => {
                if let Some(found) = found {
                    self.delete(found).await?;
                }
                self.create(ip, &of).await
            }
        }
    }

    async fn address(&self, name: &str) -> Result<Next, ReconcileError> {
        let Some(known) = self.caches.ip_addresses.get_global(name) else { return Ok(Next::OnChange) };
        let named = parent(&known).and_then(|named| self.caches.services.get(&named));
        if judge_address(&known, named.as_deref(), self.clock.now()).is_none() {
            return Ok(Next::OnChange);
        }
        let Some(found) = self.live_address(name).await? else { return Ok(Next::OnChange) };
        let named = match parent(&found) {
            Some(named) => self.live_service(&named).await?,
            None => None,
        };
        let of = parent(&found).unwrap_or_else(|| Key::new("", ""));
        let (reason, message) = match judge_address(&found, named.as_ref(), self.clock.now()) {
            None => return Ok(Next::OnChange),
            Some(Stray::TooYoung(left)) => {
                return Ok(Next::After(Duration::try_from(left).unwrap_or_default()));
            }
            Some(stray) => told_of_stray(&stray, name, &of),
        };
        self.tell(&found, reason, message);
        self.delete(&found).await.map(|()| Next::OnChange)
    }

    async fn live_service(&self, key: &Key) -> Result<Option<Service>, ReconcileError> {
        let api = Api::<Service>::namespaced(self.client.clone(), &key.namespace);
        api.get_opt(&key.name).await.step("reading a Service")
    }

    async fn live_address(&self, name: &str) -> Result<Option<IPAddress>, ReconcileError> {
        Api::<IPAddress>::all(self.client.clone()).get_opt(name).await.step("reading an IPAddress")
    }

    async fn create(&self, ip: IpAddr, of: &Key) -> Result<(), ReconcileError> {
        let labels =
            [(FAMILY, family(ip)), MANAGED_BY].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let parent_ref = ParentReference {
            group: None,
            resource: "services".to_owned(),
            namespace: Some(of.namespace.clone()),
            name: of.name.clone(),
        };
        let address = IPAddress {
            metadata: ObjectMeta {
                name: Some(ip.to_string()),
                labels: Some(labels.into()),
                ..ObjectMeta::default()
            },
            spec: IPAddressSpec { parent_ref },
        };
        let api = Api::<IPAddress>::all(self.client.clone());
        api.create(&PostParams::default(), &address).await.step("creating an IPAddress").map(drop)
    }

    async fn delete(&self, address: &IPAddress) -> Result<(), ReconcileError> {
        let api = Api::<IPAddress>::all(self.client.clone());
        let deleted = delete(&api, &address.metadata, Only::Unchanged, DeleteParams::default()).await;
        deleted.step("deleting an IPAddress").map(drop)
    }

    fn tell<K: Resource<DynamicType = ()>>(&self, about: &K, reason: &'static str, message: String) {
        let (component, severity) = (Self::NAME, Severity::Warning);
        self.recorder.event(reference(about), Notice { component, severity, reason, message });
    }
}

/// The reason and message of the event about a cluster IP.
fn told_of_fault(fault: &Fault, ip: IpAddr, of: &Key) -> (&'static str, String) {
    let (family, Key { namespace, name }) = (family(ip), of);
    match fault {
        Fault::OutOfRange => (
            "ClusterIPOutOfRange",
            format!(
                "Cluster IP [{family}]: {ip} is not within any configured Service CIDR; please recreate service"
            ),
        ),
        Fault::Missing => {
            ("ClusterIPNotAllocated", format!("Cluster IP [{family}]: {ip} is not allocated; repairing"))
        }
        Fault::WrongReference | Fault::WrongLabels => (
            "ClusterIPNotAllocated",
            format!(
                "the ClusterIP [{family}]: {ip} for Service {namespace}/{name} has a wrong reference; repairing"
            ),
        ),
        Fault::Doubled => (
            "ClusterIPAlreadyAllocated",
            format!("Cluster IP [{family}]:{ip} was assigned to multiple services; please recreate service"),
        ),
    }
}

/// The reason and message of the event about an IPAddress.
fn told_of_stray(stray: &Stray, address: &str, of: &Key) -> (&'static str, String) {
    let Key { namespace, name } = of;
    match stray {
        Stray::Foreign => (
            "IPAddressNotAllocated",
            format!(
                "IPAddress {address} appears to have been modified, not referencing a Service: cleaning up"
            ),
        ),
        Stray::Leaked | Stray::TooYoung(_) => (
            "IPAddressNotAllocated",
            format!(
                "IPAddress: {address} for Service {namespace}/{name} appears to have leaked: cleaning up"
            ),
        ),
        Stray::Unused => (
            "IPAddressWrongReference",
            format!("IPAddress: {address} for Service {namespace}/{name} has a wrong reference; cleaning up"),
        ),
    }
}
