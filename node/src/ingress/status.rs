//! What Ingresses are told of where they are served: `status.loadBalancer`.
//!
//! Every node that serves them tells its own addresses and leaves those of others.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::networking::v1::{Ingress, IngressLoadBalancerIngress, IngressPortStatus};
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::world::World;
use crate::context::chain;
use crate::services::ObjectKey;

/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Where Ingresses are served.
pub(super) type Address = IngressLoadBalancerIngress;

/// What an Ingress was told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Published {
    pub(super) uid: String,
    version: String,
    addresses: Vec<Address>,
}

impl Published {
    pub(super) fn parse(object: &Ingress) -> Option<Self> {
        let balancer = object.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let addresses = balancer.and_then(|balancer| balancer.ingress.clone()).unwrap_or_default();
        let (uid, version) =
            (object.metadata.uid.clone().unwrap_or_default(), object.metadata.resource_version.clone()?);
        Some(Self { uid, version, addresses })
    }
}

/// What an object is to be told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Write {
    pub(super) resource: ApiResource,
    pub(super) key: ObjectKey,
    /// The version that it is meant for.
    pub(super) version: String,
    pub(super) status: Value,
}

/// What is told of these doors.
pub(super) fn addresses(doors: impl Iterator<Item = SocketAddr>, node: IpAddr) -> Vec<Address> {
    let mut by_ip: BTreeMap<IpAddr, Vec<u16>> = BTreeMap::new();
    for door in doors {
        let ip = if door.ip().is_unspecified() { node } else { door.ip() };
        by_ip.entry(ip).or_default().push(door.port());
    }
    let port = |port| IngressPortStatus { port: i32::from(port), protocol: "TCP".to_owned(), error: None };
    let address = |(ip, ports): (IpAddr, Vec<u16>)| Address {
        ip: Some(ip.to_string()),
        hostname: None,
        ports: Some(ports.into_iter().map(port).collect()),
    };
    by_ip.into_iter().map(address).collect()
}

/// What differs from what these addresses say. Pure.
pub(super) fn plan(world: &World, own: &[Address]) -> Vec<Write> {
    let is_own_ip = |address: &Address| own.iter().any(|one| one.ip == address.ip);
    let mut writes = Vec::new();
    for (key, published) in world.published.iter() {
        let before = published.addresses.iter();
        let addresses: Vec<Address> = if world.ingresses.get(key).is_some_and(|it| world.is_ours(it)) {
            before.filter(|address| !is_own_ip(address)).chain(own).cloned().collect()
        } else {
            before.filter(|address| !own.contains(address)).cloned().collect()
        };
        // In which order they are is of no meaning, and not worth a write.
        let is_told = addresses.len() == published.addresses.len()
            && addresses.iter().all(|address| published.addresses.contains(address));
        if !is_told {
            writes.push(Write {
                resource: ApiResource::erase::<Ingress>(&()),
                key: key.clone(),
                version: published.version.clone(),
                status: json!({"loadBalancer": {"ingress": addresses}}),
            });
        }
    }
    writes
}

/// Writes what is to be told, again until that works. Ends with the channel.
pub(super) async fn write(client: Client, mut wanted: watch::Receiver<Vec<Write>>) {
    let mut failed = false;
    loop {
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(RETRY), if failed => {}
        }
        let writes = wanted.borrow_and_update().clone();
        failed = false;
        for one in &writes {
            failed |= !tell(&client, one).await;
        }
    }
}

async fn tell(client: &Client, write: &Write) -> bool {
    let Write { resource, key, version, status } = write;
    let api: Api<DynamicObject> = if key.namespace.is_empty() {
        Api::all_with(client.clone(), resource)
    } else {
        Api::namespaced_with(client.clone(), &key.namespace, resource)
    };
    let patch = json!({"metadata": {"resourceVersion": version}, "status": status});
    match api.patch_status(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => true,
        // The watch tells what it is now.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => true,
        Err(error) => {
            let kind = &resource.kind;
            tracing::warn!(%kind, object = %key, error = %chain(&error), "cannot tell an object how it is served");
            false
        }
    }
}
