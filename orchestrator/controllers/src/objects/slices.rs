//! EndpointSlices: whose they are, what tells their ports apart, and how those who make them write them.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{EndpointPort, EndpointSlice};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, ResourceExt};

use super::meta::{Key, labels};
use crate::context::Caches;
use crate::runtime::cache::Cache;
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step, is_namespace_terminating};
use crate::runtime::queue::Queue;

/// The label that names a slice's Service.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label that names who manages a slice.
pub(crate) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    Create(Box<EndpointSlice>),
    Update(Box<EndpointSlice>),
    Delete(Arc<EndpointSlice>),
}

/// Wakes a queue of Services by changes of the slices that `manager` manages.
pub(crate) fn wake_on_slices(caches: &Caches, queue: &Arc<Queue<Key>>, manager: &'static str) {
    let wake = queue.clone();
    caches.endpoint_slices.on_change(move |change| {
        for slice in change.both().filter(|slice| is_managed_by(slice, manager)) {
            if let Some(service) = labels(&slice.metadata).get(SERVICE_NAME) {
                wake.add(Key::new(slice.namespace().unwrap_or_default(), service));
            }
        }
    });
}

/// The slices of a Service, whoever manages them, by name.
pub(crate) fn all_slices_of(slices: &Cache<EndpointSlice>, service: &Key) -> Vec<Arc<EndpointSlice>> {
    let wanted = BTreeMap::from([(SERVICE_NAME.to_owned(), service.name.clone())]);
    slices.with_labels(&service.namespace, &wanted)
}

/// The slices of a Service that `manager` manages and nobody deletes, by name.
pub(crate) fn slices_of(
    slices: &Cache<EndpointSlice>,
    service: &Key,
    manager: &str,
) -> Vec<Arc<EndpointSlice>> {
    let mut slices = all_slices_of(slices, service);
    slices.retain(|slice| is_managed_by(slice, manager) && slice.metadata.deletion_timestamp.is_none());
    slices
}

fn is_managed_by(slice: &EndpointSlice, manager: &str) -> bool {
    labels(&slice.metadata).get(MANAGED_BY).is_some_and(|found| found == manager)
}

/// Tells sets of ports apart.
pub(crate) fn port_key(ports: &[EndpointPort]) -> String {
    let mut texts: Vec<_> = ports
        .iter()
        .map(|port| {
            let EndpointPort { name, port, protocol, app_protocol } = port;
            format!("{name:?} {port:?} {protocol:?} {app_protocol:?}")
        })
        .collect();
    texts.sort();
    texts.join("\n")
}

/// Does one write in a namespace.
pub(crate) async fn write(
    client: &Client,
    slices: &Cache<EndpointSlice>,
    namespace: &str,
    action: Action,
) -> Result<(), ReconcileError> {
    let api = Api::<EndpointSlice>::namespaced(client.clone(), namespace);
    match action {
        Action::Create(slice) => match api.create(&PostParams::default(), &slice).await {
            Ok(created) => slices.note(created),
            Err(error) if is_namespace_terminating(&error) => {}
            Err(error) => return Err(error).step("creating an EndpointSlice"),
        },
        Action::Update(slice) => {
            let written = api.replace(&slice.name_any(), &PostParams::default(), &slice).await;
            slices.note(written.step("writing an EndpointSlice")?);
        }
        Action::Delete(slice) => {
            let deleted = delete(&api, &slice.metadata, Only::This, DeleteParams::default()).await;
            deleted.step("deleting an EndpointSlice")?;
        }
    }
    Ok(())
}
