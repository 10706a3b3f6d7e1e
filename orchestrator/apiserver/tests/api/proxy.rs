//! Proxy: requests to Pods, Services and Nodes, against real servers on loopback addresses.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::harness::{Answer, Api, PODS, SERVICES};
use crate::logs::{Authority, with_node};

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// What a backend saw of a request, as its answer.
async fn seen(request: Request<Incoming>) -> Value {
    let (parts, body) = request.into_parts();
    let headers: Vec<Value> = parts
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), value.to_str().unwrap_or_default()]))
        .collect();
    let body = body.collect().await.unwrap().to_bytes();
    json!({
        "method": parts.method.as_str(), "uri": parts.uri.to_string(), "headers": headers,
        "body": String::from_utf8_lossy(&body),
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let response = Response::builder();
    let response = match request.uri().path() {
        "/redirect" => response.status(302).header("location", "/login?a=b").body(Body::empty()),
        "/elsewhere" => response.status(302).header("location", "https://example.com/x").body(Body::empty()),
        "/page" => {
            let page = "<a href=\"/x\">x</a><a href=\"y\">y</a>";
            response.header("content-type", "text/html; charset=utf-8").body(Body::from(page))
        }
        "/cors" => response
            .header("access-control-allow-origin", "*")
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .header("x-end", "2")
            .body(Body::empty()),
        _ => {
            let seen = seen(request).await.to_string();
            response.header("content-type", "application/json").body(Body::from(seen))
        }
    };
    Ok(response.unwrap())
}

/// A server that answers what it was asked.
async fn backend(ip: &str) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let connection = hyper::server::conn::http1::Builder::new();
            connections.spawn(connection.serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    (address, tasks)
}

/// A server whose Pods are on loopback addresses.
pub(crate) async fn on_loopback() -> Api {
    Api::with(|config| config.service_cidr = "127.96.0.0/16".parse().unwrap()).await
}

/// Makes a Pod that runs at an address.
pub(crate) async fn pod_at(api: &Api, name: &str, address: SocketAddr, host_network: bool) {
    let port = json!({"name": "main", "containerPort": address.port()});
    let pod = json!({
        "metadata": {"name": name},
        "spec": {
            "nodeName": "n", "hostNetwork": host_network,
            "containers": [{"name": "c", "image": "i", "ports": [port]}],
        },
    });
    api.post(PODS, &pod).await.expect(201);
    let ip = address.ip().to_string();
    let status = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}});
    api.patch(&format!("{PODS}/{name}/status"), "merge-patch", &status).await.expect(200);
}

/// Makes a Service with an endpoint for a Pod.
async fn service(api: &Api, name: &str, pod: &str, address: SocketAddr, ready: bool) {
    let ports = json!([{"name": "web", "port": 8080, "targetPort": address.port()}]);
    api.post(SERVICES, &json!({"metadata": {"name": name}, "spec": {"ports": ports}})).await.expect(201);
    let slice = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}}, "addressType": "IPv4",
        "endpoints": [{
            "addresses": [address.ip().to_string()], "conditions": {"ready": ready},
            "targetRef": {"kind": "Pod", "namespace": "default", "name": pod},
        }],
        "ports": [{"name": "web", "port": address.port()}],
    });
    // Loopback addresses are those of clusters on loopback, whose controller writes slices as any other does.
    api.post(SLICES, &slice).await.expect(201);
}

async fn send(api: &Api, method: &str, path: &str) -> Answer {
    api.send(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await
}

fn header<'a>(seen: &'a Value, name: &str) -> Option<&'a str> {
    let headers = seen["headers"].as_array().unwrap();
    headers.iter().find(|header| header[0] == name).and_then(|header| header[1].as_str())
}

/// A server with the Pod `p` and the Service `s` in front of it.
async fn with_both(ip: &str) -> (Api, JoinSet<()>) {
    let api = on_loopback().await;
    let (address, tasks) = backend(ip).await;
    pod_at(&api, "p", address, false).await;
    service(&api, "s", "p", address, true).await;
    (api, tasks)
}

#[tokio::test]
async fn proxy_validate_proxy_responses() {
    let (api, _backend) = with_both("127.244.0.9").await;
    for path in [format!("{PODS}/p/proxy"), format!("{SERVICES}/s:web/proxy")] {
        for method in METHODS {
            let answer = send(&api, method, &format!("{path}?method={method}")).await;
            if matches!(method, "GET" | "HEAD") {
                assert_eq!(answer.code, 301, "{method} {path}");
                assert_eq!(answer.headers["location"], format!("{path}/?method={method}"));
            } else {
                assert_eq!(answer.code, 200, "{method} {path}: {}", answer.text);
                assert_eq!(answer.body["method"], method);
                assert_eq!(answer.body["uri"], format!("/?method={method}"));
            }
        }
    }
}

