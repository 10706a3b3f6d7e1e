//! The protocol around objects: representations, paths, options, and what each refusal says.

use std::io::Read;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use rstest::rstest;
use serde_json::{Value, json};
use tower::ServiceExt;
use wherry_apiserver::UserInfo;

use crate::harness::{Api, CONFIG_MAPS, PODS, deployment, names};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

#[tokio::test]
async fn an_accept_header_that_no_route_produces_is_refused_before_the_resource_is_asked() {
    let api = Api::start().await;
    let available = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
                     application/vnd.kubernetes.protobuf";
    let absent = format!("{CONFIG_MAPS}/absent");
    api.get_as(&absent, "application/*").await.refused(406, "NotAcceptable", available);
    let served = "only the following media types are accepted: application/json, application/yaml, \
                  application/vnd.kubernetes.protobuf";
    api.get_as(&absent, "application/json;as=Table;g=nope;v=v1").await.refused(406, "NotAcceptable", served);
    api.get_as(&absent, "application/json;q=0.5, text/html").await.expect(404);
}

#[tokio::test]
async fn yaml_cannot_be_watched() {
    let api = Api::start().await;
    let answer = api.get_as(&format!("{CONFIG_MAPS}?watch=1"), "application/yaml").await;
    assert_eq!(answer.code, 406);
    assert!(answer.text.contains("application/json;stream=watch"), "{}", answer.text);
}

#[tokio::test]
async fn what_a_table_includes_is_checked_for_tables_only() {
    let api = Api::start().await;
    let path = format!("{CONFIG_MAPS}?includeObject=All");
    api.get(&path).await.expect(200);
    let message = "Unable to convert to Table as requested: includeObject: Unsupported value: \"All\": supported values: \
                   \"Metadata\", \"Object\", \"None\", \"\"";
    api.get_as(&path, TABLE).await.refused(400, "BadRequest", message);
}

#[rstest]
#[case("?pretty=true", "tests", true)]
#[case("?pretty=false", "curl/8", false)]
#[case("", "curl/8", true)]
#[case("", "tests", false)]
#[tokio::test]
async fn people_get_lines(#[case] query: &str, #[case] agent: &str, #[case] lines: bool) {
    let api = Api::start().await;
    api.config_map("a", &json!({})).await;
    let path = format!("{CONFIG_MAPS}/a{query}");
    let request = Request::get(path).header("user-agent", agent).body(Body::empty()).unwrap();
    let answer = api.send(request).await;
    assert_eq!(answer.text.contains("\n  \"metadata\": {\n"), lines, "{}", answer.text);
    assert_eq!(answer.body["metadata"]["name"], "a");
}

#[rstest]
#[case("gzip, deflate", true)]
#[case("deflate", false)]
#[tokio::test]
async fn large_answers_are_compressed_for_who_can_read_it(#[case] encodings: &str, #[case] compressed: bool) {
    let api = Api::start().await;
    for name in ["a", "b", "c"] {
        let body = json!({"metadata": {"name": name}, "data": {"k": "v".repeat(50_000)}});
        api.post(CONFIG_MAPS, &body).await.expect(201);
    }
    let router = api.server.router_as(UserInfo::master("tester"));
    for (path, large) in [
        (CONFIG_MAPS.to_owned(), true),
        (format!("{CONFIG_MAPS}?limit=9"), true),
        (format!("{CONFIG_MAPS}/a"), false),
    ] {
        let request = Request::get(&path).header("accept-encoding", encodings).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let gzip = response.headers().get("content-encoding").is_some_and(|v| v == "gzip");
        assert_eq!(gzip, large && compressed, "{path}");
        assert_eq!(response.headers().contains_key("vary"), gzip);
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let mut text = String::new();
        if gzip {
            flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
        } else {
            text = String::from_utf8(bytes.into()).unwrap();
        }
        assert!(serde_json::from_str::<Value>(&text).unwrap()["metadata"].is_object());
    }
}

