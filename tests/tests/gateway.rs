//! The Gateway API: wasm servers of two namespaces behind one Gateway, whose ports are the doors of the Ingress controller and one
//! of its own. What the objects say in detail, the tests of the node's controller hold.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use wherry_tests::{Cluster, Options, http, in_cluster, wait};

const GROUP: &str = "gateway.networking.k8s.io/v1";

#[test]
fn one_gateway_leads_to_servers_of_two_namespaces() {
    in_cluster(Options::default(), |cluster| {
        let path = "jsonpath={.status.conditions[?(@.type==\"Accepted\")].status}";
        cluster.kubectl_until(&["get", "gatewayclass", "wherry", "-o", path], |told| told == "True");
        cluster.wait_for("condition=Established", &["crd", "--all"]);
        the_schema_keeps_out_what_cannot_be(cluster);
        cluster.kubectl(&["create", "namespace", "web"]);
        serve(cluster, "default", "one");
        serve(cluster, "web", "two");
        cluster.apply(&gateway().to_string());
        cluster.apply(
            &route("cross", "web", &json!([{ "backendRefs": [to("two")] }]), "two.example").to_string(),
        );
        cluster.apply(&route("paths", "default", &paths(), "one.example").to_string());
        http_route_cross_namespace();
        http_route_rewrite_path();
        http_route_redirect_host_and_status();
        http_route_reference_grant(cluster);
        ports_of_the_gateway_are_told(cluster);
        requests_are_counted(cluster);
        nothing_is_served_without_the_route(cluster);
    });
}

fn at(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A server that answers with its variable `WHO` and a Service of it.
fn serve(cluster: &Cluster, namespace: &str, name: &str) {
    let labels = json!({ "app": name });
    let container = json!({
        "name": "main", "image": "127.0.0.1:5000/http:v1", "env": [{ "name": "WHO", "value": name }],
        "ports": [{ "containerPort": 8080 }],
    });
    let spec = json!({ "terminationGracePeriodSeconds": 1, "containers": [container] });
    let metadata = json!({ "name": name, "namespace": namespace, "labels": labels });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
    let ports = json!([{ "port": 8080 }]);
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": { "selector": labels, "ports": ports },
    });
    cluster.apply(&pod.to_string());
    cluster.apply(&service.to_string());
}

fn gateway() -> Value {
    let listener = |name: &str, port: u16| {
        json!({
            "name": name, "port": port, "protocol": "HTTP", "allowedRoutes": { "namespaces": { "from": "All" } },
        })
    };
    let listeners = [listener("http", 80), listener("own", 8088), listener("taken", 7080)];
    json!({
        "apiVersion": GROUP, "kind": "Gateway", "metadata": { "name": "both", "namespace": "default" },
        "spec": { "gatewayClassName": "wherry", "listeners": listeners },
    })
}

fn route(name: &str, namespace: &str, rules: &Value, host: &str) -> Value {
    let parents = json!([{ "name": "both", "namespace": "default" }]);
    json!({
        "apiVersion": GROUP, "kind": "HTTPRoute", "metadata": { "name": name, "namespace": namespace },
        "spec": { "parentRefs": parents, "hostnames": [host], "rules": rules },
    })
}

fn to(name: &str) -> Value {
    json!({ "name": name, "port": 8080 })
}

fn paths() -> Value {
    let path = |path: &str| json!([{ "path": { "type": "PathPrefix", "value": path } }]);
    let redirect = json!([{ "type": "RequestRedirect", "requestRedirect": { "hostname": "b.example", "statusCode": 301 } }]);
    let rewrite = json!({ "path": { "type": "ReplacePrefixMatch", "replacePrefixMatch": "/env" } });
    let elsewhere = json!({ "name": "two", "namespace": "web", "port": 8080 });
    json!([
        { "matches": path("/moved"), "filters": redirect },
        { "matches": path("/rewritten"), "filters": [{ "type": "URLRewrite", "urlRewrite": rewrite }], "backendRefs": [to("one")] },
        { "matches": path("/elsewhere"), "filters": [{ "type": "URLRewrite", "urlRewrite": rewrite }], "backendRefs": [elsewhere] },
    ])
}

