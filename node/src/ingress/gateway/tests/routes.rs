//! What routes are told.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn parent(told: &Value) -> &Value {
    assert_eq!(told["parents"].as_array().map(Vec::len), Some(1), "{told}");
    &told["parents"][0]["conditions"]
}

/// What a route of `infra` with this backend and this parent is told.
fn route_is_told(suite: &mut Suite, parents: Value, backend: Value) -> Value {
    suite.add(
        Kind::HttpRoute,
        "infra",
        "route",
        json!({"parentRefs": [parents], "rules": [{"backendRefs": [backend]}]}),
    );
    suite.told_of(Kind::HttpRoute, "route")
}

#[rstest]
#[case::not_matching_section_name(json!({"name": "same", "sectionName": "other"}), "NoMatchingParent")]
#[case::not_matching_listener_port(json!({"name": "same", "port": 81}), "NoMatchingParent")]
#[case::section_name_not_matching_port(json!({"name": "same", "sectionName": "http", "port": 81}), "NoMatchingParent")]
fn http_route_invalid_parent_ref(#[case] parent_ref: Value, #[case] reason: &str) {
    let mut suite = Suite::new();
    let told = route_is_told(&mut suite, parent_ref.clone(), to("v1"));
    assert_eq!(condition(parent(&told), "Accepted"), is("False", reason));
    assert_eq!(told["parents"][0]["parentRef"], parent_ref);
    assert_eq!(suite.who("GET a.example/"), "Nothing");
}

#[test]
fn http_route_invalid_cross_namespace_parent_ref() {
    let mut suite = Suite::new();
    let parents = json!([{"name": "same", "namespace": "infra"}]);
    suite.add(
        Kind::HttpRoute,
        "web",
        "route",
        json!({"parentRefs": parents, "rules": [{"backendRefs": [to("v1")]}]}),
    );
    let told = suite.told_of(Kind::HttpRoute, "route");
    assert_eq!(condition(parent(&told), "Accepted"), is("False", "NotAllowedByListeners"));
    assert_eq!(suite.who("GET a.example/"), "Nothing");
}

#[test]
fn http_route_disallowed_kind() {
    let mut suite = Suite::new();
    let kinds = json!({"kinds": [{"kind": "GRPCRoute"}]});
    suite
        .gateway("calls", &[json!({"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": kinds})]);
    let told = route_is_told(&mut suite, json!({"name": "calls"}), to("v1"));
    assert_eq!(condition(parent(&told), "Accepted"), is("False", "NotAllowedByListeners"));
}

#[test]
fn http_route_no_matching_listener_hostname() {
    let mut suite = Suite::new();
    suite.gateway(
        "hosts",
        &[json!({"name": "http", "port": 80, "protocol": "HTTP", "hostname": "very.specific.com"})],
    );
    let spec = json!({"parentRefs": [{"name": "hosts"}], "hostnames": ["specific.but.wrong.com"], "rules": [{"backendRefs": [to("v1")]}]});
    suite.add(Kind::HttpRoute, "infra", "route", spec);
    let told = suite.told_of(Kind::HttpRoute, "route");
    assert_eq!(condition(parent(&told), "Accepted"), is("False", "NoMatchingListenerHostname"));
}

#[rstest]
#[case::backend_ref_unknown_kind(json!({"kind": "NonExistent", "name": "x", "port": 8080}), "InvalidKind")]
#[case::non_existent_backend_ref(json!({"name": "missing", "port": 8080}), "BackendNotFound")]
#[case::cross_namespace_backend_ref(json!({"name": "v1", "namespace": "web", "port": 8080}), "RefNotPermitted")]
fn http_route_invalid(#[case] backend: Value, #[case] reason: &str) {
    let mut suite = Suite::new();
    let told = route_is_told(&mut suite, json!({"name": "same"}), backend);
    assert_eq!(condition(parent(&told), "Accepted"), is("True", "Accepted"));
    assert_eq!(condition(parent(&told), "ResolvedRefs"), is("False", reason));
    assert_eq!(suite.who("GET a.example/"), "500");
}

fn routes(kind: &str, namespace: &str) -> Value {
    json!({"group": "gateway.networking.k8s.io", "kind": kind, "namespace": namespace})
}