#[tokio::test]
async fn the_older_form_of_a_watch_is_served() {
    let api = Api::start().await;
    api.config_map("a", &json!({})).await;
    api.config_map("ab", &json!({})).await;
    let mut all = api.watch("/api/v1/watch/namespaces/default/configmaps").await;
    let mut one = api.watch("/api/v1/watch/namespaces/default/configmaps/a").await;
    assert_eq!(all.take(2).await, ["ADDED a", "ADDED ab"]);
    assert_eq!(one.take(1).await, ["ADDED a"]);
    api.delete(&format!("{CONFIG_MAPS}/ab")).await.expect(200);
    api.delete(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    assert_eq!(one.take(1).await, ["DELETED a"]);
    let path = "/api/v1/watch/namespaces/default/configmaps/a?fieldSelector=metadata.name%3Db";
    let message = "fieldSelector metadata.name doesn't match requested name";
    api.get(path).await.refused(400, "BadRequest", message);
    api.post("/api/v1/watch/configmaps", &json!({})).await.expect(405);
}

#[tokio::test]
async fn a_watch_of_one_name_is_told_of_no_other() {
    let api = Api::start().await;
    let path = format!("{CONFIG_MAPS}?watch=1&fieldSelector=metadata.name%3Da");
    let mut events = api.watch(&path).await;
    api.config_map("aa", &json!({})).await;
    api.config_map("a", &json!({})).await;
    assert_eq!(events.take(1).await, ["ADDED a"]);
    let list = api.get(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Da")).await.expect(200);
    assert_eq!(names(&list), ["a"]);
}

#[tokio::test]
async fn one_object_is_got_even_if_the_query_asks_for_a_watch() {
    let api = Api::start().await;
    api.config_map("a", &json!({})).await;
    let object = api.get(&format!("{CONFIG_MAPS}/a?watch=1")).await.expect(200);
    assert_eq!(object["kind"], "ConfigMap");
}

#[tokio::test]
async fn methods_that_a_resource_does_not_have_are_not_allowed() {
    let api = Api::start().await;
    for method in ["HEAD", "OPTIONS", "TRACE"] {
        assert_eq!(api.raw(method, CONFIG_MAPS, "application/json", "").await.code, 405, "{method}");
    }
    assert_eq!(api.raw("HEAD", "/livez", "application/json", "").await.code, 200);
}

#[tokio::test]
async fn a_limit_asks_for_the_state_of_its_version_and_not_for_whatever_there_is() {
    let api = Api::start().await;
    for name in ["a", "b"] {
        api.config_map(name, &json!({})).await;
    }
    let then = api.store.revision();
    api.delete(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    let exact = api.get(&format!("{CONFIG_MAPS}?limit=1&resourceVersion={then}")).await.expect(200);
    assert_eq!(names(&exact), ["a"]);
    api.config_map("c", &json!({})).await;
    let any = api.get(&format!("{CONFIG_MAPS}?limit=1&resourceVersion=0")).await.expect(200);
    assert_eq!(names(&any), ["b", "c"]);
    api.store.compact(api.store.revision()).await.unwrap();
    let path = format!("{CONFIG_MAPS}?resourceVersion={then}&resourceVersionMatch=Exact");
    let message = "The resourceVersion for the provided list is too old.";
    api.get(&path).await.refused(410, "Expired", message);
}

#[tokio::test]
async fn a_page_goes_on_while_anything_follows_whether_it_is_wanted_or_not() {
    let api = Api::start().await;
    api.config_map("a", &json!({"app": "x"})).await;
    api.config_map("b", &json!({"app": "y"})).await;
    let path = format!("{CONFIG_MAPS}?limit=1&labelSelector=app%3Dx");
    let first = api.get(&path).await.expect(200);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = api.get(&format!("{path}&continue={token}")).await.expect(200);
    assert!(names(&second).is_empty() && second["metadata"]["continue"].is_null());
}

#[tokio::test]
async fn a_watch_that_begins_with_the_state_of_the_future_ends_with_a_timeout() {
    let api = Api::start().await;
    let path = format!(
        "{CONFIG_MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=999"
    );
    let event = api.watch(&path).await.next().await.unwrap();
    assert_eq!((event["type"].as_str(), event["object"]["code"].as_u64()), (Some("ERROR"), Some(504)));
}

#[tokio::test]
async fn a_watch_of_anything_that_takes_bookmarks_is_told_where_the_state_ends() {
    let api = Api::start().await;
    api.config_map("a", &json!({})).await;
    let mut events = api.watch(&format!("{CONFIG_MAPS}?watch=1&allowWatchBookmarks=true")).await;
    assert_eq!(events.take(1).await, ["ADDED a"]);
    let end = events.next().await.unwrap();
    assert_eq!(end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
}

#[tokio::test]
async fn a_pod_that_may_go_at_once_is_marked_first() {
    let api = Api::start().await;
    let mut events = api.watch(&format!("{PODS}?watch=1")).await;
    api.pod("p", None).await;
    let gone = api.delete(&format!("{PODS}/p")).await.expect(200);
    assert_eq!(events.take(1).await, ["ADDED p"]);
    let (marked, deleted) = (events.next().await.unwrap(), events.next().await.unwrap());
    assert_eq!((&marked["type"], &deleted["type"]), (&json!("MODIFIED"), &json!("DELETED")));
    assert_eq!(marked["object"]["metadata"]["deletionGracePeriodSeconds"], 0);
    assert_eq!(deleted["object"]["metadata"]["resourceVersion"], gone["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn a_deletion_that_waits_is_accepted_if_dependents_must_go() {
    let api = Api::start().await;
    api.post("/apis/apps/v1/namespaces/default/deployments", &deployment("d")).await.expect(201);
    let path = "/apis/apps/v1/namespaces/default/deployments/d";
    let finalizer = json!({"metadata": {"finalizers": ["a.b/c"]}});
    api.patch(path, "merge-patch", &finalizer).await.expect(200);
    api.delete_with(path, &json!({"orphanDependents": false})).await.expect(202);
    api.delete_with(path, &json!({})).await.expect(200);
}

#[tokio::test]
async fn a_deletion_cannot_say_both_ways_what_happens_to_dependents() {
    let api = Api::start().await;
    api.config_map("a", &json!({})).await;
    let both = json!({"orphanDependents": true, "propagationPolicy": "Foreground", "dryRun": ["x"]});
    let status = api.delete_with(&format!("{CONFIG_MAPS}/a"), &both).await.expect(422);
    let fields: Vec<_> =
        status["details"]["causes"].as_array().unwrap().iter().map(|c| &c["field"]).collect();
    assert_eq!(fields, ["propagationPolicy", "dryRun"]);
}

#[tokio::test]
async fn who_deletes_a_job_is_told_that_its_pods_stay() {
    let api = Api::start().await;
    let path = "/apis/batch/v1/namespaces/default/jobs/absent";
    let answer = api.delete(path).await;
    assert!(answer.headers["warning"].to_str().unwrap().contains("child pods are preserved by default"));
    answer.expect(404);
    let answer = api.delete_with(path, &json!({"propagationPolicy": "Background"})).await;
    assert!(!answer.headers.contains_key("warning"));
}

#[tokio::test]
async fn a_replication_controller_leaves_its_pods_unless_told_otherwise() {
    let api = Api::start().await;
    let path = "/api/v1/namespaces/default/replicationcontrollers";
    let template =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let body = json!({"metadata": {"name": "r"}, "spec": {"selector": {"a": "b"}, "template": template}});
    api.post(path, &body).await.expect(201);
    let marked = api.delete(&format!("{path}/r")).await.expect(200);
    assert_eq!(marked["metadata"]["finalizers"], json!(["orphan"]));
}
