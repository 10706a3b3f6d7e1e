//! Which rule of an HTTPRoute a request meets.

use rstest::rstest;
use serde_json::{Value, json};
use wherry_ingress::Protocol;

use super::*;

#[test]
fn http_route_simple_same_namespace() {
    let mut suite = Suite::new();
    suite.route("simple", "same", json!([{"backendRefs": [to("v1")]}]));
    assert_eq!(suite.who("GET a.example/"), "infra/v1");
    let forward = suite.met("GET a.example/").forward();
    assert_eq!(forward.backends[0].1.endpoints, ["10.0.1.1:3000".parse().unwrap()]);
}

#[rstest]
#[case("GET a.example/", "infra/v1")]
#[case("GET a.example/example", "infra/v1")]
#[case("GET a.example/\nversion: one", "infra/v1")]
#[case("GET a.example/v2", "infra/v2")]
#[case("GET a.example/v2/\nversion: one", "infra/v2")]
#[case("GET a.example/v2/example", "infra/v2")]
#[case("GET a.example/\nversion: two", "infra/v2")]
#[case("GET a.example/v2\nversion: two", "infra/v2")]
#[case("GET a.example/v2example", "infra/v1")]
#[case("GET a.example/foo/v2/example", "infra/v1")]
fn http_route_matching(#[case] ask: &str, #[case] expected: &str) {
    let mut suite = Suite::new();
    let second = json!([{"path": {"type": "PathPrefix", "value": "/v2"}}, {"headers": [{"name": "version", "value": "two"}]}]);
    let rules = json!([prefix("/", "v1"), {"matches": second, "backendRefs": [to("v2")]}]);
    suite.route("matching", "same", rules);
    assert_eq!(suite.who(ask), expected);
}

#[rstest]
#[case("GET example.com/", "infra/v1")]
#[case("GET example.com/example", "infra/v1")]
#[case("GET example.net/example", "infra/v1")]
#[case("GET example.com/example\nversion: one", "infra/v1")]
#[case("GET example.com/v2", "infra/v2")]
#[case("GET example.com/v2example", "infra/v1")]
#[case("GET example.com/\nversion: two", "infra/v2")]
#[case("GET example.net/v2", "infra/v1")]
fn http_route_matching_across_routes(#[case] ask: &str, #[case] expected: &str) {
    let mut suite = Suite::new();
    let route = |hosts: Value, rules: Value| json!({"parentRefs": [{"name": "same"}], "hostnames": hosts, "rules": rules});
    let second = json!([{"path": {"type": "PathPrefix", "value": "/v2"}}, {"headers": [{"name": "version", "value": "two"}]}]);
    let first = json!([prefix("/", "v1")]);
    suite.add(Kind::HttpRoute, "infra", "one", route(json!(["example.com", "example.net"]), first));
    let rules = json!([{"matches": second, "backendRefs": [to("v2")]}]);
    suite.add(Kind::HttpRoute, "infra", "two", route(json!(["example.com"]), rules));
    assert_eq!(suite.who(ask), expected);
}

#[rstest]
#[case("GET a.example/one", "infra/v1")]
#[case("GET a.example/two", "infra/v2")]
#[case("GET a.example/one/example", "Nothing")]
#[case("GET a.example/", "Nothing")]
#[case("GET a.example/Two", "Nothing")]
fn http_route_exact_path_matching(#[case] ask: &str, #[case] expected: &str) {
    let mut suite = Suite::new();
    let exact = |path: &str, name: &str| json!({"matches": [{"path": {"type": "Exact", "value": path}}], "backendRefs": [to(name)]});
    suite.route("exact", "same", json!([exact("/one", "v1"), exact("/two", "v2")]));
    assert_eq!(suite.who(ask), expected);
}

#[rstest]
#[case("GET a.example/match/exact/one", "infra/v3")]
#[case("GET a.example/match/exact", "infra/v2")]
#[case("GET a.example/match", "infra/v1")]
#[case("GET a.example/match/prefix/one/any", "infra/v2")]
#[case("GET a.example/match/prefix/any", "infra/v1")]
#[case("GET a.example/match/any", "infra/v3")]
fn http_route_path_match_order(#[case] ask: &str, #[case] expected: &str) {
    let mut suite = Suite::new();
    let exact = |path: &str, name: &str| json!({"matches": [{"path": {"type": "Exact", "value": path}}], "backendRefs": [to(name)]});
    suite.route(
        "order",
        "same",
        json!([
            prefix("/match", "v3"),
            prefix("/match/prefix/one", "v2"),
            prefix("/match/prefix", "v1"),
            exact("/match/exact/one", "v3"),
            exact("/match/exact", "v2"),
            exact("/match", "v1"),
        ]),
    );
    assert_eq!(suite.who(ask), expected);
}

