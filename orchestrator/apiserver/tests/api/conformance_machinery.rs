//! The conformance descriptions of sig-api-machinery on watches, chunks, discovery, validation and events.
//!
//! Each test is named after the description that it does.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Api, CONFIG_MAPS, DEPLOYMENTS, deployment};

const TEMPLATES: &str = "/api/v1/namespaces/default/podtemplates";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

async fn mutate(api: &Api, name: &str, value: usize) -> Value {
    let patch = json!({"data": {"mutation": value.to_string()}});
    api.patch(&format!("{CONFIG_MAPS}/{name}"), "merge-patch", &patch).await.expect(200)
}

#[tokio::test]
async fn watch_configmaps_closed_and_restarted() {
    let api = Api::start().await;
    let labels = json!({"watch": "restarted"});
    let mut first = api.watch(&format!("{CONFIG_MAPS}?watch=1&labelSelector=watch%3Drestarted")).await;
    api.config_map("a", &labels).await;
    mutate(&api, "a", 1).await;
    first.take(1).await;
    let last = version(&first.next().await.unwrap()["object"]);
    drop(first);
    mutate(&api, "a", 2).await;
    api.delete(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    let path = format!("{CONFIG_MAPS}?watch=1&labelSelector=watch%3Drestarted&resourceVersion={last}");
    assert_eq!(api.watch(&path).await.take(2).await, ["MODIFIED a", "DELETED a"]);
}

#[tokio::test]
async fn watch_configmaps_from_resource_version() {
    let api = Api::start().await;
    api.config_map("a", &json!({})).await;
    let first = version(&mutate(&api, "a", 1).await);
    mutate(&api, "a", 2).await;
    api.delete(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    let mut watch = api.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={first}")).await;
    let modified = watch.next().await.unwrap();
    assert_eq!(
        (&modified["type"], &modified["object"]["data"]["mutation"]),
        (&json!("MODIFIED"), &json!("2"))
    );
    assert_eq!(watch.take(1).await, ["DELETED a"]);
}

#[tokio::test]
async fn watch_configmaps_with_multiple_watchers() {
    let api = Api::start().await;
    let watch =
        async |selector: &str| api.watch(&format!("{CONFIG_MAPS}?watch=1&labelSelector={selector}")).await;
    let mut a = watch("watch%3Da").await;
    let mut b = watch("watch%3Db").await;
    let mut both = watch("watch%20in%20(a,b)").await;
    for name in ["a", "b"] {
        api.config_map(name, &json!({"watch": name})).await;
        mutate(&api, name, 1).await;
        mutate(&api, name, 2).await;
        api.delete(&format!("{CONFIG_MAPS}/{name}")).await.expect(200);
    }
    let of = |name: &str| ["ADDED", "MODIFIED", "MODIFIED", "DELETED"].map(|what| format!("{what} {name}"));
    assert_eq!(a.take(4).await, of("a"));
    assert_eq!(b.take(4).await, of("b"));
    assert_eq!(both.take(8).await, [of("a"), of("b")].concat());
}

#[tokio::test]
async fn watch_configmaps_label_changed() {
    let api = Api::start().await;
    let label = async |value: &str| {
        let patch = json!({"metadata": {"labels": {"watch": value}}});
        api.patch(&format!("{CONFIG_MAPS}/a"), "merge-patch", &patch).await.expect(200)
    };
    let mut watch = api.watch(&format!("{CONFIG_MAPS}?watch=1&labelSelector=watch%3Dhere")).await;
    api.config_map("a", &json!({"watch": "here"})).await;
    mutate(&api, "a", 1).await;
    label("gone").await;
    mutate(&api, "a", 2).await;
    label("here").await;
    mutate(&api, "a", 3).await;
    api.delete(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    let told = watch.take(3).await;
    assert_eq!(told, ["ADDED a", "MODIFIED a", "DELETED a"]);
    let back = watch.next().await.unwrap();
    assert_eq!((&back["type"], &back["object"]["data"]["mutation"]), (&json!("ADDED"), &json!("2")));
    assert_eq!(watch.take(2).await, ["MODIFIED a", "DELETED a"]);
}

#[tokio::test]
async fn watch_consistency() {
    const CHANGES: usize = 100;
    let api = Api::start().await;
    let start = version(&api.get(CONFIG_MAPS).await.expect(200));
    let writes = async {
        for round in 0..CHANGES / 4 {
            let name = format!("a-{round}");
            api.config_map(&name, &json!({})).await;
            mutate(&api, &name, 1).await;
            mutate(&api, &name, 2).await;
            api.delete(&format!("{CONFIG_MAPS}/{name}")).await.expect(200);
        }
    };
    let reads = async {
        let mut first = api.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={start}")).await;
        let mut versions = vec![start.clone()];
        let mut others = Vec::new();
        for _ in 0..CHANGES {
            let path = format!("{CONFIG_MAPS}?watch=1&resourceVersion={}", versions.last().unwrap());
            others.push(api.watch(&path).await);
            versions.push(version(&first.next().await.unwrap()["object"]));
        }
        (versions, others)
    };
    let ((), (versions, mut others)) = futures::join!(writes, reads);
    let seen = join_all(others.iter_mut().enumerate().map(async |(from, watch)| {
        let mut seen = Vec::new();
        for _ in from..CHANGES {
            seen.push(version(&watch.next().await.unwrap()["object"]));
        }
        seen
    }));
    for (from, seen) in seen.await.into_iter().enumerate() {
        assert_eq!(seen, versions[from + 1..]);
    }
}

fn template(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}},
    })
}

