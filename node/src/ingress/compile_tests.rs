//! What objects come to be served as.

use http::Request;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::runtime::watcher::Event;
use rstest::rstest;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wherry_ingress::{Action, Certificate, Protocol, Site};

use super::compile;
use super::problems::problems;
use super::status::{self, Address, Write, plan};
use super::world::World;

fn object<K: DeserializeOwned>(value: Value) -> Event<K> {
    Event::Apply(serde_json::from_value(value).unwrap())
}

fn ingress(name: &str, created: u32, spec: Value) -> Event<Ingress> {
    let created = format!("2026-01-01T00:00:{created:02}Z");
    let metadata =
        json!({"name": name, "namespace": "shop", "creationTimestamp": created, "resourceVersion": "7"});
    object(json!({"metadata": metadata, "spec": spec}))
}

fn rules(host: &str, path: &str, backend: Value) -> Value {
    let path = json!({"path": path, "pathType": "Prefix", "backend": backend});
    json!({"ingressClassName": "wherry", "rules": [{"host": host, "http": {"paths": [path]}}]})
}

fn to(service: &str, port: Value) -> Value {
    json!({"service": {"name": service, "port": port}})
}

/// The class, and a Service of two ports with three endpoints, one of which is not ready and one is about to end.
fn world() -> World {
    let mut world = World::default();
    world.record_class(&object::<IngressClass>(
        json!({"metadata": {"name": "wherry"}, "spec": {"controller": "wherry.io/ingress"}}),
    ));
    world.record_class(&object::<IngressClass>(
        json!({"metadata": {"name": "other"}, "spec": {"controller": "example.com/other"}}),
    ));
    let ports = json!([
        {"name": "web", "port": 80}, {"name": "rpc", "port": 90, "appProtocol": "kubernetes.io/h2c"},
        {"name": "names", "port": 53, "protocol": "UDP"}, {"name": "safe", "port": 443, "appProtocol": "https"},
    ]);
    let service = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"ports": ports}});
    world.record_service(&object::<Service>(service));
    let endpoint = |ip: &str, conditions: Value| json!({"addresses": [ip], "conditions": conditions});
    world.record_slice(&slice(json!([
        endpoint("10.0.0.1", json!({"ready": true})),
        endpoint("10.0.0.2", json!({"ready": false})),
        endpoint("10.0.0.3", json!({"ready": false, "serving": true, "terminating": true})),
    ])));
    world
}

fn slice(endpoints: Value) -> Event<EndpointSlice> {
    let labels = json!({"kubernetes.io/service-name": "web"});
    object(json!({
        "metadata": {"name": "web-1", "namespace": "shop", "labels": labels}, "addressType": "IPv4",
        "endpoints": endpoints, "ports": [{"name": "web", "port": 8080}, {"name": "rpc", "port": 9090}],
    }))
}

fn certificate() -> Certificate {
    let (chain, key) = pem();
    let provider = rustls::crypto::ring::default_provider();
    Certificate::from_pem(chain.as_bytes(), key.as_bytes(), &provider).unwrap()
}

fn pem() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn compile(world: &World, other: &Certificate) -> Site {
    compile::compile(world).into_site(other)
}

/// Whose rule a request meets, and which endpoints it may go to.
fn met(site: &Site, host: &str, path: &str) -> Option<(String, Vec<String>)> {
    let (head, ()) = Request::get(path).body(()).unwrap().into_parts();
    let rule = site.table.find(host, &head)?;
    let endpoints = match &rule.action {
        Action::Forward(forward) => {
            forward.backends.iter().flat_map(|(_, it)| &it.endpoints).map(ToString::to_string).collect()
        }
        Action::Redirect(_) => panic!("no Ingress leads elsewhere"),
        Action::Answer(status) => vec![status.to_string()],
    };
    Some((rule.name.to_string(), endpoints))
}

fn of(name: &str, endpoints: &[&str]) -> (String, Vec<String>) {
    (name.to_owned(), endpoints.iter().map(|it| (*it).to_owned()).collect())
}

