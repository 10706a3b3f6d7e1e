//! Services and their Pods: who is a member, on which ports, and whom a change concerns.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use parking_lot::Mutex;
use wherry_api::ranges::IpFamily;
use wherry_api::selector::SelectorIndex;

use super::meta::{Key, labels};
use super::pods::{is_ready, is_terminal, is_terminating};
use crate::context::Caches;
use crate::runtime::cache::{Cache, Change};
use crate::runtime::queue::Queue;

type Labels = BTreeMap<String, String>;

/// What Services select by, by namespace.
type Selectors = HashMap<String, SelectorIndex>;

/// The label of what belongs to a Service without a cluster IP.
pub(crate) const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// Whether the Service chooses its Pods by a selector.
pub(crate) fn has_selector(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.is_some_and(|spec| spec.selector.is_some() && spec.type_.as_deref() != Some("ExternalName"))
}

/// Whether the Service has no cluster IP of its own.
pub(crate) fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
}

/// Whether Pods are to be published before they are ready.
pub(crate) fn publishes_not_ready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses).unwrap_or(false)
}

/// The labels that the Service's Pods have, if it chooses them so.
fn selector(service: &Service) -> Option<&BTreeMap<String, String>> {
    service.spec.as_ref()?.selector.as_ref().filter(|_| has_selector(service))
}

/// Whether the Service selects this Pod.
fn selects(service: &Service, pod: &Pod) -> bool {
    let found = labels(&pod.metadata);
    selector(service).is_some_and(|all| all.iter().all(|(key, value)| found.get(key) == Some(value)))
}

/// The families of addresses that the Service is reached at, the primary one first.
pub(crate) fn families(service: &Service) -> Vec<IpFamily> {
    let spec = service.spec.as_ref();
    let named = spec.and_then(|spec| spec.ip_families.as_deref()).unwrap_or_default();
    let mut families: Vec<_> = named.iter().filter_map(|name| IpFamily::named(name)).collect();
    if families.is_empty() {
        // Nobody completed it: it has the family of its address, if it has one.
        let ip = spec.and_then(|spec| spec.cluster_ip.as_deref()).and_then(|ip| ip.parse().ok());
        families.push(ip.map_or(IpFamily::V4, IpFamily::of));
    }
    families
}

/// The Pod's addresses, once it has some; the primary one first.
pub(crate) fn pod_ips(pod: &Pod) -> impl Iterator<Item = &str> {
    let status = pod.status.as_ref();
    let all = status.and_then(|status| status.pod_ips.as_deref()).unwrap_or_default();
    let first = status.and_then(|status| status.pod_ip.as_deref()).filter(|_| all.is_empty());
    first.into_iter().chain(all.iter().map(|ip| ip.ip.as_str())).filter(|ip| !ip.is_empty())
}

/// The Pod's address of a family, once it has one.
pub(crate) fn pod_ip(pod: &Pod, family: IpFamily) -> Option<&str> {
    pod_ips(pod).find(|ip| ip.parse().is_ok_and(|ip| IpFamily::of(ip) == family))
}

/// The node the Pod is on.
pub(crate) fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// The Pod's own name in the Service's domain.
pub(crate) fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    (spec.subdomain.is_some() && spec.subdomain == service.metadata.name).then(|| spec.hostname.clone())?
}

/// The reference by which an endpoint names its Pod.
pub(crate) fn target(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// The Service's ports with their numbers in this Pod; a name the Pod does not have is left out.
pub(crate) fn ports<'s>(service: &'s Service, pod: &Pod) -> Vec<(&'s ServicePort, i32)> {
    let all = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
    all.into_iter().flatten().filter_map(|port| Some((port, number(port, pod)?))).collect()
}

fn number(port: &ServicePort, pod: &Pod) -> Option<i32> {
    let name = match &port.target_port {
        None | Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(text)) if text.is_empty() => return Some(port.port),
        Some(IntOrString::String(name)) => name,
    };
    let protocol = |text: &Option<String>| text.clone().unwrap_or_else(|| "TCP".to_owned());
    let spec = pod.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let declared =
        spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let mut matching = declared.filter(|declared| {
        declared.name.as_ref() == Some(name) && protocol(&declared.protocol) == protocol(&port.protocol)
    });
    matching.next().map(|declared| declared.container_port)
}

/// Wakes a queue of Services by changes of the Services and of their Pods.
pub(crate) fn wake_on_services_and_pods(caches: &Arc<Caches>, queue: &Arc<Queue<Key>>) {
    let selectors = Arc::new(Mutex::new(Selectors::new()));
    let (wake, noted) = (queue.clone(), selectors.clone());
    caches.services.on_change(move |change| {
        if let Some(service) = change.last() {
            let key = Key::of(&**service);
            note(&mut noted.lock(), &key, change.new.and_then(|service| selector(service)));
            wake.add(key);
        }
    });
    let (wake, services) = (queue.clone(), caches.services.clone());
    caches.pods.on_change(move |change| {
        if !concerns_services(change) {
            return;
        }
        for pod in change.both() {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let candidates = candidates(&selectors.lock(), namespace, labels(&pod.metadata));
            for key in candidates {
                if services.get(&key).is_some_and(|service| selects(&service, pod)) {
                    wake.add(key);
                }
            }
        }
    });
}

/// Notes by namespace what a Service selects by; nothing, if it is gone or has no selector.
fn note(selectors: &mut Selectors, service: &Key, selector: Option<&Labels>) {
    let index = selectors.entry(service.namespace.clone()).or_default();
    match selector {
        Some(selector) => index.put(&service.name, selector),
        None => index.remove(&service.name),
    }
    if index.is_empty() {
        selectors.remove(&service.namespace);
    }
}

/// The Services of a namespace that may select what has these labels.
fn candidates(selectors: &Selectors, namespace: &str, labels: &Labels) -> Vec<Key> {
    let index = selectors.get(namespace).into_iter();
    index.flat_map(|index| index.about(labels)).map(|name| Key::new(namespace, name)).collect()
}

/// The Pods of the Service, by name.
pub(crate) fn pods_of(service: &Service, pods: &Cache<Pod>) -> Vec<Arc<Pod>> {
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    selector(service).map(|selector| pods.with_labels(namespace, selector)).unwrap_or_default()
}

/// Whether the change can make a difference to any Service.
fn concerns_services(change: &Change<'_, Pod>) -> bool {
    let view = |pod: &Pod| {
        let spec = pod.spec.as_ref();
        (
            pod.metadata.labels.clone(),
            pod.metadata.uid.clone(),
            (is_ready(pod), is_terminal(pod), is_terminating(pod)),
            pod_ips(pod).map(str::to_owned).collect::<Vec<_>>(),
            spec.map(|spec| (spec.node_name.clone(), spec.hostname.clone(), spec.subdomain.clone())),
        )
    };
    match (change.old, change.new) {
        (Some(old), Some(new)) => view(old) != view(new),
        (Some(_) | None, None) | (None, Some(_)) => true,
    }
}