async fn templates(api: &Api, count: usize) {
    for at in 0..count {
        api.post(TEMPLATES, &template(&format!("template-{at:04}"))).await.expect(201);
    }
}

/// Follows continue tokens to the end and checks every page; answers how many items there were.
async fn pages(api: &Api, first: Value, limit: usize, total: usize, mut seen: usize) -> usize {
    let revision = version(&first);
    let mut page = first;
    loop {
        let items = page["items"].as_array().unwrap().len();
        assert!(items <= limit, "{items} items in a page of {limit}");
        assert_eq!(version(&page), revision);
        seen += items;
        let Some(token) = page["metadata"]["continue"].as_str() else { break };
        assert_eq!(page["metadata"]["remainingItemCount"], total - seen);
        page = api.get(&format!("{TEMPLATES}?limit={limit}&continue={token}")).await.expect(200);
    }
    assert!(page["metadata"]["remainingItemCount"].is_null());
    seen
}

#[tokio::test]
async fn api_chunking_server_should_return_chunks_of_results_for_list_calls() {
    const TOTAL: usize = 80;
    let api = Api::start().await;
    templates(&api, TOTAL).await;
    let limit = TOTAL / 3;
    let first = api.get(&format!("{TEMPLATES}?limit={limit}")).await.expect(200);
    // What comes later is in no page of the list.
    api.post(TEMPLATES, &template("template-9999")).await.expect(201);
    assert_eq!(pages(&api, first, limit, TOTAL, 0).await, TOTAL);
    let whole = api.get(TEMPLATES).await.expect(200);
    assert_eq!(whole["items"].as_array().unwrap().len(), TOTAL + 1);
    assert!(whole["metadata"]["continue"].is_null());
}

#[tokio::test]
async fn api_chunking_server_should_support_continue_listing_from_the_last_key_even_if_the_original_version_has_been_compacted_away()
 {
    const TOTAL: usize = 40;
    let api = Api::start().await;
    templates(&api, TOTAL).await;
    let limit = TOTAL / 4;
    let first = api.get(&format!("{TEMPLATES}?limit={limit}")).await.expect(200);
    let token = first["metadata"]["continue"].as_str().unwrap();
    api.config_map("later", &json!({})).await;
    api.store.compact(api.store.revision()).await.unwrap();
    let path = format!("{TEMPLATES}?limit={limit}&continue=");
    let expired = api.get(&format!("{path}{token}")).await.expect(410);
    assert_eq!(expired["reason"], "Expired");
    let inconsistent = expired["metadata"]["continue"].as_str().unwrap();
    let second = api.get(&format!("{path}{inconsistent}")).await.expect(200);
    assert_ne!(version(&second), version(&first));
    assert_eq!(second["metadata"]["remainingItemCount"], TOTAL - 2 * limit);
    assert_eq!(pages(&api, second, limit, TOTAL, limit).await, TOTAL);
}

#[tokio::test]
async fn discovery_confirm_the_group_version_and_a_resource_from_each_api_group() {
    let api = Api::start().await;
    let groups = api.get("/apis").await.expect(200);
    for group in groups["groups"].as_array().unwrap() {
        for served in group["versions"].as_array().unwrap() {
            let group_version = served["groupVersion"].as_str().unwrap();
            let list = api.get(&format!("/apis/{group_version}")).await.expect(200);
            assert_eq!(list["groupVersion"], group_version);
            let resource = &list["resources"][0];
            assert!(!resource["name"].as_str().unwrap().is_empty(), "{group_version}");
            assert!(!resource["kind"].as_str().unwrap().is_empty(), "{group_version}");
        }
    }
}