#[rstest]
#[case(to("web", json!({"number": 80})), &["10.0.0.1:8080"])]
#[case(to("web", json!({"name": "rpc"})), &["10.0.0.1:9090"])]
#[case(to("web", json!({"number": 53})), &[])]
#[case(to("web", json!({"number": 81})), &[])]
#[case(to("nobody", json!({"number": 80})), &[])]
#[case(json!({"resource": {"kind": "Bucket", "name": "b"}}), &["503 Service Unavailable"])]
fn a_path_leads_to_the_ready_endpoints_of_a_port(#[case] backend: Value, #[case] expected: &[&str]) {
    let mut world = world();
    world.record_ingress(&ingress("a", 1, rules("a.example", "/x", backend)));
    let site = compile(&world, &certificate());
    assert_eq!(met(&site, "a.example", "/x/y"), Some(of("shop/a", expected)));
    assert_eq!(met(&site, "b.example", "/x/y"), None);
}

#[test]
fn endpoints_that_are_about_to_end_serve_where_no_other_does() {
    let mut world = world();
    world.record_ingress(&ingress("a", 1, rules("", "/", to("web", json!({"number": 80})))));
    world.record_slice(&slice(json!([
        {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
        {"addresses": ["10.0.0.3"], "conditions": {"ready": false, "serving": true, "terminating": true}},
    ])));
    let site = compile(&world, &certificate());
    assert_eq!(met(&site, "any.example", "/"), Some(of("shop/a", &["10.0.0.3:8080"])));
}

#[test]
fn ports_say_what_endpoints_speak() {
    let mut world = world();
    for (port, protocol) in [("web", Protocol::Http1), ("rpc", Protocol::Http2), ("safe", Protocol::Https)] {
        world.record_ingress(&ingress("a", 1, rules("", "/", to("web", json!({"name": port})))));
        let site = compile(&world, &certificate());
        let Action::Forward(forward) = &site.table.rules()[0].action else { panic!("it leads somewhere") };
        assert_eq!(forward.backends[0].1.protocol, protocol, "{port}");
    }
}

#[test]
fn of_two_ingresses_the_older_counts_and_defaults_come_last() {
    let mut world = world();
    let backend = || to("web", json!({"number": 80}));
    let mut young = rules("", "/", backend());
    young["defaultBackend"] = backend();
    world.record_ingress(&ingress("b-older", 1, rules("a.example", "/x", backend())));
    world.record_ingress(&ingress("a-young", 2, rules("a.example", "/x", backend())));
    world.record_ingress(&ingress(
        "default",
        0,
        json!({"ingressClassName": "wherry", "defaultBackend": backend()}),
    ));
    let whose = |world: &World, host, path| met(&compile(world, &certificate()), host, path).unwrap().0;
    assert_eq!(whose(&world, "a.example", "/x"), "shop/b-older");
    assert_eq!(whose(&world, "a.example", "/y"), "shop/default");
    world.record_ingress(&ingress("all", 3, young));
    assert_eq!(whose(&world, "z.example", "/"), "shop/all");
}

#[test]
fn only_ingresses_of_its_class_are_served() {
    let mut world = world();
    let mut spec = rules("", "/", to("web", json!({"number": 80})));
    for class in [json!("other"), json!("unknown"), Value::Null] {
        spec["ingressClassName"] = class;
        world.record_ingress(&ingress("a", 1, spec.clone()));
        assert!(compile(&world, &certificate()).table.rules().is_empty(), "{spec}");
    }
    spec["ingressClassName"] = Value::Null;
    let annotations = json!({"kubernetes.io/ingress.class": "wherry"});
    let metadata = json!({"name": "a", "namespace": "shop", "annotations": annotations});
    world.record_ingress(&object::<Ingress>(json!({"metadata": metadata, "spec": spec})));
    assert_eq!(compile(&world, &certificate()).table.rules().len(), 1);
}

#[test]
fn hosts_are_shown_the_certificates_of_secrets() {
    let mut world = world();
    let (chain, key) = pem();
    let data = |text: &str| k8s_openapi::ByteString(text.as_bytes().to_vec());
    let mut secret = Secret::default();
    secret.metadata.name = Some("tls".to_owned());
    secret.metadata.namespace = Some("shop".to_owned());
    secret.data = Some([("tls.crt".to_owned(), data(&chain)), ("tls.key".to_owned(), data(&key))].into());
    world.record_secret(&Event::Apply(secret), &rustls::crypto::ring::default_provider());
    let mut spec = rules("of-rule.example", "/", to("web", json!({"number": 80})));
    spec["tls"] = json!([{"hosts": ["named.example", "*.wild.example"], "secretName": "tls"}]);
    world.record_ingress(&ingress("a", 1, spec.clone()));
    let own = certificate();
    let is_own = |world: &World, name: &str| {
        let shown = compile(world, &own).certificates;
        let of = |name| format!("{:p}", shown.find(name).unwrap());
        of(Some(name)) == of(None)
    };
    assert!(!is_own(&world, "named.example") && !is_own(&world, "x.wild.example"));
    assert!(is_own(&world, "of-rule.example") && is_own(&world, "wild.example"));
    spec["tls"] = json!([{"secretName": "tls"}]);
    world.record_ingress(&ingress("a", 1, spec.clone()));
    assert!(!is_own(&world, "of-rule.example") && is_own(&world, "named.example"));
    spec["tls"] = json!([{"hosts": ["named.example"], "secretName": "missing"}]);
    world.record_ingress(&ingress("a", 1, spec));
    assert!(is_own(&world, "named.example"));
}

fn told(mut spec: Value, addresses: &[Address]) -> Vec<Vec<String>> {
    let mut world = world();
    let status = json!({"loadBalancer": {"ingress": addresses}});
    let metadata = json!({"name": "a", "namespace": "shop", "resourceVersion": "7"});
    spec["defaultBackend"] = to("web", json!({"number": 80}));
    world.record_ingress(&object::<Ingress>(json!({"metadata": metadata, "spec": spec, "status": status})));
    let doors = ["127.0.0.1:80".parse().unwrap(), "0.0.0.0:443".parse().unwrap()];
    let own = status::addresses(doors.into_iter(), "192.0.2.1".parse().unwrap());
    let ips = |addresses: Vec<Address>| addresses.into_iter().filter_map(|address| address.ip).collect();
    let told = |write: Write| write.status["loadBalancer"]["ingress"].clone();
    plan(&world, &own).into_iter().map(|write| ips(serde_json::from_value(told(write)).unwrap())).collect()
}

#[test]
fn an_ingress_is_told_where_it_is_served() {
    let address = |ip: &str, port: i32| -> Address {
        serde_json::from_value(json!({"ip": ip, "ports": [{"port": port, "protocol": "TCP"}]})).unwrap()
    };
    let (ours, others) = (json!({"ingressClassName": "wherry"}), json!({"ingressClassName": "other"}));
    let own = [address("127.0.0.1", 80), address("192.0.2.1", 443)];
    let another = address("192.0.2.9", 80);
    assert_eq!(told(ours.clone(), &[]), [["127.0.0.1", "192.0.2.1"]]);
    assert_eq!(
        told(ours.clone(), &[own[1].clone(), another.clone(), own[0].clone()]),
        Vec::<Vec<String>>::new()
    );
    assert_eq!(
        told(ours, &[another.clone(), address("127.0.0.1", 81)]),
        [["192.0.2.9", "127.0.0.1", "192.0.2.1"]]
    );
    assert_eq!(told(others.clone(), &[own[0].clone(), another.clone()]), [["192.0.2.9"]]);
    assert_eq!(told(others, &[another]), Vec::<Vec<String>>::new());
}

#[rstest]
#[case(to("web", json!({"number": 80})), None)]
#[case(to("web", json!({"number": 53})), Some("Service shop/web has no TCP port 53"))]
#[case(to("web", json!({"name": "other"})), Some("Service shop/web has no TCP port other"))]
#[case(to("nobody", json!({"number": 80})), Some("there is no Service shop/nobody"))]
#[case(to("away", json!({"number": 80})), Some("Service shop/away is of type ExternalName, which is not followed"))]
#[case(json!({"resource": {"kind": "Bucket", "name": "b"}}), Some("a backend is a resource, and only Services are served"))]
fn what_leads_nowhere_is_a_problem_of_its_ingress(#[case] backend: Value, #[case] expected: Option<&str>) {
    let mut world = world();
    let away = json!({"type": "ExternalName", "externalName": "a.example", "ports": [{"port": 80}]});
    world.record_service(&object::<Service>(
        json!({"metadata": {"name": "away", "namespace": "shop"}, "spec": away}),
    ));
    world.record_ingress(&ingress("a", 1, rules("a.example", "/", backend)));
    let found: Vec<_> = problems(&world).into_iter().map(|problem| problem.message).collect();
    assert_eq!(found, Vec::from_iter(expected.map(str::to_owned)));
}
