//! What a rule of an HTTPRoute makes of requests; what then happens, the tests of `wherry_ingress` hold.

use std::time::Duration;

use http::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};
use wherry_ingress::{Fraction, HeaderEdits, PathEdit};

use super::*;

#[test]
fn http_route_weight() {
    let mut suite = Suite::new();
    let weighted = |name: &str, weight: u32| json!({"name": name, "port": 8080, "weight": weight});
    let backends = [weighted("v1", 70), weighted("v2", 30), weighted("v3", 0)];
    suite.route("weights", "same", json!([{"backendRefs": backends}]));
    assert_eq!(suite.who("GET a.example/"), "infra/v1*70 infra/v2*30 infra/v3*0 ");
}

#[test]
fn http_route_redirect_host_and_status() {
    let mut suite = Suite::new();
    let redirect = |with: Value| json!([{"type": "RequestRedirect", "requestRedirect": with}]);
    let rule = |path: &str, with: Value| json!({"matches": [{"path": {"type": "PathPrefix", "value": path}}], "filters": redirect(with)});
    suite.route(
        "redirects",
        "same",
        json!([
            rule("/host", json!({"hostname": "b.example"})),
            rule("/status", json!({"hostname": "b.example", "statusCode": 301})),
        ]),
    );
    let met = suite.met("GET a.example/host").redirect();
    assert_eq!((met.host.as_deref(), met.status), (Some("b.example"), StatusCode::FOUND));
    assert_eq!((met.scheme, met.port, met.path, met.came_to), (None, None, None, 80));
    assert_eq!(suite.met("GET a.example/status").redirect().status, StatusCode::MOVED_PERMANENTLY);
}

/// `HTTPRouteRedirectPath`, `-Port`, `-Scheme` and `-PortAndScheme`: where they lead, `wherry_ingress` says.
#[rstest]
#[case(json!({"path": {"type": "ReplaceFullPath", "replaceFullPath": "/full"}}), None, None, Some(PathEdit::Whole("/full".to_owned())))]
#[case(json!({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/p"}}), None, None, Some(PathEdit::Prefix("/p".to_owned())))]
#[case(json!({"port": 8083}), None, Some(8083), None)]
#[case(json!({"scheme": "https"}), Some("https"), None, None)]
#[case(json!({"scheme": "https", "port": 8443}), Some("https"), Some(8443), None)]
fn http_route_redirects(
    #[case] with: Value,
    #[case] scheme: Option<&str>,
    #[case] port: Option<u16>,
    #[case] path: Option<PathEdit>,
) {
    let mut suite = Suite::new();
    suite.route(
        "redirect",
        "same",
        json!([{"filters": [{"type": "RequestRedirect", "requestRedirect": with}]}]),
    );
    let met = suite.met("GET a.example/x").redirect();
    assert_eq!(
        (met.scheme.as_ref().map(ToString::to_string).as_deref(), met.port, met.path),
        (scheme, port, path)
    );
}

