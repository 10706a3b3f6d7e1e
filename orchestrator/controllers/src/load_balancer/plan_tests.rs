//! Who gets which ports of which nodes.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A Service of type LoadBalancer that is `age` days old and has these ports.
fn service(name: &str, age: u8, ports: &[i32], more: &Value) -> Service {
    let ports: Vec<_> = ports.iter().map(|port| json!({ "port": port, "protocol": "TCP" })).collect();
    let mut object = json!({
        "metadata": {
            "namespace": "ns", "name": name, "uid": name, "creationTimestamp": format!("2026-01-{:02}T00:00:00Z", 28 - age),
        },
        "spec": { "type": "LoadBalancer", "ports": ports },
    });
    object["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(object).unwrap()
}

fn with_addresses(mut service: Service, addresses: &[&str]) -> Service {
    let ingress: Vec<_> = addresses.iter().map(|ip| json!({ "ip": ip })).collect();
    service.status = serde_json::from_value(json!({ "loadBalancer": { "ingress": ingress } })).unwrap();
    service
}

fn places() -> Vec<Place> {
    let place = |number: u8| Place {
        node: format!("node-{number}"),
        addresses: vec![[192, 0, 2, number].into()],
        taken: BTreeMap::new(),
    };
    vec![place(1), place(2)]
}

/// What is said of each Service: its addresses by the last number, or the problem.
fn verdicts(services: Vec<Service>, places: &[Place]) -> Vec<(String, String)> {
    let services: Vec<_> = services.into_iter().map(Arc::new).collect();
    let here = |_: &Service| BTreeSet::from(["node-2".to_owned()]);
    let mut said: Vec<_> = plan(&services, places, here)
        .into_iter()
        .map(|(service, verdict)| {
            let numbers: Vec<_> = verdict.addresses.iter().filter_map(|ip| ip.rsplit('.').next()).collect();
            let text = verdict.problem.clone().unwrap_or_else(|| numbers.join(" "));
            (service.metadata.name.clone().unwrap(), text)
        })
        .collect();
    said.sort();
    said
}

fn said(texts: &[(&str, &str)]) -> Vec<(String, String)> {
    texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn none() -> Value {
    json!({})
}

#[test]
fn every_node_or_those_with_endpoints() {
    let services = vec![
        service("all", 1, &[80], &none()),
        service("local", 1, &[81], &json!({ "externalTrafficPolicy": "Local" })),
        service("named", 1, &[82], &json!({ "loadBalancerClass": "wherry" })),
        service("others", 1, &[80], &json!({ "loadBalancerClass": "example.com/other" })),
    ];
    assert_eq!(verdicts(services, &places()), said(&[("all", "1 2"), ("local", "2"), ("named", "1 2")]));
}

#[test]
fn a_service_is_reached_at_the_addresses_of_its_families() {
    let mut places = places();
    places[0].addresses.push("2001:db8::1".parse().unwrap());
    let of = |families: &[&str]| {
        let service = Arc::new(service("web", 1, &[80], &json!({ "ipFamilies": families })));
        plan(&[service], &places, |_| BTreeSet::new()).remove(0).1.addresses
    };
    assert_eq!(of(&["IPv4"]), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(of(&["IPv6"]), ["2001:db8::1"]);
    assert_eq!(of(&["IPv4", "IPv6"]), ["192.0.2.1", "2001:db8::1", "192.0.2.2"]);
}

#[test]
fn a_port_is_led_to_one_service() {
    let web = service("web", 3, &[80, 443], &none());
    let late = service("late", 1, &[443], &none());
    let free = service("free", 2, &[8080], &none());
    let problem = "port 443/TCP leads to the Service ns/web: choose another port, or remove it there";
    let all = vec![late.clone(), web.clone(), free];
    assert_eq!(verdicts(all, &places()), said(&[("free", "1 2"), ("late", problem), ("web", "1 2")]));
    // Whoever has the port keeps it, whatever its age.
    let problem = "port 443/TCP leads to the Service ns/late: choose another port, or remove it there";
    let all = vec![with_addresses(late, &["192.0.2.1"]), web];
    assert_eq!(verdicts(all, &places()), said(&[("late", "1 2"), ("web", problem)]));
}

#[test]
fn a_service_that_has_no_ports_holds_none() {
    let services = vec![
        service("a", 3, &[80], &none()),
        service("b", 2, &[80, 81], &none()),
        service("c", 1, &[81], &none()),
    ];
    assert_eq!(verdicts(services, &places())[2], said(&[("c", "1 2")])[0]);
}

#[test]
fn node_ports_stay_node_ports() {
    let ports = json!([{ "port": 1, "protocol": "TCP", "nodePort": 30080 }]);
    let with_node_port = service("node-port", 1, &[], &json!({ "type": "NodePort", "ports": ports }));
    let problem = "port 30080/TCP leads to the Service ns/node-port: choose another port, or remove it there";
    let balanced = service("balanced", 2, &[30080], &none());
    assert_eq!(verdicts(vec![with_node_port, balanced], &places()), said(&[("balanced", problem)]));
    let own = json!([{ "port": 30081, "protocol": "TCP", "nodePort": 30081 }]);
    let own = service("own", 1, &[], &json!({ "ports": own }));
    assert_eq!(verdicts(vec![own], &places()), said(&[("own", "1 2")]));
}

#[test]
fn nodes_whose_ports_lead_elsewhere_are_left_out() {
    let mut places = places();
    places[0].taken.insert(("TCP".to_owned(), 80), "the Pod ns/ingress".to_owned());
    let web = || vec![service("web", 1, &[80], &none())];
    assert_eq!(verdicts(web(), &places), said(&[("web", "2")]));
    places[1].taken.insert(("TCP".to_owned(), 80), "the API server".to_owned());
    let problem = "port 80/TCP of the node node-1 leads to the Pod ns/ingress";
    assert_eq!(verdicts(web(), &places), said(&[("web", problem)]));
    assert_eq!(verdicts(web(), &[]), said(&[("web", "")]));
}

#[test]
fn a_service_of_another_type_loses_its_addresses() {
    let former = service("former", 1, &[80], &json!({ "type": "ClusterIP" }));
    assert_eq!(verdicts(vec![former.clone()], &places()), []);
    assert_eq!(verdicts(vec![with_addresses(former, &["192.0.2.1"])], &places()), said(&[("former", "")]));
}

proptest! {
    /// Whatever is asked for: nobody shares a port, and once told, nothing changes.
    #[test]
    fn ports_are_not_shared_and_verdicts_last(
        wishes in prop::collection::vec((prop::collection::btree_set(80..85, 1..3), 1u8..20), 0..8)
    ) {
        let ask = |(at, (ports, age)): (usize, &(BTreeSet<i32>, u8))| {
            let ports: Vec<i32> = ports.iter().copied().collect();
            service(&format!("s{at}"), *age, &ports, &none())
        };
        let services: Vec<_> = wishes.iter().enumerate().map(ask).map(Arc::new).collect();
        let first = plan(&services, &places(), |_| BTreeSet::new());
        let mut open = BTreeSet::new();
        for (service, _) in first.iter().filter(|(_, verdict)| !verdict.addresses.is_empty()) {
            for front in fronts(service) {
                prop_assert!(open.insert(front.clone()), "{front:?} leads to two");
            }
        }
        let told: Vec<_> = first
            .iter()
            .map(|(service, verdict)| {
                let addresses: Vec<_> = verdict.addresses.iter().map(String::as_str).collect();
                Arc::new(with_addresses((**service).clone(), &addresses))
            })
            .collect();
        let mut again = plan(&told, &places(), |_| BTreeSet::new());
        let mut first = first;
        for verdicts in [&mut first, &mut again] {
            verdicts.sort_by_key(|(service, _)| service.metadata.name.clone());
        }
        let only = |verdicts: Vec<(Arc<Service>, Verdict)>| -> Vec<_> {
            verdicts.into_iter().map(|(_, verdict)| verdict.addresses).collect()
        };
        prop_assert_eq!(only(first), only(again));
    }
}
