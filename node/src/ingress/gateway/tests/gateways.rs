//! What classes, Gateways and their listeners are told.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const RESOLVED: (&str, &str) = ("True", "ResolvedRefs");

#[test]
fn gateway_class_observed_generation_bump() {
    let mut suite = Suite::new();
    let told = suite.told_of(Kind::GatewayClass, "wherry");
    assert_eq!(condition(&told["conditions"], "Accepted"), is("True", "Accepted"));
    assert_eq!(told["conditions"][0]["observedGeneration"], 3);
    let metadata = |generation| json!({"name": "wherry", "generation": generation});
    let spec = || json!({"controllerName": "wherry.io/gateway"});
    suite.add_with(Kind::GatewayClass, metadata(3), spec(), told.clone());
    assert_eq!(
        suite.told_of(Kind::GatewayClass, "wherry"),
        Value::Null,
        "what it was told is not told again"
    );
    suite.add_with(Kind::GatewayClass, metadata(4), spec(), told.clone());
    let again = suite.told_of(Kind::GatewayClass, "wherry");
    assert_eq!(again["conditions"][0]["observedGeneration"], 4);
    assert_eq!(again["conditions"][0]["lastTransitionTime"], told["conditions"][0]["lastTransitionTime"]);
    suite.add(Kind::GatewayClass, "", "other", json!({"controllerName": "example.com/other"}));
    assert_eq!(suite.told_of(Kind::GatewayClass, "other"), Value::Null);
}

