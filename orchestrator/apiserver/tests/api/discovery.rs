//! What the server tells of itself.

use axum::body::Body;
use http::Request;
use serde_json::json;

use crate::harness::Api;

#[tokio::test]
async fn groups_versions_and_resources_are_told_the_older_way() {
    let api = Api::start().await;
    assert_eq!(api.get("/api").await.expect(200)["versions"], json!(["v1"]));
    let groups = api.get("/apis").await.expect(200);
    let named: Vec<&str> =
        groups["groups"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap()).collect();
    assert!(named.contains(&"apps") && named.contains(&"events.k8s.io"), "{named:?}");
    let apps = api.get("/apis/apps/v1").await.expect(200);
    let resources: Vec<&str> =
        apps["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert!(resources.is_sorted() && resources.len() > 10, "{resources:?}");
    let scale = resources.iter().position(|name| *name == "deployments/scale").unwrap();
    assert_eq!(apps["resources"][scale]["group"], "autoscaling");
    assert_eq!(api.get("/apis/apps").await.expect(200)["preferredVersion"]["groupVersion"], "apps/v1");
}

#[tokio::test]
async fn everything_is_told_in_one_document_that_is_not_sent_twice() {
    let api = Api::start().await;
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let answer = api.get_as("/apis", accept).await;
    assert_eq!(
        answer.headers["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    let tag = answer.headers["etag"].clone();
    let document = answer.expect(200);
    assert_eq!(document["kind"], "APIGroupDiscoveryList");
    let apps =
        document["items"].as_array().unwrap().iter().find(|g| g["metadata"]["name"] == "apps").unwrap();
    let resources = apps["versions"][0]["resources"].as_array().unwrap();
    let scalable = resources.iter().find(|r| r["resource"] == "statefulsets").unwrap();
    assert_eq!(scalable["subresources"][0]["subresource"], "scale");
    let again = Request::get("/apis").header("accept", accept).header("if-none-match", tag);
    assert_eq!(api.send(again.body(Body::empty()).unwrap()).await.code, 304);
}

#[tokio::test]
async fn the_server_tells_its_address_and_the_versions_of_a_group() {
    let api = Api::with(|config| config.address = Some("127.0.0.1:6443".parse().unwrap())).await;
    let core = api.get("/api").await.expect(200);
    let addresses = json!([{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:6443"}]);
    assert_eq!(core["serverAddressByClientCIDRs"], addresses);
    let yaml = api.get_as("/apis/apps", "application/yaml").await;
    assert_eq!(yaml.headers["content-type"], "application/yaml");
    assert!(yaml.text.starts_with("apiVersion: v1\nkind: APIGroup\nname: apps\n"), "{}", yaml.text);
    for path in ["/apis/apps", "/apis/apps/v1", "/version"] {
        let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        assert_eq!(api.get_as(path, accept).await.code, 406, "{path}");
    }
    assert_eq!(api.get_as("/apis", "text/html").await.expect(406)["reason"], "NotAcceptable");
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    assert_eq!(api.get_as("/api", accept).await.code, 406);
}

#[tokio::test]
async fn the_root_lists_the_paths_there_are() {
    let api = Api::start().await;
    let root = api.get("/").await.expect(200);
    let paths: Vec<&str> = root["paths"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
    assert!(paths.is_sorted(), "{paths:?}");
    for path in ["/api/v1", "/apis/apps", "/apis/apps/v1", "/livez/ping", "/metrics", "/openapi/v2"] {
        assert!(paths.contains(&path), "{path}");
    }
    for path in paths {
        assert_eq!(api.get(path).await.code, 200, "{path}");
    }
}

#[tokio::test]
async fn every_answer_carries_an_audit_id_and_says_that_it_is_private() {
    let api = Api::start().await;
    for path in ["/version", "/nope", "/livez", "/api/v1/pods"] {
        let headers = api.get(path).await.headers;
        assert!(!headers["audit-id"].is_empty());
        assert_eq!(headers["cache-control"], "no-cache, private", "{path}");
    }
    let named = Request::get("/version").header("audit-id", "mine").body(Body::empty()).unwrap();
    assert_eq!(api.send(named).await.headers["audit-id"], "mine");
}

#[tokio::test]
async fn the_version_is_one_that_clients_understand() {
    let api = Api::start().await;
    let version = api.get("/version").await.expect(200);
    assert_eq!((&version["major"], &version["minor"]), (&json!("1"), &json!("36")));
    assert!(version["gitVersion"].as_str().unwrap().starts_with("v1.36."));
}

#[rstest::rstest]
#[case("GET", "/nope", 404)]
#[case("GET", "/api/v2", 404)]
#[case("GET", "/apis/apps/v1/nopes", 404)]
#[case("GET", "/api//v1", 404)]
#[case("GET", "/api/v1/namespaces/default/nodes", 404)]
#[case("GET", "/api/v1/pods/p", 404)]
#[case("GET", "/api/v1/namespaces/default/pods/p/nope", 404)]
#[case("GET", "/api/v1/namespaces/default/pods/a%2Fb", 404)]
#[case("PUT", "/api/v1/namespaces/default/pods", 405)]
#[case("POST", "/api/v1/namespaces/default/pods/p", 405)]
#[case("POST", "/api/v1/pods", 405)]
#[case("DELETE", "/api/v1/namespaces", 405)]
#[case("POST", "/version", 405)]
#[case("GET", "/api/v1/namespaces/default/bindings", 405)]
#[tokio::test]
async fn paths_that_lead_nowhere_are_refused(#[case] method: &str, #[case] path: &str, #[case] code: u16) {
    let api = Api::start().await;
    assert_eq!(api.raw(method, path, "application/json", "{}").await.code.as_u16(), code);
}