#[tokio::test]
async fn proxy_validate_proxywithpath_responses() {
    let (api, _backend) = with_both("127.244.0.9").await;
    for path in [format!("{PODS}/p/proxy/some/path/with"), format!("{SERVICES}/s:web/proxy/some/path/with")] {
        for method in METHODS {
            let answer = send(&api, method, &format!("{path}/{method}?a=b")).await;
            assert_eq!(answer.code, 200, "{method} {path}: {}", answer.text);
            if method == "HEAD" {
                assert_eq!(answer.text, "");
            } else {
                assert_eq!(answer.body["method"], method);
                assert_eq!(answer.body["uri"], format!("/some/path/with/{method}?a=b"));
            }
        }
    }
}

#[tokio::test]
async fn proxy_through_apiserver_to_a_service() {
    let (api, _backend) = with_both("127.244.0.9").await;
    for name in ["s:web", "s:8080", "http:s:web", "http:s:8080"] {
        let answer = api.get(&format!("{SERVICES}/{name}/proxy/x/")).await;
        assert_eq!(answer.expect(200)["uri"], "/x/", "{name}");
    }
    let answer = api.raw("POST", &format!("{SERVICES}/s:web/proxy/x"), "text/plain", "a body").await;
    assert_eq!(answer.expect(200)["body"], "a body");
    for name in ["p", "http:p:main", "p:main"] {
        assert_eq!(api.get(&format!("{PODS}/{name}/proxy/")).await.expect(200)["uri"], "/", "{name}");
    }
}

#[tokio::test]
async fn a_backend_sees_the_request_without_what_is_the_callers_own() {
    let (api, _backend) = with_both("127.244.0.9").await;
    let request = Request::get(format!("{PODS}/p/proxy/a%20b//c/../d?x=%2F&y"))
        .header("host", "api:6443")
        .header("authorization", "Bearer secret")
        .header("impersonate-user", "root")
        .header("impersonate-group", "system:masters")
        .header("impersonate-extra-a", "b")
        .header("connection", "keep-alive, x-mine")
        .header("x-mine", "1")
        .header("x-theirs", "2");
    let seen = api.send(request.body(Body::empty()).unwrap()).await.expect(200);
    assert_eq!(seen["uri"], "/a%20b/d?x=%2F&y");
    for name in ["authorization", "impersonate-user", "impersonate-group", "impersonate-extra-a", "x-mine"] {
        assert_eq!(header(&seen, name), None, "{name}");
    }
    assert_eq!(header(&seen, "x-theirs"), Some("2"));
    assert_eq!(header(&seen, "host"), Some("api:6443"));
}

#[tokio::test]
async fn a_backend_is_told_how_it_was_reached() {
    let (api, _backend) = with_both("127.244.0.9").await;
    let seen = api.get(&format!("{PODS}/p/proxy/x/")).await.expect(200);
    assert_eq!(header(&seen, "x-forwarded-uri"), Some(format!("{PODS}/p/proxy/x/").as_str()));
}

#[tokio::test]
async fn redirects_and_links_lead_through_the_proxy_again() {
    let (api, _backend) = with_both("127.244.0.9").await;
    let path = format!("{SERVICES}/s:web/proxy");
    let redirect = api.get(&format!("{path}/redirect")).await;
    assert_eq!(
        (redirect.code.as_u16(), &redirect.headers["location"]),
        (302, &format!("{path}/login?a=b").parse().unwrap())
    );
    let elsewhere = api.get(&format!("{path}/elsewhere")).await;
    assert_eq!(elsewhere.headers["location"], "https://example.com/x");
    let page = api.get(&format!("{path}/page")).await;
    assert_eq!(page.text, format!("<a href=\"{path}/x\">x</a><a href=\"y\">y</a>"));
    assert_eq!(page.headers["content-length"], page.text.len().to_string().as_str());
}

