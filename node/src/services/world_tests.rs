//! From watch events to changed Services.

use serde_json::json;

use super::*;

fn service(name: &str, port: u16) -> core::Service {
    serde_json::from_value(json!({
        "metadata": {"namespace": "default", "name": name},
        "spec": {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [{"name": "http", "port": port}]},
    }))
    .unwrap()
}

fn slice(name: &str, service: &str, ip: &str) -> discovery::EndpointSlice {
    serde_json::from_value(json!({
        "metadata": {"namespace": "default", "name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": [ip], "conditions": {"ready": true}}],
    }))
    .unwrap()
}

/// The changed Services and the endpoints of their first port.
fn changes(world: &mut World) -> Vec<(String, Vec<String>)> {
    let changes = world.take_changes("here").into_iter();
    let backends = |ports: &[ServicePort]| -> Vec<String> {
        ports.iter().flat_map(|port| port.cluster.iter().map(ToString::to_string)).collect()
    };
    changes.map(|(key, ports)| (key.to_string(), backends(&ports))).collect()
}

fn change(name: &str, backends: &[&str]) -> (String, Vec<String>) {
    (format!("default/{name}"), backends.iter().map(ToString::to_string).collect())
}

#[test]
fn it_is_complete_when_both_lists_are() {
    let mut world = World::default();
    world.record_service(&Event::Init);
    world.record_service(&Event::InitApply(service("web", 80)));
    world.record_service(&Event::InitDone);
    assert!(!world.complete());
    world.record_slice(&Event::Init);
    assert!(!world.complete());
    world.record_slice(&Event::InitDone);
    assert!(world.complete());
    assert_eq!(changes(&mut world), [change("web", &[])]);
}

#[test]
fn only_services_that_changed_are_planned() {
    let mut world = World::default();
    world.record_service(&Event::Apply(service("web", 80)));
    world.record_service(&Event::Apply(service("other", 80)));
    world.record_slice(&Event::Apply(slice("web-1", "web", "10.244.0.1")));
    assert_eq!(changes(&mut world), [change("other", &[]), change("web", &["10.244.0.1:8080"])]);
    assert!(changes(&mut world).is_empty());

    world.record_slice(&Event::Apply(slice("web-1", "web", "10.244.0.1")));
    assert!(changes(&mut world).is_empty(), "nothing changed");

    world.record_slice(&Event::Apply(slice("web-2", "web", "10.244.0.2")));
    assert_eq!(changes(&mut world), [change("web", &["10.244.0.1:8080", "10.244.0.2:8080"])]);
    world.record_slice(&Event::Delete(slice("web-1", "web", "10.244.0.1")));
    assert_eq!(changes(&mut world), [change("web", &["10.244.0.2:8080"])]);
    world.record_service(&Event::Delete(service("web", 80)));
    assert_eq!(changes(&mut world), [change("web", &[])]);
}

#[test]
fn a_slice_may_move_to_another_service() {
    let mut world = World::default();
    world.record_service(&Event::Apply(service("a", 80)));
    world.record_service(&Event::Apply(service("b", 80)));
    world.record_slice(&Event::Apply(slice("s", "a", "10.244.0.1")));
    changes(&mut world);
    world.record_slice(&Event::Apply(slice("s", "b", "10.244.0.1")));
    assert_eq!(changes(&mut world), [change("a", &[]), change("b", &["10.244.0.1:8080"])]);
}

#[test]
fn what_a_new_list_does_not_name_is_gone() {
    let mut world = World::default();
    world.record_service(&Event::Apply(service("kept", 80)));
    world.record_service(&Event::Apply(service("gone", 80)));
    changes(&mut world);
    world.record_service(&Event::Init);
    world.record_service(&Event::InitApply(service("kept", 80)));
    world.record_service(&Event::InitDone);
    let left = world.take_changes("here");
    assert_eq!(left.keys().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["gone"]);
    assert!(left.values().all(Vec::is_empty));
}

#[test]
fn objects_without_an_address_to_serve_are_left_out() {
    let parse = |spec: serde_json::Value| {
        Service::parse(&serde_json::from_value(json!({"metadata": {"name": "x"}, "spec": spec})).unwrap())
    };
    assert_eq!(parse(json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 80}]})), None);
    assert_eq!(parse(json!({"type": "ExternalName", "externalName": "example.org"})), None);
    assert_eq!(parse(json!({"ports": [{"port": 80}]})), None);
    let sctp =
        parse(json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80, "protocol": "SCTP"}, {"port": 81}]}));
    assert_eq!(sctp.unwrap().ports.len(), 1);
    let sticky = parse(json!({"clusterIP": "10.96.0.1", "sessionAffinity": "ClientIP"}));
    assert_eq!(sticky.unwrap().affinity, Some(10_800));
}

#[test]
fn conditions_that_are_not_told_have_their_defaults() {
    let parse = |conditions: serde_json::Value| {
        let mut object = slice("s", "web", "10.244.0.1");
        object.endpoints.as_mut().unwrap()[0].conditions = serde_json::from_value(conditions).unwrap();
        let endpoint = Slice::parse(&object).unwrap().endpoints.remove(0);
        (endpoint.ready, endpoint.winding_down)
    };
    assert_eq!(parse(json!(null)), (true, false));
    assert_eq!(parse(json!({"ready": false})), (false, false));
    assert_eq!(parse(json!({"ready": false, "serving": true, "terminating": true})), (false, true));
    assert_eq!(parse(json!({"ready": false, "serving": false, "terminating": true})), (false, false));
}
