//! What is sent to extenders, and what their answers come to.

use std::time::Duration;

use parking_lot::Mutex;
use rstest::rstest;
use serde_json::{Value, json};

use super::client::Filtered;
use super::test_server::TestExtender;
use super::*;

fn settings(url: &str) -> Settings {
    let verb = |verb: &str| Some(verb.to_owned());
    Settings {
        url: url.to_owned(),
        verbs: Verbs {
            filter: verb("filter"),
            prioritize: verb("prioritize"),
            preempt: verb("preempt"),
            bind: verb("bind"),
        },
        weight: 3,
        tls: Tls::default(),
        timeout: Duration::from_mins(1),
        knows_nodes: true,
        managed: Vec::new(),
        is_ignorable: false,
    }
}

fn pod(spec: &Value) -> Pod {
    let metadata = json!({ "name": "p", "namespace": "ns", "uid": "u" });
    serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap()
}

/// An extender that always answers the same, and what it was sent.
async fn always(code: u16, answer: Value) -> (TestExtender, Arc<Mutex<Vec<(String, Value)>>>) {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let seen = sent.clone();
    let server = TestExtender::start(move |path, body| {
        seen.lock().push((path.to_owned(), body));
        (code, answer.clone())
    });
    (server.await, sent)
}

fn names() -> Vec<String> {
    vec!["a".to_owned(), "b".to_owned()]
}

fn offered(names: &[String]) -> Offered<'_> {
    Offered { names, objects: &[] }
}

#[tokio::test]
async fn nodes_are_named_to_those_who_know_them() {
    let (server, sent) = always(200, json!({"NodeNames": ["b"], "FailedNodes": {"a": "full"}})).await;
    let extender = Extender::connect(settings(&server.url())).await.unwrap();
    let filtered = extender.filter(&pod(&json!({"containers": []})), offered(&names())).await.unwrap();
    let refused = vec![("a".to_owned(), "full".to_owned(), false)];
    assert_eq!(filtered, Filtered { fit: vec!["b".to_owned()], refused });
    let (path, body) = sent.lock().remove(0);
    assert_eq!(
        (path.as_str(), &body["NodeNames"], &body["Nodes"]),
        ("/prefix/filter", &json!(["a", "b"]), &Value::Null)
    );
    assert_eq!(body["Pod"]["metadata"]["uid"], "u");
}

#[tokio::test]
async fn others_are_told_them_whole() {
    let (server, sent) = always(200, json!({"Nodes": {"items": [{"metadata": {"name": "a"}}]}})).await;
    let extender =
        Extender::connect(Settings { knows_nodes: false, ..settings(&server.url()) }).await.unwrap();
    let nodes: Vec<Arc<Node>> = names()
        .iter()
        .map(|name| {
            Arc::new(
                serde_json::from_value(json!({"metadata": {"name": name, "labels": {"l": "v"}}})).unwrap(),
            )
        })
        .collect();
    let offered = Offered { names: &names(), objects: &nodes };
    let filtered = extender.filter(&pod(&json!({"containers": []})), offered).await.unwrap();
    assert_eq!(filtered.fit, ["a"]);
    let body = sent.lock().remove(0).1;
    assert_eq!(
        (&body["Nodes"]["items"][1]["metadata"]["labels"]["l"], &body["NodeNames"]),
        (&json!("v"), &Value::Null)
    );
}

#[tokio::test]
async fn what_fails_for_good_is_told_apart() {
    let answer = json!({
        "NodeNames": [], "FailedNodes": {"a": "later", "b": "later"}, "FailedAndUnresolvableNodes": {"b": "never"},
    });
    let (server, _) = always(200, answer).await;
    let extender = Extender::connect(settings(&server.url())).await.unwrap();
    let filtered = extender.filter(&pod(&json!({"containers": []})), offered(&names())).await.unwrap();
    let refusal = |node: &str, why: &str, is_final| (node.to_owned(), why.to_owned(), is_final);
    assert_eq!(filtered.refused, [refusal("b", "never", true), refusal("a", "later", false)]);
}

#[tokio::test]
async fn scores_count_by_weight_on_our_scale() {
    let (server, _) = always(200, json!([{"Host": "a", "Score": 7}, {"host": "b", "score": 0}])).await;
    let extender = Extender::connect(settings(&server.url())).await.unwrap();
    let scores = extender.prioritize(&pod(&json!({"containers": []})), offered(&names())).await.unwrap();
    assert_eq!(scores, [("a".to_owned(), 210), ("b".to_owned(), 0)]);
}

#[tokio::test]
async fn a_binding_names_the_pod_and_its_node() {
    let (server, sent) = always(200, json!({"Error": ""})).await;
    let extender = Extender::connect(settings(&server.url())).await.unwrap();
    extender.bind(("ns", "p", "u"), "a").await.unwrap();
    let expected = json!({"PodName": "p", "PodNamespace": "ns", "PodUID": "u", "Node": "a"});
    assert_eq!(sent.lock()[0], ("/prefix/bind".to_owned(), expected));
}

#[rstest]
#[case::code(500, json!({}), "failed filter with extender at URL $U/filter, code 500")]
#[case::said(200, json!({"Error": "no licence"}), "no licence")]
#[case::unknown(200, json!({"NodeNames": ["c"]}), "extender \"$U\" claims a filtered node \"c\" which is not found in the input node list")]
#[tokio::test]
async fn failures_read_as_upstream(#[case] code: u16, #[case] answer: Value, #[case] expected: &str) {
    let (server, _) = always(code, answer).await;
    let extender = Extender::connect(settings(&server.url())).await.unwrap();
    let error = extender.filter(&pod(&json!({"containers": []})), offered(&names())).await.unwrap_err();
    assert_eq!(error.to_string(), expected.replace("$U", &server.url()));
}

#[tokio::test]
async fn nobody_listening_is_no_answer() {
    let (server, _) = always(200, json!({})).await;
    let url = server.url();
    drop(server);
    let extender = Extender::connect(settings(&url)).await.unwrap();
    let error = extender.bind(("ns", "p", "u"), "a").await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("Post \"{url}/bind\": ")), "{error}");
}

#[tokio::test]
async fn pods_that_want_nothing_of_it_are_not_its_concern() {
    let managed = Settings { managed: vec!["e.com/foo".to_owned()], ..settings("http://127.0.0.1:1") };
    let extender = Extender::connect(managed).await.unwrap();
    let wants = |list: &str, name: &str| json!({ "name": "c", "resources": { list: { name: "1" } } });
    assert!(!extender.is_interested(&pod(&json!({"containers": [wants("requests", "cpu")]}))));
    assert!(extender.is_interested(&pod(&json!({"containers": [wants("limits", "e.com/foo")]}))));
    let init = json!({"containers": [], "initContainers": [wants("requests", "e.com/foo")]});
    assert!(extender.is_interested(&pod(&init)));
}