#[rstest]
#[case("GET a.example/\nversion: one", "infra/v1")]
#[case("GET a.example/\nVersion: two", "infra/v2")]
#[case("GET a.example/\nversion: two\ncolor: orange", "infra/v1")]
#[case("GET a.example/\ncolor: blue", "infra/v1")]
#[case("GET a.example/\ncolor: purple", "Nothing")]
#[case("GET a.example/\nversion: three", "Nothing")]
#[case("GET a.example/", "Nothing")]
fn http_route_header_matching(#[case] ask: &str, #[case] expected: &str) {
    let mut suite = Suite::new();
    let header = |name: &str, value: &str| json!({"name": name, "value": value});
    let rule = |matches: Value, name: &str| json!({"matches": matches, "backendRefs": [to(name)]});
    suite.route(
        "headers",
        "same",
        json!([
            rule(json!([{"headers": [header("version", "one")]}]), "v1"),
            rule(json!([{"headers": [header("version", "two")]}]), "v2"),
            rule(json!([{"headers": [header("version", "two"), header("color", "orange")]}, {"headers": [header("color", "blue")]}]), "v1"),
        ]),
    );
    assert_eq!(suite.who(ask), expected);
}

#[rstest]
#[case("GET a.example/", "infra/v2")]
#[case("POST a.example/", "infra/v1")]
#[case("PATCH a.example/path1", "infra/v3")]
#[case("HEAD a.example/", "Nothing")]
#[case("GET a.example/path1", "infra/v1")]
fn http_route_method_matching(#[case] ask: &str, #[case] expected: &str) {
    let mut suite = Suite::new();
    let rule = |matches: Value, name: &str| json!({"matches": [matches], "backendRefs": [to(name)]});
    let path = json!({"type": "PathPrefix", "value": "/path1"});
    suite.route(
        "methods",
        "same",
        json!([
            rule(json!({"method": "POST"}), "v1"),
            rule(json!({"method": "GET"}), "v2"),
            rule(json!({"path": path, "method": "GET"}), "v1"),
            rule(json!({"path": path, "method": "PATCH"}), "v3"),
        ]),
    );
    assert_eq!(suite.who(ask), expected);
}

#[rstest]
#[case("GET a.example/?animal=whale", "infra/v1")]
#[case("GET a.example/?animal=dolphin", "infra/v2")]
#[case("GET a.example/?animal=dolphin&color=blue", "infra/v3")]
#[case("GET a.example/?color=blue&animal=whale", "infra/v1")]
#[case("GET a.example/?animal=whale&animal=dolphin", "infra/v1")]
#[case("GET a.example/?animal=shark", "Nothing")]
#[case("GET a.example/", "Nothing")]
fn http_route_query_param_matching(#[case] ask: &str, #[case] expected: &str) {
    let mut suite = Suite::new();
    let rule = |pairs: &[(&str, &str)], name: &str| {
        let pairs: Vec<Value> =
            pairs.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        json!({"matches": [{"queryParams": pairs}], "backendRefs": [to(name)]})
    };
    suite.route(
        "queries",
        "same",
        json!([
            rule(&[("animal", "whale")], "v1"),
            rule(&[("animal", "dolphin")], "v2"),
            rule(&[("animal", "dolphin"), ("color", "blue")], "v3"),
        ]),
    );
    assert_eq!(suite.who(ask), expected);
}

#[test]
fn http_route_backend_protocol_h2c() {
    let mut suite = Suite::new();
    suite.route("h2c", "same", json!([{"backendRefs": [{"name": "v1", "port": 8081}]}]));
    let forward = suite.met("GET a.example/").forward();
    assert_eq!(forward.backends[0].1.protocol, Protocol::Http2);
}

/// What becomes of a connection that leaves HTTP then: `wherry_ingress`'s tests.
#[rstest]
#[case("kubernetes.io/ws", Protocol::Http1)]
#[case("kubernetes.io/wss", Protocol::Https)]
fn http_route_backend_protocol_websocket(#[case] app_protocol: &str, #[case] expected: Protocol) {
    let mut suite = Suite::new();
    let ports = json!([{"name": "web", "port": 8080, "appProtocol": app_protocol}]);
    let metadata = json!({"name": "v1", "namespace": "infra"});
    suite.world.record_service(&event::<Service>(json!({"metadata": metadata, "spec": {"ports": ports}})));
    suite.route("ws", "same", json!([{"backendRefs": [to("v1")]}]));
    let forward = suite.met("GET a.example/").forward();
    assert_eq!(forward.backends[0].1.protocol, expected);
}

