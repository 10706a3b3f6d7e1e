//! Tests of the wanted endpoints and of how they are fitted into slices.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::endpoint_slice::desired;

/// Where no node says its zone.
fn groups(service: &Service, pods: &[Arc<Pod>]) -> Vec<Group> {
    desired::groups(service, pods, &|_| None)
}

fn service(ports: &serde_json::Value) -> Service {
    let object = json!({
        "metadata": { "name": "web", "namespace": "ns", "uid": "svc", "labels": { "team": "a" } },
        "spec": { "selector": { "app": "web" }, "clusterIP": "10.96.0.9", "ports": ports },
    });
    serde_json::from_value(object).unwrap()
}

fn http() -> Service {
    service(&json!([{ "name": "http", "port": 80, "targetPort": "web", "protocol": "TCP" }]))
}

fn pod(number: usize, state: &str) -> Arc<Pod> {
    let mut object = json!({
        "metadata": { "name": format!("p{number}"), "namespace": "ns", "uid": format!("u{number}") },
        "spec": { "nodeName": "node", "containers": [
            { "name": "c", "ports": [{ "name": "web", "containerPort": 8080 }] },
        ] },
        "status": {
            "phase": if state == "failed" { "Failed" } else { "Running" },
            "conditions": [{ "type": "Ready", "status": if state == "starting" { "False" } else { "True" } }],
        },
    });
    if state != "no address" {
        object["status"]["podIP"] = json!(format!("10.244.{}.{}", number / 250, number % 250 + 1));
    }
    if state == "going" {
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    Arc::new(serde_json::from_value(object).unwrap())
}

fn pods(numbers: impl IntoIterator<Item = usize>) -> Vec<Arc<Pod>> {
    numbers.into_iter().map(|number| pod(number, "ready")).collect()
}

/// A Pod with an address of each family.
fn of_both(number: usize) -> Arc<Pod> {
    let mut pod = (*pod(number, "ready")).clone();
    let ips = [format!("10.244.0.{number}"), format!("fd00::{number}")];
    let ips = ips.map(|ip| serde_json::from_value(json!({ "ip": ip })).unwrap());
    pod.status.as_mut().unwrap().pod_ips = Some(ips.to_vec());
    Arc::new(pod)
}

#[test]
fn each_family_of_the_service_has_slices_of_its_own() {
    let mut service = http();
    let families = |service: &mut Service, names: &[&str]| {
        service.spec.as_mut().unwrap().ip_families = Some(names.iter().map(ToString::to_string).collect());
    };
    families(&mut service, &["IPv6", "IPv4"]);
    // One of them has no address of the second family.
    let pods = [of_both(1), of_both(2), pod(3, "ready")];
    let mut next = 0;
    let slices = applied(vec![], plan(&service, groups(&service, &pods), vec![]), &mut next);
    let shown = |slices: &[Arc<EndpointSlice>]| -> BTreeSet<String> {
        let addresses = |slice: &EndpointSlice| -> Vec<String> {
            slice.endpoints.iter().flatten().flat_map(|endpoint| endpoint.addresses.clone()).collect()
        };
        slices.iter().map(|slice| format!("{} {}", slice.address_type, addresses(slice).len())).collect()
    };
    assert_eq!(shown(&slices), BTreeSet::from(["IPv4 3".to_owned(), "IPv6 2".to_owned()]));
    families(&mut service, &["IPv6"]);
    let slices = applied(slices.clone(), plan(&service, groups(&service, &pods), slices), &mut next);
    assert_eq!(shown(&slices), BTreeSet::from(["IPv6 2".to_owned()]));
    let none = applied(slices.clone(), plan(&service, groups(&service, &[]), slices), &mut next);
    assert_eq!(shown(&none), BTreeSet::from(["IPv6 0".to_owned()]));
}

/// Slices as they are after the actions.
fn applied(
    mut slices: Vec<Arc<EndpointSlice>>,
    actions: Vec<Action>,
    next: &mut usize,
) -> Vec<Arc<EndpointSlice>> {
    for action in actions {
        match action {
            Action::Create(mut slice) => {
                *next += 1;
                slice.metadata.name = Some(format!("web-{next}"));
                slices.push(Arc::new(*slice));
            }
            Action::Update(slice) => {
                let held = slices.iter_mut().find(|held| held.metadata.name == slice.metadata.name);
                *held.unwrap() = Arc::new(*slice);
            }
            Action::Delete(slice) => slices.retain(|held| held.metadata.name != slice.metadata.name),
        }
    }
    slices
}

fn endpoints(slice: &EndpointSlice) -> &[Endpoint] {
    slice.endpoints.as_deref().unwrap_or_default()
}

#[test]
fn endpoints_say_what_their_pods_are() {
    let states = ["ready", "starting", "going", "failed", "no address"];
    let pods: Vec<_> = states.iter().enumerate().map(|(number, state)| pod(number, state)).collect();
    let actions = plan(&http(), groups(&http(), &pods), vec![]);
    let [Action::Create(slice)] = actions.as_slice() else { panic!("{actions:?}") };
    let ports = slice.ports.as_ref().unwrap();
    assert_eq!(
        (ports[0].name.as_deref(), ports[0].port, ports[0].protocol.as_deref()),
        (Some("http"), Some(8080), Some("TCP"))
    );
    let conditions: Vec<_> = endpoints(slice)
        .iter()
        .map(|endpoint| {
            let conditions = endpoint.conditions.clone().unwrap();
            (conditions.ready.unwrap(), conditions.serving.unwrap(), conditions.terminating.unwrap())
        })
        .collect();
    assert_eq!(conditions, [(true, true, false), (false, false, false), (false, true, true)]);
    let labels = slice.metadata.labels.as_ref().unwrap();
    assert_eq!(labels["kubernetes.io/service-name"], "web");
    assert_eq!(labels["endpointslice.kubernetes.io/managed-by"], "endpointslice-controller.k8s.io");
    assert_eq!(labels["team"], "a");
    assert!(!labels.contains_key("service.kubernetes.io/headless"));
    assert_eq!(slice.metadata.owner_references.as_ref().unwrap()[0].uid, "svc");
    let target = endpoints(slice)[0].target_ref.clone().unwrap();
    assert_eq!((target.kind.as_deref(), target.uid.as_deref()), (Some("Pod"), Some("u0")));
}

#[test]
fn ready_endpoints_say_whose_clients_should_stay_near() {
    let pods = [pod(0, "ready"), pod(1, "starting")];
    let hints = |distribution: Option<&str>, zone: Option<&str>| {
        let mut service = http();
        service.spec.as_mut().unwrap().traffic_distribution = distribution.map(str::to_owned);
        let groups =
            desired::groups(&service, &pods, &|node| (node == "node").then(|| zone.map(str::to_owned))?);
        let endpoints = &groups[0].endpoints;
        assert!(endpoints.iter().all(|endpoint| endpoint.zone.as_deref() == zone));
        assert_eq!(endpoints[1].hints, None);
        serde_json::to_value(&endpoints[0].hints).unwrap()
    };
    let near = json!({"forZones": [{"name": "north"}]});
    assert_eq!(hints(Some("PreferSameZone"), Some("north")), near);
    assert_eq!(hints(Some("PreferClose"), Some("north")), near);
    assert_eq!(hints(Some("PreferSameZone"), None), json!(null));
    let nearer = json!({"forNodes": [{"name": "node"}], "forZones": [{"name": "north"}]});
    assert_eq!(hints(Some("PreferSameNode"), Some("north")), nearer);
    assert_eq!(hints(Some("PreferSameNode"), None), json!({"forNodes": [{"name": "node"}]}));
    assert_eq!(hints(None, Some("north")), json!(null));
}

#[test]
fn pods_that_name_the_port_differently_get_slices_of_their_own() {
    let mut other = (*pod(1, "ready")).clone();
    other.spec.as_mut().unwrap().containers[0].ports.as_mut().unwrap()[0].container_port = 9090;
    let groups = groups(&http(), &[pod(0, "ready"), Arc::new(other)]);
    let ports: BTreeSet<_> = groups.iter().map(|group| group.ports[0].port).collect();
    assert_eq!(ports, BTreeSet::from([Some(8080), Some(9090)]));
}

#[test]
fn a_service_without_pods_has_one_empty_slice_that_is_reused() {
    let mut next = 0;
    let slices = applied(vec![], plan(&http(), groups(&http(), &[]), vec![]), &mut next);
    assert_eq!((slices.len(), endpoints(&slices[0]).len()), (1, 0));
    assert_eq!(plan(&http(), groups(&http(), &[]), slices.clone()), []);
    let actions = plan(&http(), groups(&http(), &pods([1])), slices.clone());
    assert!(matches!(actions.as_slice(), [Action::Update(_)]), "{actions:?}");
    let slices = applied(slices, actions, &mut next);
    let actions = plan(&http(), groups(&http(), &[]), slices);
    assert!(matches!(actions.as_slice(), [Action::Update(_)]), "{actions:?}");
}

/// The API has no list where an empty one was written. A slice without endpoints was written again and again to have one.
#[test]
fn an_empty_slice_is_written_once() {
    let mut next = 0;
    let mut slices = applied(vec![], plan(&http(), groups(&http(), &[]), vec![]), &mut next);
    Arc::make_mut(&mut slices[0]).endpoints = None;
    assert_eq!(plan(&http(), groups(&http(), &[]), slices), []);
}

#[test]
fn one_pod_less_is_one_write() {
    let mut next = 0;
    let slices = applied(vec![], plan(&http(), groups(&http(), &pods(0..250)), vec![]), &mut next);
    assert_eq!(slices.iter().map(|slice| endpoints(slice).len()).collect::<Vec<_>>(), [100, 100, 50]);
    let fewer = pods((0..250).filter(|number| *number != 7));
    let actions = plan(&http(), groups(&http(), &fewer), slices);
    assert!(matches!(actions.as_slice(), [Action::Update(_)]), "{} actions", actions.len());
}

#[test]
fn a_relabelled_service_relabels_its_slices() {
    let mut next = 0;
    let slices = applied(vec![], plan(&http(), groups(&http(), &pods([1])), vec![]), &mut next);
    let mut service = http();
    service.metadata.labels.as_mut().unwrap().insert("team".into(), "b".into());
    service.spec.as_mut().unwrap().cluster_ip = Some("None".into());
    let actions = plan(&service, groups(&service, &pods([1])), slices);
    let [Action::Update(slice)] = actions.as_slice() else { panic!("{actions:?}") };
    let labels = slice.metadata.labels.as_ref().unwrap();
    assert_eq!((labels["team"].as_str(), labels["service.kubernetes.io/headless"].as_str()), ("b", ""));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever Pods come and go, after each plan the slices hold exactly them, none more than fits, and a second
    /// plan is empty.
    #[test]
    fn slices_hold_what_is_wanted(rounds in prop::collection::vec(prop::collection::btree_set(0..300_usize, 0..260), 1..5)) {
        let (mut slices, mut next) = (Vec::new(), 0);
        for wanted in rounds {
            let groups = groups(&http(), &pods(wanted.iter().copied()));
            let actions = plan(&http(), groups.clone(), slices.clone());
            slices = applied(slices, actions, &mut next);
            let held: Vec<_> = slices.iter().flat_map(|slice| endpoints(slice).to_vec()).map(|endpoint| {
                endpoint.target_ref.unwrap().uid.unwrap()
            }).collect();
            let expected: BTreeSet<_> = wanted.iter().map(|number| format!("u{number}")).collect();
            prop_assert_eq!(held.len(), expected.len());
            prop_assert_eq!(held.into_iter().collect::<BTreeSet<_>>(), expected);
            prop_assert!(slices.iter().all(|slice| endpoints(slice).len() <= MAX_ENDPOINTS));
            prop_assert!(!slices.is_empty());
            prop_assert_eq!(plan(&http(), groups, slices.clone()), []);
        }
    }
}
