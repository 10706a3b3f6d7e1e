//! Tests of what Endpoints are mirrored to.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn endpoints(subsets: &Value) -> Endpoints {
    let object = json!({
        "metadata": {
            "name": "db", "namespace": "ns", "uid": "e", "labels": {"team": "a"},
            "annotations": {"note": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
        },
        "subsets": subsets,
    });
    serde_json::from_value(object).unwrap()
}

fn subset(ready: &[&str], not_ready: &[&str], ports: &[i32]) -> Value {
    let ips = |ips: &[&str]| ips.iter().map(|ip| json!({ "ip": ip })).collect::<Vec<_>>();
    let ports: Vec<_> = ports
        .iter()
        .map(|port| json!({"name": format!("p{port}"), "port": port, "protocol": "TCP"}))
        .collect();
    json!({ "addresses": ips(ready), "notReadyAddresses": ips(not_ready), "ports": ports })
}

fn decide(endpoints: &Endpoints, found: &[EndpointSlice]) -> Vec<Action> {
    let found = found.iter().cloned().map(Arc::new).collect();
    plan(Some((endpoints, &Desired::of(endpoints))), found)
}

/// The slices that these Endpoints lead to where there are none.
fn mirrored(endpoints: &Endpoints) -> Vec<EndpointSlice> {
    let created = decide(endpoints, &[]).into_iter().enumerate().map(|(number, action)| {
        let Action::Create(mut slice) = action else { panic!("{action:?}") };
        slice.metadata.name = Some(format!("db-{number}"));
        *slice
    });
    created.collect()
}

/// What a slice says: family, ports, and addresses with `!` for those not ready.
fn shown(slice: &EndpointSlice) -> String {
    let ports: Vec<_> = slice.ports.iter().flatten().map(|port| port.port.unwrap().to_string()).collect();
    let mut addresses: Vec<_> = slice
        .endpoints
        .iter()
        .flatten()
        .map(|endpoint| {
            let ready = endpoint.conditions.as_ref().unwrap().ready.unwrap();
            format!("{}{}", endpoint.addresses[0], if ready { "" } else { "!" })
        })
        .collect();
    addresses.sort();
    format!("{} {} {}", slice.address_type, ports.join(","), addresses.join(","))
}

#[rstest]
#[case::nothing(json!([]), &[])]
#[case::no_addresses(json!([subset(&[], &[], &[80])]), &[])]
#[case::no_ports(json!([subset(&["10.0.0.1"], &[], &[])]), &["IPv4  10.0.0.1"])]
#[case::readiness(json!([subset(&["10.0.0.1"], &["10.0.0.2"], &[80])]), &["IPv4 80 10.0.0.1,10.0.0.2!"])]
#[case::two_families(json!([subset(&["10.0.0.1", "fd00::1"], &[], &[80])]), &["IPv4 80 10.0.0.1", "IPv6 80 fd00::1"])]
#[case::the_same_ports_twice(
    json!([subset(&["10.0.0.1"], &[], &[80]), subset(&["10.0.0.2"], &[], &[80])]),
    &["IPv4 80 10.0.0.1,10.0.0.2"]
)]
#[case::the_same_address_twice(
    json!([subset(&["10.0.0.1"], &[], &[80]), subset(&["10.0.0.1"], &[], &[81])]),
    &["IPv4 80,81 10.0.0.1"]
)]
#[case::not_ready_trumps(
    json!([subset(&["10.0.0.1"], &[], &[80]), subset(&[], &["10.0.0.1"], &[80])]),
    &["IPv4 80 10.0.0.1!"]
)]
#[case::no_address_at_all(json!([subset(&["none"], &[], &[80])]), &[])]
fn endpoints_become_slices(#[case] subsets: Value, #[case] expected: &[&str]) {
    let slices = mirrored(&endpoints(&subsets));
    assert_eq!(slices.iter().map(shown).collect::<Vec<_>>(), expected);
}

#[test]
fn a_slice_bears_what_its_endpoints_bear() {
    let slices = mirrored(&endpoints(&json!([subset(&["10.0.0.1"], &[], &[80])])));
    let metadata = &slices[0].metadata;
    let labels = metadata.labels.as_ref().unwrap();
    assert_eq!(labels["team"], "a");
    assert_eq!(labels["kubernetes.io/service-name"], "db");
    assert_eq!(labels["endpointslice.kubernetes.io/managed-by"], "endpointslicemirroring-controller.k8s.io");
    assert_eq!(metadata.annotations.as_ref().unwrap().keys().collect::<Vec<_>>(), ["note"]);
    assert_eq!(metadata.generate_name.as_deref(), Some("db-"));
    let owner = &metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!((owner.kind.as_str(), owner.uid.as_str()), ("Endpoints", "e"));
}

#[test]
fn no_second_write_and_one_for_each_change() {
    let before = endpoints(&json!([subset(&["10.0.0.1", "10.0.0.2"], &[], &[80])]));
    let slices = mirrored(&before);
    assert_eq!(decide(&before, &slices), []);
    let mut labelled = before.clone();
    labelled.metadata.labels.as_mut().unwrap().insert("team".into(), "b".into());
    let mut noted = before.clone();
    noted.metadata.annotations.as_mut().unwrap().insert("note".into(), "y".into());
    let fewer = endpoints(&json!([subset(&["10.0.0.2"], &[], &[80])]));
    let elsewhere = endpoints(&json!([subset(&["10.0.0.2"], &[], &[81])]));
    for changed in [labelled, noted, fewer, elsewhere] {
        let actions = decide(&changed, &slices);
        let [Action::Update(slice)] = actions.as_slice() else { panic!("{actions:?}") };
        assert_eq!(slice.metadata.name, slices[0].metadata.name);
        assert_eq!(decide(&changed, &[(**slice).clone()]), []);
    }
}

#[test]
fn what_is_not_mirrored_any_more_goes() {
    let slices = mirrored(&endpoints(&json!([subset(&["10.0.0.1"], &[], &[80])])));
    let gone = vec![Action::Delete(Arc::new(slices[0].clone()))];
    assert_eq!(decide(&endpoints(&json!([])), &slices), gone);
    assert_eq!(plan(None, vec![Arc::new(slices[0].clone())]), gone);
}

#[test]
fn too_many_addresses_are_left_out_and_counted() {
    let ips: Vec<_> = (0..1003).map(|number| format!("10.0.{}.{}", number / 250, number % 250)).collect();
    let mut ips: Vec<_> = ips.iter().map(String::as_str).collect();
    ips.push("!");
    let many = endpoints(&json!([subset(&ips, &[], &[80])]));
    let desired = Desired::of(&many);
    assert_eq!((desired.invalid, desired.skipped), (1, 4), "the one that is none comes first");
    assert_eq!(mirrored(&many)[0].endpoints.as_ref().unwrap().len(), 1000);
}