#[test]
fn http_route_rewrite_host_and_path() {
    let mut suite = Suite::new();
    let rewrite = json!({"hostname": "one.example", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/one"}});
    let filters = json!([{"type": "URLRewrite", "urlRewrite": rewrite}]);
    let matches = json!([{"path": {"type": "PathPrefix", "value": "/prefix"}}]);
    suite.route(
        "rewrite",
        "same",
        json!([{"matches": matches, "filters": filters, "backendRefs": [to("v1")]}]),
    );
    let forward = suite.met("GET a.example/prefix/two").forward();
    assert_eq!(forward.rewrite.host.unwrap(), "one.example");
    assert_eq!(forward.rewrite.path, Some(PathEdit::Prefix("/one".to_owned())));
}

/// `HTTPRouteRequestHeaderModifier` and `HTTPRouteResponseHeaderModifier`.
#[test]
fn http_route_header_modifiers() {
    let mut suite = Suite::new();
    let with = json!({"set": [{"name": "X-Set", "value": "1"}], "add": [{"name": "X-Add", "value": "1"}], "remove": ["X-Gone"]});
    let filters = json!([
        {"type": "RequestHeaderModifier", "requestHeaderModifier": with},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": with},
    ]);
    suite.route("edits", "same", json!([{"filters": filters, "backendRefs": [to("v1")]}]));
    let forward = suite.met("GET a.example/").forward();
    let edits = HeaderEdits::new(
        vec![("x-set".parse().unwrap(), "1".parse().unwrap())],
        vec![("x-add".parse().unwrap(), "1".parse().unwrap())],
        vec!["x-gone".parse().unwrap()],
    );
    assert_eq!((Ok(forward.request), Ok(forward.response)), (edits.clone(), edits));
}

/// `HTTPRouteBackendRequestHeaderModification`, of routes of both kinds: each backend has its own, which the rule has not.
#[rstest]
#[case(Kind::HttpRoute)]
#[case(Kind::GrpcRoute)]
fn http_route_backend_request_header_modification(#[case] kind: Kind) {
    let mut suite = Suite::new();
    let set = |value: &str| json!({"set": [{"name": "X-To", "value": value}]});
    let filters = |value: &str| {
        json!([
            {"type": "RequestHeaderModifier", "requestHeaderModifier": set(value)},
            {"type": "ResponseHeaderModifier", "responseHeaderModifier": set(&format!("not {value}"))},
        ])
    };
    let end = |name: &str| json!({"name": name, "port": 8080, "weight": 2, "filters": filters(name)});
    let rules = json!([{"backendRefs": [end("v1"), end("missing"), to("v2")]}]);
    suite.add(kind, "infra", "edits", json!({"parentRefs": [{"name": "same"}], "rules": rules}));
    let met = suite.met("POST a.example/echo.Echo/Say");
    let nowhere = if kind == Kind::GrpcRoute { 503 } else { 500 };
    assert_eq!(met.who(), format!("infra/v1*2 {nowhere}*2 infra/v2*1 "));
    let forward = met.forward();
    let edits = |value: &str| {
        let set = vec![("x-to".parse().unwrap(), value.parse().unwrap())];
        HeaderEdits::new(set, vec![], vec![]).unwrap()
    };
    let (first, last) = (&forward.backends[0].1, &forward.backends[2].1);
    assert_eq!((&first.request, &first.response), (&edits("v1"), &edits("not v1")));
    let none = HeaderEdits::default();
    assert_eq!([&last.request, &last.response, &forward.request, &forward.response], [&none; 4]);
}

/// `HTTPRouteRequestMirror`, `HTTPRouteRequestMultipleMirrors` and `HTTPRouteRequestPercentageMirror`.
#[test]
fn http_route_request_mirrors() {
    let mut suite = Suite::new();
    let mirror = |name: &str, part: Value| {
        let mut with = json!({"backendRef": to(name)});
        with.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        json!({"type": "RequestMirror", "requestMirror": with})
    };
    let filters = [
        mirror("v2", json!({})),
        mirror("v3", json!({"percent": 20})),
        mirror("v3", json!({"fraction": {"numerator": 1, "denominator": 2}})),
    ];
    suite.route("mirrors", "same", json!([{"filters": filters, "backendRefs": [to("v1")]}]));
    let forward = suite.met("GET a.example/").forward();
    let mirrors: Vec<_> = forward.mirrors.iter().map(|(part, to)| (*part, &*to.name)).collect();
    let part = |of, all| Fraction { of, all };
    let expected =
        [(Fraction::ALL, "infra/v2:8080"), (part(20, 100), "infra/v3:8080"), (part(1, 2), "infra/v3:8080")];
    assert_eq!(mirrors, expected);
}

/// `HTTPRouteTimeoutRequest` and `HTTPRouteTimeoutBackendRequest`: what they do, `wherry_ingress` says.
#[rstest]
#[case(json!({"request": "500ms"}), Some(500), Some(500))]
#[case(json!({"backendRequest": "500ms"}), None, Some(500))]
#[case(json!({"request": "1s", "backendRequest": "500ms"}), Some(1000), Some(500))]
#[case(json!({}), None, None)]
fn http_route_timeouts(#[case] timeouts: Value, #[case] whole: Option<u64>, #[case] one: Option<u64>) {
    let mut suite = Suite::new();
    suite.route("times", "same", json!([{"timeouts": timeouts, "backendRefs": [to("v1")]}]));
    let forward = suite.met("GET a.example/").forward();
    let millis = |time: Option<u64>| time.map(Duration::from_millis);
    assert_eq!((forward.time, forward.answer_time), (millis(whole), millis(one)));
}

#[test]
fn http_route_timeout_of_nothing_is_none() {
    let mut suite = Suite::new();
    suite.route("times", "same", json!([{"timeouts": {"request": "0s"}, "backendRefs": [to("v1")]}]));
    assert_eq!(suite.met("GET a.example/").forward().time, Some(Duration::MAX));
}
