//! Which rule of a GRPCRoute a call meets.

use http::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};
use wherry_ingress::Protocol;

use super::*;

fn suite(rules: &[(Value, &str)]) -> Suite {
    let mut suite = Suite::new();
    let rules: Vec<Value> = rules
        .iter()
        .map(|(matched, name)| json!({"matches": [matched], "backendRefs": [to(name)]}))
        .collect();
    suite.add(Kind::GrpcRoute, "infra", "calls", json!({"parentRefs": [{"name": "same"}], "rules": rules}));
    suite
}

#[rstest]
#[case("POST a.example/echo.Echo/Say", "infra/v1")]
#[case("POST a.example/echo.Echo/Two", "infra/v2")]
#[case("POST a.example/other.Service/Last", "infra/v3")]
#[case("POST a.example/echo.EchoMore/Say", "Nothing")]
#[case("POST a.example/other.Service/Say", "Nothing")]
fn grpc_exact_method_matching(#[case] ask: &str, #[case] expected: &str) {
    let suite = suite(&[
        (json!({"method": {"service": "echo.Echo"}}), "v1"),
        (json!({"method": {"service": "echo.Echo", "method": "Two"}}), "v2"),
        (json!({"method": {"method": "Last"}}), "v3"),
    ]);
    assert_eq!(suite.who(ask), expected);
}

#[rstest]
#[case("POST a.example/echo.Echo/Say\nversion: one", "infra/v1")]
#[case("POST a.example/echo.Echo/Say\nversion: two\ncolor: orange", "infra/v2")]
#[case("POST a.example/echo.Echo/Say\nversion: two", "Nothing")]
fn grpc_route_header_matching(#[case] ask: &str, #[case] expected: &str) {
    let header = |name: &str, value: &str| json!({"name": name, "value": value});
    let suite = suite(&[
        (json!({"headers": [header("version", "one")]}), "v1"),
        (json!({"headers": [header("version", "two"), header("color", "orange")]}), "v2"),
    ]);
    assert_eq!(suite.who(ask), expected);
}

#[test]
fn grpc_route_weight_and_protocol() {
    let mut suite = Suite::new();
    let weighted = |name: &str, weight: u32| json!({"name": name, "port": 8080, "weight": weight});
    let backends = [weighted("v1", 70), weighted("v2", 30)];
    let spec = json!({"parentRefs": [{"name": "same"}], "rules": [{"backendRefs": backends}]});
    suite.add(Kind::GrpcRoute, "infra", "calls", spec);
    let met = suite.met("POST a.example/echo.Echo/Say");
    assert_eq!(met.who(), "infra/v1*70 infra/v2*30 ");
    assert!(met.forward().backends.iter().all(|(_, to)| to.protocol == Protocol::Http2));
}

/// A client of gRPC reads 503 as UNAVAILABLE, and 404 as UNIMPLEMENTED.
#[test]
fn a_call_to_nobody_is_unavailable() {
    let suite = suite(&[(json!({}), "missing")]);
    let forward = suite.met("POST a.example/echo.Echo/Say").forward();
    assert_eq!(forward.backends[0].1.nowhere, StatusCode::SERVICE_UNAVAILABLE);
}