#[test]
fn gateway_observed_generation_bump() {
    let suite = Suite::new();
    let told = suite.told_of(Kind::Gateway, "same");
    for kind in ["Accepted", "Programmed"] {
        assert_eq!(condition(&told["conditions"], kind), is("True", kind));
    }
    let all = told["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .chain(told["listeners"][0]["conditions"].as_array().unwrap());
    assert!(all.clone().count() == 6 && all.clone().all(|one| one["observedGeneration"] == 3), "{told}");
    assert_eq!(told["addresses"], json!([{"type": "IPAddress", "value": "192.0.2.1"}]));
}

#[test]
fn conditions_of_others_stay() {
    let mut suite = Suite::new();
    let told = suite.told_of(Kind::Gateway, "same");
    let mut status = told.clone();
    let other = json!({"type": "example.com/Cool", "status": "True", "reason": "Cool"});
    status["conditions"].as_array_mut().unwrap().push(other.clone());
    let listener = json!({"name": "http", "port": 80, "protocol": "HTTP"});
    let spec = json!({"gatewayClassName": "wherry", "listeners": [listener]});
    let metadata = json!({"name": "same", "namespace": "infra", "generation": 4});
    suite.add_with(Kind::Gateway, metadata, spec, status);
    let again = suite.told_of(Kind::Gateway, "same");
    assert!(again["conditions"].as_array().unwrap().contains(&other), "{again}");
}

#[rstest]
#[case(json!(["InvalidRoute"]), &[])]
#[case(json!(["InvalidRoute", "HTTPRoute"]), &["HTTPRoute"])]
fn gateway_invalid_route_kind(#[case] kinds: Value, #[case] supported: &[&str]) {
    let mut suite = Suite::new();
    let kinds: Vec<Value> = kinds.as_array().unwrap().iter().map(|kind| json!({"kind": kind})).collect();
    suite.gateway(
        "kinds",
        &[json!({"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"kinds": kinds}})],
    );
    let listener = &suite.told_of(Kind::Gateway, "kinds")["listeners"][0];
    assert_eq!(condition(&listener["conditions"], "ResolvedRefs"), is("False", "InvalidRouteKinds"));
    let named = |kind: &&str| json!({"group": "gateway.networking.k8s.io", "kind": kind});
    assert_eq!(listener["supportedKinds"], supported.iter().map(named).collect::<Value>());
}

#[rstest]
#[case(json!({"name": "missing"}))]
#[case(json!({"name": "tls", "group": "wrong.group"}))]
#[case(json!({"name": "tls", "kind": "WrongKind"}))]
#[case(json!({"name": "malformed"}))]
fn gateway_invalid_tls_configuration(#[case] reference: Value) {
    let mut suite = Suite::new();
    suite.secret("infra", "tls");
    let data = json!({"tls.crt": "eA==", "tls.key": "eA=="});
    let malformed = json!({"metadata": {"name": "malformed", "namespace": "infra"}, "data": data});
    suite.world.record_secret(&event::<Secret>(malformed), &rustls::crypto::ring::default_provider());
    assert_eq!(secure(&mut suite, reference), is("False", "InvalidCertificateRef"));
}

/// What is told of the references of a listener with this certificate.
fn secure(suite: &mut Suite, reference: Value) -> (String, String) {
    let tls = json!({"certificateRefs": [reference]});
    suite.gateway("secure", &[json!({"name": "https", "port": 443, "protocol": "HTTPS", "tls": tls})]);
    let told = suite.told_of(Kind::Gateway, "secure");
    let resolved = condition(&told["listeners"][0]["conditions"], "ResolvedRefs");
    let programmed = condition(&told["listeners"][0]["conditions"], "Programmed");
    assert_eq!(resolved.0, programmed.0, "{told}");
    resolved
}

fn gateways(namespace: &str) -> Value {
    json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": namespace})
}

fn secrets(name: Option<&str>) -> Value {
    json!({"group": "", "kind": "Secret", "name": name})
}

#[rstest]
#[case::missing(None, ("False", "RefNotPermitted"))]
#[case::all_in_namespace(Some(("web", gateways("infra"), secrets(None))), RESOLVED)]
#[case::specific(Some(("web", gateways("infra"), secrets(Some("tls")))), RESOLVED)]
#[case::invalid_name(Some(("web", gateways("infra"), secrets(Some("not-tls")))), ("False", "RefNotPermitted"))]
#[case::invalid_from(Some(("web", gateways("app"), secrets(None))), ("False", "RefNotPermitted"))]
#[case::invalid_to(Some(("web", gateways("infra"), json!({"group": "", "kind": "ConfigMap"}))), ("False", "RefNotPermitted"))]
#[case::invalid_namespace(Some(("app", gateways("infra"), secrets(None))), ("False", "RefNotPermitted"))]
fn gateway_secret_reference_grant(
    #[case] grant: Option<(&str, Value, Value)>,
    #[case] expected: (&str, &str),
) {
    let mut suite = Suite::new();
    suite.secret("web", "tls");
    if let Some((namespace, from, to)) = grant {
        suite.grant(namespace, "grant", from, to);
    }
    let told = secure(&mut suite, json!({"name": "tls", "namespace": "web"}));
    assert_eq!(told, is(expected.0, expected.1));
}

#[test]
fn gateway_with_attached_routes() {
    let mut suite = Suite::new();
    let attached =
        |suite: &Suite| suite.told_of(Kind::Gateway, "same")["listeners"][0]["attachedRoutes"].clone();
    assert_eq!(attached(&suite), 0);
    suite.route("one", "same", json!([{"backendRefs": [to("v1")]}]));
    assert_eq!(attached(&suite), 1);
    // One whose references lead nowhere is attached all the same.
    suite.route("two", "same", json!([{"backendRefs": [to("missing")]}]));
    assert_eq!(attached(&suite), 2);
    // So is one of a listener that cannot be served.
    let tls = json!({"certificateRefs": [{"name": "missing"}]});
    suite.gateway("unresolved", &[json!({"name": "tls", "port": 443, "protocol": "HTTPS", "tls": tls})]);
    suite.route("three", "unresolved", json!([{"backendRefs": [to("v1")]}]));
    let listener = &suite.told_of(Kind::Gateway, "unresolved")["listeners"][0];
    assert_eq!(listener["attachedRoutes"], 1);
    assert_eq!(condition(&listener["conditions"], "Programmed"), is("False", "Invalid"));
}

#[test]
fn gateway_modify_listeners() {
    let mut suite = Suite::new();
    let listener = |name: &str, port: u16| json!({"name": name, "port": port, "protocol": "HTTP"});
    let names = |suite: &Suite| {
        let told = suite.told_of(Kind::Gateway, "same");
        let listeners = told["listeners"].as_array().unwrap().iter();
        listeners.map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    suite.gateway("same", &[listener("http", 80), listener("more", 8080)]);
    assert_eq!(names(&suite), ["http", "more"]);
    suite.gateway("same", &[listener("more", 8080)]);
    assert_eq!(names(&suite), ["more"]);
}

#[rstest]
#[case(json!({"port": 9000, "protocol": "UDP"}), "Accepted", "UnsupportedProtocol")]
#[case(json!({"port": 9000, "protocol": "TLS", "tls": {"mode": "Passthrough"}}), "Accepted", "UnsupportedProtocol")]
#[case(json!({"port": 80, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "tls"}]}}), "Conflicted", "ProtocolConflict")]
fn listeners_that_cannot_be(#[case] listener: Value, #[case] kind: &str, #[case] reason: &str) {
    let mut suite = Suite::new();
    suite.secret("infra", "tls");
    let mut listener = listener;
    listener["name"] = json!("bad");
    suite.gateway("zbad", &[json!({"name": "good", "port": 80, "protocol": "HTTP"}), listener]);
    let told = suite.told_of(Kind::Gateway, "zbad");
    let bad = &told["listeners"][1]["conditions"];
    let status = if kind == "Conflicted" { "True" } else { "False" };
    assert_eq!(condition(bad, kind), is(status, reason));
    assert_eq!(condition(bad, "Programmed"), is("False", "Invalid"));
    assert_eq!(condition(&told["conditions"], "Accepted"), is("True", "ListenersNotValid"));
    assert_eq!(condition(&told["conditions"], "Programmed"), is("True", "Programmed"));
}

#[test]
fn a_port_that_is_taken_is_told() {
    let suite = Suite::new();
    let failed = BTreeMap::from([(80, "cannot listen on 127.0.0.1:80: taken".to_owned())]);
    let mut told = suite.told_with(&failed);
    let told = told.remove(&("Gateway".to_owned(), "same".to_owned())).unwrap();
    assert_eq!(condition(&told["listeners"][0]["conditions"], "Accepted"), is("False", "PortUnavailable"));
    assert_eq!(condition(&told["conditions"], "Programmed"), is("False", "Invalid"));
}

#[rstest]
#[case(json!([{"type": "IPAddress"}]), ("True", "Accepted"), ("True", "Programmed"))]
#[case(json!([{"value": "192.0.2.1"}]), ("True", "Accepted"), ("True", "Programmed"))]
#[case(json!([{"value": "192.0.2.2"}]), ("True", "Accepted"), ("False", "AddressNotUsable"))]
#[case(json!([{"type": "test/fake", "value": "x"}]), ("False", "UnsupportedAddress"), ("False", "Invalid"))]
fn gateway_optional_address_value(
    #[case] addresses: Value,
    #[case] accepted: (&str, &str),
    #[case] programmed: (&str, &str),
) {
    let mut suite = Suite::new();
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    let spec = json!({"gatewayClassName": "wherry", "addresses": addresses, "listeners": listeners});
    suite.add(Kind::Gateway, "infra", "placed", spec);
    let told = suite.told_of(Kind::Gateway, "placed");
    assert_eq!(condition(&told["conditions"], "Accepted"), is(accepted.0, accepted.1));
    assert_eq!(condition(&told["conditions"], "Programmed"), is(programmed.0, programmed.1));
}

#[test]
fn gateway_invalid_parameters_ref() {
    let mut suite = Suite::new();
    let parameters = json!({"parametersRef": {"group": "", "kind": "ConfigMap", "name": "missing"}});
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    let spec = json!({"gatewayClassName": "wherry", "infrastructure": parameters, "listeners": listeners});
    suite.add(Kind::Gateway, "infra", "odd", spec);
    suite.route("route", "odd", json!([{"backendRefs": [to("v1")]}]));
    let told = suite.told_of(Kind::Gateway, "odd");
    assert_eq!(condition(&told["conditions"], "Accepted"), is("False", "InvalidParameters"));
    assert_eq!(suite.who("GET a.example/"), "Nothing");
}