#[tokio::test]
async fn discovery_confirm_the_preferred_version_for_each_api_group() {
    let api = Api::start().await;
    let groups = api.get("/apis").await.expect(200);
    for group in groups["groups"].as_array().unwrap() {
        let name = group["name"].as_str().unwrap();
        let alone = api.get(&format!("/apis/{name}")).await.expect(200);
        assert_eq!(alone["preferredVersion"], group["preferredVersion"]);
        assert!(alone["versions"].as_array().unwrap().contains(&alone["preferredVersion"]), "{name}");
    }
}

/// What the older documents list of a group: version and resource.
async fn listed(api: &Api, group: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for served in group["versions"].as_array().unwrap() {
        let group_version = served["groupVersion"].as_str().unwrap();
        let list = api.get(&format!("/apis/{group_version}")).await.expect(200);
        let names = list["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap());
        let whole = names.filter(|name| !name.contains('/'));
        all.extend(whole.map(|name| format!("{} {name}", served["version"].as_str().unwrap())));
    }
    all
}

/// What the newer document lists of a group: version and resource.
fn aggregated(document: &Value, group: &str) -> Vec<String> {
    let groups = document["items"].as_array().unwrap();
    let group = groups.iter().find(|g| g["metadata"]["name"].as_str().unwrap_or_default() == group);
    let versions = group.unwrap()["versions"].as_array().unwrap();
    let resources = versions.iter().flat_map(|version| {
        let resources = version["resources"].as_array().unwrap().iter();
        resources.map(|r| [&version["version"], &r["resource"]].map(|text| text.as_str().unwrap()).join(" "))
    });
    resources.collect()
}

#[tokio::test]
async fn aggregated_discovery_interface() {
    let api = Api::start().await;
    let document = api.get_as("/apis", AGGREGATED).await.expect(200);
    let groups = api.get("/apis").await.expect(200);
    for group in groups["groups"].as_array().unwrap() {
        assert_eq!(aggregated(&document, group["name"].as_str().unwrap()), listed(&api, group).await);
    }
    let core = aggregated(&api.get_as("/api", AGGREGATED).await.expect(200), "");
    for name in ["bindings", "configmaps", "namespaces", "nodes", "pods", "secrets", "services"] {
        assert!(core.contains(&format!("v1 {name}")), "{name}");
    }
}

#[tokio::test]
async fn aggregated_discovery_endpoint_accept_headers() {
    let api = Api::start().await;
    let preferred = format!("{AGGREGATED},application/json");
    for path in ["/api", "/apis"] {
        let aggregated = api.get_as(path, &preferred).await;
        assert_eq!(aggregated.headers["content-type"], AGGREGATED);
        assert_eq!(aggregated.expect(200)["kind"], "APIGroupDiscoveryList");
        let plain = api.get_as(path, "application/json").await;
        assert_eq!(plain.headers["content-type"], "application/json");
        assert_ne!(plain.expect(200)["kind"], "APIGroupDiscoveryList");
    }
}

#[tokio::test]
async fn server_side_field_validation_typed_object() {
    let api = Api::start().await;
    let strict = format!("{DEPLOYMENTS}?fieldValidation=Strict");
    let body = deployment("a").to_string().replacen(
        "\"template\"",
        "\"unknown1\":\"val\",\"paused\":true,\"paused\":false,\"template\"",
        1,
    );
    let answer = api.raw("POST", &strict, "application/json", body).await.expect(400);
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("strict decoding error: "), "{message}");
    assert!(message.contains(r#"unknown field "spec.unknown1""#), "{message}");
    assert!(message.contains(r#"duplicate field "spec.paused""#), "{message}");
    api.get(&format!("{DEPLOYMENTS}/a")).await.expect(404);
}

#[tokio::test]
async fn server_side_field_validation_typed_unknown_metadata() {
    let api = Api::start().await;
    let mut body = deployment("a");
    body["metadata"]["unknownMeta"] = "foo".into();
    body["spec"]["template"]["metadata"]["unknownEmbedded"] = "bar".into();
    let answer = api.post(&format!("{DEPLOYMENTS}?fieldValidation=Strict"), &body).await.expect(400);
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains(r#"unknown field "metadata.unknownMeta""#), "{message}");
    assert!(message.contains(r#"unknown field "spec.template.metadata.unknownEmbedded""#), "{message}");
    api.get(&format!("{DEPLOYMENTS}/a")).await.expect(404);
}

#[tokio::test]
async fn confirm_a_server_version() {
    let version = Api::start().await.get("/version").await.expect(200);
    for part in ["major", "minor"] {
        assert!(version[part].as_str().unwrap().bytes().all(|b| b.is_ascii_digit()), "{version}");
    }
}

fn event(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"testevent-set": "true"}},
        "regarding": {"kind": "Pod", "namespace": "default", "name": "pod-1"},
        "note": "The event test", "reason": "Test", "type": "Normal", "action": "Do",
        "eventTime": "2024-05-06T07:08:09.000000Z",
        "reportingController": "test-controller", "reportingInstance": "test-node",
    })
}

#[tokio::test]
async fn new_event_resource_lifecycle_testing_a_single_event() {
    let api = Api::start().await;
    api.post(EVENTS, &event("a")).await.expect(201);
    let listed = api.get("/apis/events.k8s.io/v1/events").await.expect(200);
    assert_eq!(listed["items"][0]["note"], "The event test");
    let path = format!("{EVENTS}/a");
    let patch = json!({"series": {"count": 2, "lastObservedTime": "2024-05-06T07:30:00.000000Z"}});
    api.patch(&path, "strategic-merge-patch", &patch).await.expect(200);
    let mut found = api.get(&path).await.expect(200);
    assert_eq!(found["series"], patch["series"]);
    found["series"] = json!({"count": 100, "lastObservedTime": "2024-05-06T08:00:00.000000Z"});
    api.put(&path, &found).await.expect(200);
    assert_eq!(api.get(&path).await.expect(200)["series"], found["series"]);
    api.delete(&path).await.expect(200);
    assert_eq!(api.get(EVENTS).await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn new_event_resource_lifecycle_testing_a_list_of_events() {
    let api = Api::start().await;
    for name in ["a", "b", "c"] {
        api.post(EVENTS, &event(name)).await.expect(201);
    }
    let selected = format!("{EVENTS}?labelSelector=testevent-set%3Dtrue");
    assert_eq!(api.get(&selected).await.expect(200)["items"].as_array().unwrap().len(), 3);
    api.delete(&selected).await.expect(200);
    assert_eq!(api.get(&selected).await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn endpointslice_api() {
    let api = Api::start().await;
    let groups = api.get("/apis").await.expect(200);
    assert!(groups["groups"].as_array().unwrap().iter().any(|g| g["name"] == "discovery.k8s.io"));
    let group = api.get("/apis/discovery.k8s.io").await.expect(200);
    assert!(group["versions"].as_array().unwrap().iter().any(|v| v["version"] == "v1"));
    let resources = api.get("/apis/discovery.k8s.io/v1").await.expect(200);
    assert!(resources["resources"].as_array().unwrap().iter().any(|r| r["name"] == "endpointslices"));
    let slice = |name: &str| {
        json!({
            "metadata": {"name": name, "labels": {"special": "yes"}}, "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.1.2.3", "10.1.2.4"]}], "ports": [],
        })
    };
    for name in ["a", "b", "c"] {
        api.post(SLICES, &slice(name)).await.expect(201);
    }
    let path = format!("{SLICES}/a");
    let listed =
        api.get("/apis/discovery.k8s.io/v1/endpointslices?labelSelector=special%3Dyes").await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 3);
    let begin = version(&listed);
    let mut watch =
        api.watch(&format!("{SLICES}?watch=1&labelSelector=special%3Dyes&resourceVersion={begin}")).await;
    let patch = json!({"metadata": {"annotations": {"patched": "true"}}});
    let mut patched = api.patch(&path, "merge-patch", &patch).await.expect(200);
    patched["metadata"]["annotations"]["updated"] = "true".into();
    let updated = api.put(&path, &patched).await.expect(200);
    assert_eq!(updated["metadata"]["annotations"], json!({"patched": "true", "updated": "true"}));
    assert_eq!(watch.take(2).await, ["MODIFIED a", "MODIFIED a"]);
    api.delete(&path).await.expect(200);
    api.get(&path).await.expect(404);
    api.delete(&format!("{SLICES}?labelSelector=special%3Dyes")).await.expect(200);
    assert_eq!(watch.take(3).await, ["DELETED a", "DELETED b", "DELETED c"]);
    assert_eq!(api.get(SLICES).await.expect(200)["items"], json!([]));
}