#[rstest]
#[case::permitted("web", routes("HTTPRoute", "infra"), json!({"group": "", "kind": "Service", "name": "v1"}), "web/v1")]
#[case::all_services("web", routes("HTTPRoute", "infra"), json!({"group": "", "kind": "Service"}), "web/v1")]
#[case::wrong_namespace("app", routes("HTTPRoute", "infra"), json!({"group": "", "kind": "Service"}), "500")]
#[case::wrong_from_kind("web", routes("Gateway", "infra"), json!({"group": "", "kind": "Service"}), "500")]
#[case::wrong_from_namespace("web", routes("HTTPRoute", "app"), json!({"group": "", "kind": "Service"}), "500")]
#[case::wrong_to_kind("web", routes("HTTPRoute", "infra"), json!({"group": "", "kind": "Secret"}), "500")]
#[case::wrong_to_name("web", routes("HTTPRoute", "infra"), json!({"group": "", "kind": "Service", "name": "v2"}), "500")]
fn http_route_reference_grant(
    #[case] namespace: &str,
    #[case] from: Value,
    #[case] to_what: Value,
    #[case] expected: &str,
) {
    let mut suite = Suite::new();
    suite.grant(namespace, "grant", from, to_what);
    let backend = json!({"name": "v1", "namespace": "web", "port": 8080});
    let told = route_is_told(&mut suite, json!({"name": "same"}), backend);
    assert_eq!(suite.who("GET a.example/"), expected);
    let reason = if expected == "500" { is("False", "RefNotPermitted") } else { is("True", "ResolvedRefs") };
    assert_eq!(condition(parent(&told), "ResolvedRefs"), reason);
}

#[test]
fn http_route_partially_invalid_via_invalid_reference_grant() {
    let mut suite = Suite::new();
    let elsewhere = json!({"name": "v1", "namespace": "web", "port": 8080});
    let rules = json!([
        {"matches": [{"path": {"type": "PathPrefix", "value": "/v2"}}], "backendRefs": [elsewhere]}, prefix("/", "v1"),
    ]);
    suite.route("route", "same", rules);
    let told = suite.told_of(Kind::HttpRoute, "route");
    assert_eq!(condition(parent(&told), "ResolvedRefs"), is("False", "RefNotPermitted"));
    assert_eq!(
        (suite.who("GET a.example/v2"), suite.who("GET a.example/")),
        ("500".to_owned(), "infra/v1".to_owned())
    );
}

#[rstest]
#[case(json!({"matches": [{"path": {"type": "RegularExpression", "value": "/x.*"}}]}))]
#[case(json!({"matches": [{"headers": [{"type": "RegularExpression", "name": "x", "value": ".*"}]}]}))]
#[case(json!({"filters": [{"type": "ExtensionRef", "extensionRef": {"group": "x", "kind": "y", "name": "z"}}]}))]
#[case(json!({"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "Transfer-Encoding", "value": "x"}]}}]}))]
#[case(json!({"backendRefs": [{"name": "v1", "port": 8080, "filters": [{"type": "RequestHeaderModifier"}]}]}))]
#[case(json!({"backendRefs": [{"name": "v1", "port": 8080, "filters": [{"type": "URLRewrite", "urlRewrite": {"hostname": "b.example"}}]}]}))]
fn what_is_not_built_is_told(#[case] rule: Value) {
    let mut suite = Suite::new();
    suite.route("route", "same", json!([rule]));
    let told = suite.told_of(Kind::HttpRoute, "route");
    assert_eq!(condition(parent(&told), "Accepted"), is("False", "UnsupportedValue"));
    assert_eq!(suite.who("GET a.example/"), "Nothing");
}

#[test]
fn a_route_that_leaves_is_told_nothing_of_ours() {
    let mut suite = Suite::new();
    let told = route_is_told(&mut suite, json!({"name": "same"}), to("v1"));
    let mut status = told.clone();
    let other = json!({"controllerName": "example.com/other", "parentRef": {"name": "x"}, "conditions": []});
    status["parents"].as_array_mut().unwrap().push(other.clone());
    let metadata = json!({"name": "route", "namespace": "infra", "generation": 3});
    let spec =
        |parent: &str| json!({"parentRefs": [{"name": parent}], "rules": [{"backendRefs": [to("v1")]}]});
    suite.add_with(Kind::HttpRoute, metadata, spec("elsewhere"), status);
    assert_eq!(suite.told_of(Kind::HttpRoute, "route"), json!({"parents": [other]}));
    suite.add(Kind::HttpRoute, "infra", "fresh", spec("elsewhere"));
    assert_eq!(suite.told_of(Kind::HttpRoute, "fresh"), Value::Null);
}

#[test]
fn http_route_observed_generation_bump() {
    let mut suite = Suite::new();
    let spec = || json!({"parentRefs": [{"name": "same"}], "rules": [{"backendRefs": [to("v1")]}]});
    suite.add(Kind::HttpRoute, "infra", "route", spec());
    let told = suite.told_of(Kind::HttpRoute, "route");
    let observed = |told: &Value| -> Vec<i64> {
        let conditions = parent(told).as_array().unwrap();
        conditions.iter().map(|one| one["observedGeneration"].as_i64().unwrap()).collect()
    };
    assert_eq!(observed(&told), [3, 3]);
    let metadata = json!({"name": "route", "namespace": "infra", "generation": 4});
    suite.add_with(Kind::HttpRoute, metadata, spec(), told);
    assert_eq!(observed(&suite.told_of(Kind::HttpRoute, "route")), [4, 4]);
}