#[tokio::test]
async fn an_answer_comes_back_without_what_is_the_backends_own() {
    let (api, _backend) = with_both("127.244.0.9").await;
    let answer = api.get(&format!("{PODS}/p/proxy/cors")).await;
    assert_eq!(answer.headers["x-end"], "2");
    for name in ["access-control-allow-origin", "connection", "x-hop"] {
        assert!(!answer.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn json_of_a_backend_is_not_made_over() {
    let (api, _backend) = with_both("127.244.0.9").await;
    let answer = api.get(&format!("{PODS}/p/proxy/x?pretty=true")).await;
    assert!(!answer.text.contains('\n'), "{}", answer.text);
}

#[tokio::test]
async fn a_service_without_ready_endpoints_is_unavailable() {
    let api = on_loopback().await;
    let (address, _tasks) = backend("127.244.0.9").await;
    pod_at(&api, "p", address, false).await;
    service(&api, "s", "p", address, false).await;
    let unavailable = async |name: &str, why: &str| {
        let status = api.get(&format!("{SERVICES}/{name}/proxy/")).await;
        assert!(!status.headers.contains_key("retry-after"));
        let status = status.refused(503, "ServiceUnavailable", why);
        assert!(status.get("details").is_none(), "{status}");
    };
    unavailable("s:web", "no endpoints available for service \"s:web\"").await;
    unavailable("s", "no endpoints available for service \"s\"").await;
    unavailable("s:9", "no service port 9 found for service \"s\"").await;
    api.get(&format!("{SERVICES}/none/proxy/")).await.refused(404, "NotFound", "services \"none\" not found");
    api.get(&format!("{SERVICES}/ftp:s:web/proxy/")).await.refused(
        400,
        "BadRequest",
        "invalid service request \"ftp:s:web\"",
    );
}

#[tokio::test]
async fn an_endpoint_counts_only_while_its_pod_has_its_address() {
    let (api, _backend) = with_both("127.244.0.9").await;
    api.get(&format!("{SERVICES}/s:web/proxy/")).await.expect(200);
    let moved = json!({"status": {"podIP": "127.244.0.8", "podIPs": [{"ip": "127.244.0.8"}]}});
    api.patch(&format!("{PODS}/p/status"), "merge-patch", &moved).await.expect(200);
    let status = api.get(&format!("{SERVICES}/s:web/proxy/")).await;
    status.refused(503, "ServiceUnavailable", "no endpoints available for service \"s:web\"");
}

#[tokio::test]
async fn a_pod_that_does_not_listen_is_unavailable() {
    let api = on_loopback().await;
    let (address, backend) = backend("127.244.0.9").await;
    drop(backend);
    pod_at(&api, "p", address, false).await;
    let why = format!("error trying to reach service: dial tcp {address}: connect: connection refused");
    api.get(&format!("{PODS}/p/proxy/")).await.refused(503, "ServiceUnavailable", &why);
    let why = "error trying to reach service: dial tcp: lookup tcp/other: unknown port";
    api.get(&format!("{PODS}/p:other/proxy/")).await.refused(503, "ServiceUnavailable", why);
}

#[rstest]
#[case("127.0.0.1", "127.96.0.0/16")]
#[case("127.0.255.1", "127.96.0.0/16")]
#[case("169.254.169.254", "127.96.0.0/16")]
#[case("127.244.0.9", "10.96.0.0/16")]
#[case("0.0.0.0", "10.96.0.0/16")]
#[tokio::test]
async fn addresses_of_this_machine_for_itself_are_not_passed_on_to(#[case] ip: &str, #[case] services: &str) {
    let api = Api::with(|config| config.service_cidr = services.parse().unwrap()).await;
    pod_at(&api, "p", format!("{ip}:80").parse().unwrap(), false).await;
    api.get(&format!("{PODS}/p/proxy/")).await.refused(400, "BadRequest", "address not allowed");
}

#[tokio::test]
async fn a_pod_on_the_network_of_its_node_is_where_the_node_is() {
    let api = on_loopback().await;
    let (address, _tasks) = backend("127.0.0.1").await;
    pod_at(&api, "p", address, true).await;
    api.get(&format!("{PODS}/p/proxy/")).await.refused(400, "BadRequest", "address not allowed");
    let addresses = json!([{"type": "InternalIP", "address": "127.0.0.1"}]);
    let node = json!({"metadata": {"name": "n"}, "status": {"addresses": addresses}});
    api.post("/api/v1/nodes", &node).await.expect(201);
    assert_eq!(api.get(&format!("{PODS}/p/proxy/x")).await.expect(200)["uri"], "/x");
    // What else listens there is not the Pod's.
    api.get(&format!("{PODS}/p:1/proxy/x")).await.refused(400, "BadRequest", "address not allowed");
}

#[tokio::test]
async fn a_pod_without_an_address_cannot_be_reached() {
    let api = Api::start().await;
    api.pod("p", None).await;
    api.get(&format!("{PODS}/p/proxy/")).await.refused(400, "BadRequest", "address not allowed");
    api.get(&format!("{PODS}/q/proxy/")).await.refused(404, "NotFound", "pods \"q\" not found");
}

#[tokio::test]
async fn a_node_is_its_agent() {
    let ca = Authority::new();
    let (api, _node) = with_node(&ca).await;
    let node = api.get("/api/v1/nodes/n1").await.expect(200);
    let port = &node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"];
    for name in ["n1".to_owned(), format!("n1:{port}"), format!("https:n1:{port}")] {
        let answer = api.get(&format!("/api/v1/nodes/{name}/proxy/logs/?a")).await;
        assert_eq!((answer.code.as_u16(), answer.text.as_str()), (200, "asked for /logs/?a\n"), "{name}");
    }
    // Another port of a node that is on loopback would be one of this machine's own.
    api.get("/api/v1/nodes/n1:1/proxy/").await.refused(400, "BadRequest", "address not allowed");
    api.get("/api/v1/nodes/n2/proxy/").await.refused(404, "NotFound", "nodes \"n2\" not found");
}

#[tokio::test]
async fn discovery_tells_of_proxies() {
    let api = Api::start().await;
    let list = api.get("/api/v1").await.expect(200);
    for (name, kind) in [
        ("nodes/proxy", "NodeProxyOptions"),
        ("pods/proxy", "PodProxyOptions"),
        ("services/proxy", "ServiceProxyOptions"),
    ] {
        let found = list["resources"].as_array().unwrap().iter().find(|r| r["name"] == name).unwrap();
        assert_eq!(found["kind"], kind);
        assert_eq!(found["verbs"], json!(["create", "delete", "get", "patch", "update"]));
    }
}