/// A Service without an address of its own, one whose endpoints somebody wrote, and one that is both.
#[rstest]
#[case::headless(json!({"clusterIP": "None", "selector": {"app": "v1"}}))]
#[case::manual_endpoint_slices(json!({"clusterIP": "10.96.0.7"}))]
#[case::headless_manual_endpoint_slices(json!({"clusterIP": "None"}))]
fn http_route_service_types(#[case] mut spec: Value) {
    let mut suite = Suite::new();
    spec["ports"] = json!([{"name": "web", "port": 8080, "targetPort": 3000}]);
    let metadata = json!({"name": "v1", "namespace": "infra"});
    suite.world.record_service(&event::<Service>(json!({"metadata": metadata, "spec": spec})));
    suite.route("types", "same", json!([{"backendRefs": [to("v1")]}]));
    let forward = suite.met("GET a.example/").forward();
    let endpoints = &forward.backends[0].1.endpoints;
    assert_eq!(format!("{endpoints:?}").matches("10.0.1.1:3000").count(), 1, "{endpoints:?}");
}

#[test]
fn http_route_cross_namespace() {
    let mut suite = Suite::new();
    let parents = json!([{"name": "backends", "namespace": "infra"}]);
    suite.add(
        Kind::HttpRoute,
        "web",
        "cross",
        json!({"parentRefs": parents, "rules": [{"backendRefs": [to("v1")]}]}),
    );
    assert_eq!(suite.who("GET a.example/"), "web/v1");
}

#[rstest]
#[case("GET very.specific.com/s1", "infra/v1")]
#[case("GET non.matching.com/s1", "Nothing")]
#[case("GET foo.wildcard.io/s1", "infra/v1")]
#[case("GET foo.bar.wildcard.io/s1", "infra/v1")]
#[case("GET wildcard.io/s1", "Nothing")]
#[case("GET foo.nonmatching.io/s1", "Nothing")]
fn http_route_listener_hostname_matching(#[case] ask: &str, #[case] expected: &str) {
    let mut suite = Suite::new();
    let listener =
        |name: &str, host: &str| json!({"name": name, "hostname": host, "port": 80, "protocol": "HTTP"});
    suite.gateway("hosts", &[listener("one", "very.specific.com"), listener("two", "*.wildcard.io")]);
    suite.route("all", "hosts", json!([prefix("/s1", "v1")]));
    assert_eq!(suite.who(ask), expected);
}

#[rstest]
#[case(80, "infra/v1")]
#[case(8080, "infra/v2")]
fn http_route_listener_port_matching(#[case] port: u16, #[case] expected: &str) {
    let mut suite = Suite::new();
    let listener = |name: &str, port: u16| json!({"name": name, "port": port, "protocol": "HTTP"});
    suite.gateway("ports", &[listener("one", 80), listener("two", 8080)]);
    let route = |name: &str, parent: Value, to_whom: &str| {
        let rules = json!([{"backendRefs": [to(to_whom)]}]);
        (name.to_owned(), json!({"parentRefs": [parent], "rules": rules}))
    };
    for (name, spec) in [
        route("by-port", json!({"name": "ports", "port": 80}), "v1"),
        route("by-section", json!({"name": "ports", "sectionName": "two"}), "v2"),
    ] {
        suite.add(Kind::HttpRoute, "infra", &name, spec);
    }
    assert_eq!(suite.met_at(port, "GET a.example/").who(), expected);
}

#[test]
fn http_route_https_listener() {
    let mut suite = Suite::new();
    suite.secret("infra", "tls");
    let tls = json!({"certificateRefs": [{"name": "tls"}]});
    let listener =
        json!({"name": "https", "port": 443, "protocol": "HTTPS", "hostname": "a.example", "tls": tls});
    suite.gateway("secure", &[listener]);
    suite.route("secure", "secure", json!([{"backendRefs": [to("v1")]}]));
    assert_eq!(suite.met_at(443, "GET a.example/").who(), "infra/v1");
    assert_eq!(suite.met_at(443, "GET b.example/").who(), "Nothing");
    let served = attach::settle(&suite.world).ports.remove(&443).unwrap();
    let hosts: Vec<_> = served.certificates.iter().map(|(host, _)| host.clone()).collect();
    assert!(served.is_secure && hosts == [wherry_ingress::Host::Exactly("a.example".to_owned())]);
}

#[test]
fn of_two_routes_the_older_counts() {
    let mut suite = Suite::new();
    for (name, second) in [("a-young", "02"), ("b-older", "01")] {
        let metadata = json!({"name": name, "namespace": "infra", "creationTimestamp": format!("2026-01-01T00:00:{second}Z")});
        let backend = if name == "b-older" { "v2" } else { "v1" };
        let spec = json!({"parentRefs": [{"name": "same"}], "rules": [{"backendRefs": [to(backend)]}]});
        suite.add_with(Kind::HttpRoute, metadata, spec, Value::Null);
    }
    assert_eq!(suite.who("GET a.example/"), "infra/v2");
}
