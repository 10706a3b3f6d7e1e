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
    let changes = world.take_changes().ports.into_iter();
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
    let mut world = World::new("here");
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
    let mut world = World::new("here");
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
    let mut world = World::new("here");
    world.record_service(&Event::Apply(service("a", 80)));
    world.record_service(&Event::Apply(service("b", 80)));
    world.record_slice(&Event::Apply(slice("s", "a", "10.244.0.1")));
    changes(&mut world);
    world.record_slice(&Event::Apply(slice("s", "b", "10.244.0.1")));
    assert_eq!(changes(&mut world), [change("a", &[]), change("b", &["10.244.0.1:8080"])]);
}

#[test]
fn what_a_new_list_does_not_name_is_gone() {
    let mut world = World::new("here");
    world.record_service(&Event::Apply(service("kept", 80)));
    world.record_service(&Event::Apply(service("gone", 80)));
    changes(&mut world);
    world.record_service(&Event::Init);
    world.record_service(&Event::InitApply(service("kept", 80)));
    world.record_service(&Event::InitDone);
    let left = world.take_changes().ports;
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
fn addresses_of_the_outside_are_those_that_packets_come_to() {
    let parse = |spec: serde_json::Value, annotations: serde_json::Value| {
        let object = json!({
            "metadata": {"name": "x", "annotations": annotations}, "spec": spec,
            "status": {"loadBalancer": {"ingress": [
                {"ip": "192.0.2.9", "ipMode": "Proxy"}, {"ip": "192.0.2.1", "ipMode": "VIP"}, {"ip": "192.0.2.2"},
                {"ip": "2001:db8::1"}, {"hostname": "example.org"},
            ]}},
        });
        Service::parse(&serde_json::from_value(object).unwrap()).unwrap()
    };
    let texts = |ips: &[std::net::IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>();
    let spec = |more: serde_json::Value| {
        let mut spec = json!({"type": "LoadBalancer", "clusterIP": "10.96.0.1", "externalIPs": ["192.0.2.7", "fd00::1"]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let open = parse(spec(json!({"healthCheckNodePort": 32000})), json!({}));
    assert_eq!(texts(&open.external_ips), ["192.0.2.7", "fd00::1"]);
    assert_eq!(texts(&open.balancer_ips), ["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    assert_eq!((open.sources, open.health_port), (None, Some(32000)));
    assert!(parse(spec(json!({"type": "NodePort"})), json!({})).balancer_ips.is_empty());

    let ranges = |service: Service| {
        service.sources.map(|ranges| ranges.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let listed = json!({"loadBalancerSourceRanges": ["10.1.0.0/16 ", "10.1.2.0/24", "fd00::/8"]});
    assert_eq!(ranges(parse(spec(listed), json!({}))).unwrap(), ["10.1.0.0/16", "fd00::/8"]);
    let annotation =
        json!({"service.beta.kubernetes.io/load-balancer-source-ranges": "10.2.0.0/16, 10.3.0.0/16"});
    assert_eq!(ranges(parse(spec(json!({})), annotation)).unwrap(), ["10.2.0.0/15"]);
    let empty = json!({"service.beta.kubernetes.io/load-balancer-source-ranges": " "});
    assert_eq!(ranges(parse(spec(json!({})), empty)), None);
}

#[test]
fn an_address_of_several_services_is_that_of_the_first_made() {
    let asking = |name: &str, day: u8, ip: &str| {
        let mut object = service(name, 80);
        object.metadata.creation_timestamp =
            serde_json::from_value(json!(format!("2026-01-0{day}T00:00:00Z"))).unwrap();
        object.spec.as_mut().unwrap().external_ips = Some(vec![ip.to_owned()]);
        Event::Apply(object)
    };
    // Which of the Services that changed have addresses.
    let changed = |world: &mut World| -> Vec<(String, bool)> {
        let changes = world.take_changes().ports.into_iter();
        changes.map(|(key, ports)| (key.name, !ports[0].external_ips.is_empty())).collect()
    };
    let has = |name: &str, has: bool| (name.to_owned(), has);
    let mut world = World::new("here");
    world.record_service(&asking("b", 2, "192.0.2.1"));
    assert_eq!(changed(&mut world), [has("b", true)]);
    world.record_service(&asking("c", 3, "192.0.2.1"));
    assert_eq!(changed(&mut world), [has("b", true), has("c", false)]);
    world.record_service(&asking("a", 1, "192.0.2.1"));
    assert_eq!(changed(&mut world), [has("a", true), has("b", false), has("c", false)]);
    world.record_service(&asking("a", 1, "192.0.2.2"));
    assert_eq!(changed(&mut world), [has("a", true), has("b", true), has("c", false)]);
}

#[test]
fn services_are_planned_anew_when_the_node_moves() {
    let mut world = World::new("here");
    world.record_service(&Event::Apply(service("web", 80)));
    let mut hinted = slice("s", "web", "10.244.0.1");
    let mut far = hinted.endpoints.as_ref().unwrap()[0].clone();
    far.addresses = vec!["10.244.1.1".to_owned()];
    let endpoints = hinted.endpoints.as_mut().unwrap();
    endpoints.push(far);
    for (endpoint, zone) in endpoints.iter_mut().zip(["north", "south"]) {
        endpoint.hints = serde_json::from_value(json!({"forZones": [{"name": zone}]})).unwrap();
    }
    world.record_slice(&Event::Apply(hinted));
    assert_eq!(changes(&mut world), [change("web", &["10.244.0.1:8080", "10.244.1.1:8080"])]);
    let node = |labels: serde_json::Value| -> core::Node {
        serde_json::from_value(json!({"metadata": {"name": "here", "labels": labels}})).unwrap()
    };
    world.record_node(&Event::Apply(node(json!({"topology.kubernetes.io/zone": "south"}))));
    assert_eq!(changes(&mut world), [change("web", &["10.244.1.1:8080"])]);
    world.record_node(&Event::Apply(node(json!({"topology.kubernetes.io/zone": "south", "other": "x"}))));
    assert!(changes(&mut world).is_empty());
}

#[test]
fn health_is_told_where_a_service_asks_for_it() {
    let mut world = World::new("here");
    let mut asking = service("web", 80);
    asking.spec.as_mut().unwrap().health_check_node_port = Some(32000);
    world.record_service(&Event::Apply(asking));
    world.record_service(&Event::Apply(service("other", 80)));
    let mut local = slice("s", "web", "10.244.0.1");
    local.endpoints.as_mut().unwrap()[0].node_name = Some("here".to_owned());
    world.record_slice(&Event::Apply(local));
    let health: Vec<_> = world.take_changes().health.into_values().collect();
    assert_eq!(health, [None, Some(Health { port: 32000, endpoints: 1 })]);
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