/// Waits until a host's path is answered so.
fn is_answered(port: u16, host: &str, path: &str, expected: (u16, &str)) {
    wait::until(&format!("{host}:{port}{path}"), || match http::get_of(at(port), host, path) {
        Ok(answer) if (answer.status, answer.body.trim_end()) == expected => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// A route of another namespace, at both ports: the door of the Ingress controller and one of the Gateway's own.
fn http_route_cross_namespace() {
    for port in [7080, 8088] {
        is_answered(port, "two.example", "/env/WHO", (200, "two"));
    }
    is_answered(7080, "nobody.example", "/env/WHO", (404, "no rule is about this host and path"));
}

fn http_route_rewrite_path() {
    is_answered(7080, "one.example", "/rewritten/WHO", (200, "one"));
    is_answered(7080, "one.example", "/other", (404, "no rule is about this host and path"));
}

fn http_route_redirect_host_and_status() {
    is_answered(7080, "one.example", "/moved", (301, "Moved Permanently"));
}

/// A backend of another namespace is used from when that is granted, and no longer when the grant is gone.
fn http_route_reference_grant(cluster: &Cluster) {
    is_answered(7080, "one.example", "/elsewhere/WHO", (500, "there is no endpoint that is ready"));
    resolved_is(cluster, "RefNotPermitted");
    let grant = json!({
        "apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant",
        "metadata": { "name": "grant", "namespace": "web" },
        "spec": {
            "from": [{ "group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "default" }],
            "to": [{ "group": "", "kind": "Service" }],
        },
    });
    cluster.apply(&grant.to_string());
    is_answered(7080, "one.example", "/elsewhere/WHO", (200, "two"));
    resolved_is(cluster, "ResolvedRefs");
    cluster.kubectl(&["delete", "referencegrant", "grant", "-n", "web"]);
    is_answered(7080, "one.example", "/elsewhere/WHO", (500, "there is no endpoint that is ready"));
}

fn resolved_is(cluster: &Cluster, reason: &str) {
    let path = "jsonpath={.status.parents[0].conditions[?(@.type==\"ResolvedRefs\")].reason}";
    cluster.kubectl_until(&["get", "httproute", "paths", "-o", path], |told| told == reason);
}

fn ports_of_the_gateway_are_told(cluster: &Cluster) {
    let of = |listener: &str, kind: &str| {
        let path = format!(
            "jsonpath={{.status.listeners[?(@.name==\"{listener}\")].conditions[?(@.type==\"{kind}\")].reason}}"
        );
        cluster.kubectl(&["get", "gateway", "both", "-o", &path])
    };
    assert_eq!(
        (of("http", "Programmed"), of("own", "Programmed")),
        ("Programmed".into(), "Programmed".into())
    );
    assert_eq!(of("taken", "Accepted"), "PortUnavailable");
    let row = cluster.kubectl(&["get", "gateways", "--no-headers"]);
    let row: Vec<&str> = row.split_whitespace().take(4).collect();
    assert_eq!(row, ["both", "wherry", "127.0.0.1", "True"]);
    let path = "jsonpath={.status.listeners[?(@.name==\"http\")].attachedRoutes}";
    assert_eq!(cluster.kubectl(&["get", "gateway", "both", "-o", path]), "2");
}

fn requests_are_counted(cluster: &Cluster) {
    let metrics = cluster.kubectl(&["get", "--raw", "/api/v1/nodes/node-1/proxy/metrics"]);
    let line = "wherry_ingress_requests_total{code=\"200\",rule=\"httproute/web/cross\"} ";
    assert!(metrics.lines().any(|found| found.starts_with(line)), "{metrics}");
}

fn nothing_is_served_without_the_route(cluster: &Cluster) {
    cluster.kubectl(&["delete", "httproute", "cross", "-n", "web"]);
    is_answered(7080, "two.example", "/env/WHO", (404, "no rule is about this host and path"));
    cluster.kubectl(&["delete", "gateway", "both"]);
    wait::until("the port to be closed", || match http::get_of(at(8088), "one.example", "/") {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// What upstream's definitions refuse.
fn the_schema_keeps_out_what_cannot_be(cluster: &Cluster) {
    let refused = |object: &Value, why: &str| {
        let output = cluster.try_apply(&object.to_string());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(why), "{object}: {text}");
    };
    let mut twice = gateway();
    twice["spec"]["listeners"][1] = json!({ "name": "more", "port": 80, "protocol": "HTTP" });
    refused(&twice, "Combination of port, protocol and hostname must be unique for each listener");
    let path = |value: &str| json!([{ "path": { "type": "Exact", "value": value } }]);
    refused(
        &route("bad", "default", &json!([{ "matches": path("no/slash") }]), "a.example"),
        "value must be an absolute path",
    );
    let redirect = json!([{ "type": "RequestRedirect", "requestRedirect": { "hostname": "b.example" } }]);
    let both = json!([{ "filters": redirect, "backendRefs": [to("one")] }]);
    refused(
        &route("bad", "default", &both, "a.example"),
        "RequestRedirect filter must not be used together with backendRefs",
    );
    refused(
        &route("bad", "default", &json!([{ "backendRefs": [{ "name": "one" }] }]), "a.example"),
        "Must have port for Service reference",
    );
    let times =
        json!([{ "timeouts": { "request": "1s", "backendRequest": "2s" }, "backendRefs": [to("one")] }]);
    refused(
        &route("bad", "default", &times, "a.example"),
        "backendRequest timeout cannot be longer than request timeout",
    );
    let mut calls = route(
        "bad",
        "default",
        &json!([{ "matches": [{ "method": {} }], "backendRefs": [to("one")] }]),
        "a.example",
    );
    calls["kind"] = json!("GRPCRoute");
    refused(&calls, "One or both of 'service' or 'method' must be specified");
}
