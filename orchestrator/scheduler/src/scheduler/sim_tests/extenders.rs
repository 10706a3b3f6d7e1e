//! The scheduler with extenders that are real servers: what they say decides.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wherry_api::clock::SystemClock;

use super::server::Server;
use super::{Running, Scheduler};
use crate::config::{Config, Configuration};
use crate::extender::Extenders;
use crate::extender::test_server::TestExtender;
use crate::io::events::recorder;

/// Starts a scheduler that asks this extender.
async fn start(server: &Server, extender: &TestExtender, more: Value) -> Running {
    let mut settings = json!({ "urlPrefix": extender.url(), "nodeCacheCapable": true });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let configuration = Configuration::parse(json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
        "extenders": [settings],
    }))
    .unwrap();
    let extenders = Extenders::connect(&configuration.extenders).await.unwrap();
    let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
    let client = server.client();
    let config = Config { configuration, ..Config::new(Arc::new(SystemClock)) };
    let (recorder, writer) = recorder(client.clone(), config.clock.clone(), "host".to_owned());
    tasks.spawn(writer.run(stop.clone()));
    let scheduler = Scheduler::new(client, config, recorder).asking(extenders);
    tasks.spawn(scheduler.run(server.watch(1), stop.clone()));
    Running { tasks, stop }
}

fn server(nodes: &[(&str, i64)]) -> Server {
    let server = Server::default();
    for (name, cpu) in nodes {
        server.0.lock().set_node(name, *cpu);
    }
    server
}

/// Waits until the server is as described; every change of a Pod is looked at.
async fn until<T>(server: &Server, is: impl Fn(&super::Model) -> Option<T>) -> T {
    let mut changes = server.watch(2);
    loop {
        if let Some(found) = is(&server.0.lock()) {
            return found;
        }
        changes.recv().await.unwrap();
    }
}

async fn node_of(server: &Server, pod: &str) -> String {
    until(server, |model| model.pods.get(pod)?.node.clone()).await
}

#[tokio::test]
async fn the_best_of_those_that_pass_is_taken() {
    let server = server(&[("a", 8), ("b", 8), ("c", 8)]);
    let extender = TestExtender::start(|path, body| match path {
        "/prefix/filter" => (200, json!({"NodeNames": ["a", "b"], "FailedNodes": {"c": "full"}})),
        "/prefix/prioritize" => {
            assert_eq!(body["NodeNames"], json!(["a", "b"]));
            (200, json!([{"Host": "a", "Score": 1}, {"Host": "b", "Score": 10}]))
        }
        other => panic!("{other}"),
    })
    .await;
    let verbs = json!({"filterVerb": "filter", "prioritizeVerb": "prioritize", "weight": 5});
    let _running = start(&server, &extender, verbs).await;
    for name in ["p", "q", "r"] {
        server.0.lock().create(name, 0, 1);
        assert_eq!(node_of(&server, name).await, "b");
    }
}

#[tokio::test]
async fn what_it_refuses_is_told_in_its_words_and_asked_again_when_something_happens() {
    let server = server(&[("a", 8), ("b", 1)]);
    let extender = TestExtender::start(|_, body| {
        let names = body["NodeNames"].as_array().unwrap().clone();
        if names.contains(&json!("c")) {
            return (200, json!({"NodeNames": ["c"]}));
        }
        (200, json!({"NodeNames": [], "FailedNodes": {"a": "no licence"}}))
    })
    .await;
    let _running = start(&server, &extender, json!({"filterVerb": "filter"})).await;
    server.0.lock().create("p", 0, 2);
    let told = until(&server, |model| model.told.first().cloned()).await;
    let expected = "0/2 nodes are available: 1 Insufficient cpu, 1 no licence. preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.";
    assert_eq!(told, ("Unschedulable".to_owned(), expected.to_owned()));
    server.0.lock().set_node("c", 8);
    assert_eq!(node_of(&server, "p").await, "c");
}

#[tokio::test]
async fn one_that_fails_holds_pods_unless_it_is_ignorable() {
    for is_ignorable in [false, true] {
        let server = server(&[("a", 8)]);
        let extender = TestExtender::start(|_, _| (503, json!({}))).await;
        let settings = json!({"filterVerb": "filter", "ignorable": is_ignorable});
        let _running = start(&server, &extender, settings).await;
        server.0.lock().create("p", 0, 2);
        if is_ignorable {
            assert_eq!(node_of(&server, "p").await, "a");
            continue;
        }
        let told = until(&server, |model| model.told.first().cloned()).await;
        let url = extender.url();
        let expected = format!("failed filter with extender at URL {url}/filter, code 503");
        assert_eq!(told, ("SchedulerError".to_owned(), expected));
    }
}

#[tokio::test]
async fn one_that_binds_is_told_to() {
    let server = server(&[("a", 8)]);
    let (bound, model) = (Arc::new(Mutex::new(Vec::new())), server.clone());
    let seen = bound.clone();
    let extender = TestExtender::start(move |_, body| {
        let binding = json!({"metadata": {"uid": body["PodUID"]}, "target": {"name": body["Node"]}});
        model.0.lock().bind(body["PodName"].as_str().unwrap(), &binding);
        seen.lock().push(body);
        (200, json!({"Error": ""}))
    })
    .await;
    let _running = start(&server, &extender, json!({"bindVerb": "bind"})).await;
    server.0.lock().create("p", 0, 2);
    assert_eq!(node_of(&server, "p").await, "a");
    assert_eq!(
        bound.lock()[0],
        json!({"PodName": "p", "PodNamespace": "ns", "PodUID": "uid-1", "Node": "a"})
    );
}

#[tokio::test]
async fn one_that_preempts_chooses_who_ends() {
    let server = server(&[("a", 2), ("b", 2)]);
    let extender = TestExtender::start(|path, body| match path {
        "/prefix/filter" => (200, json!({"NodeNames": body["NodeNames"]})),
        // By itself the scheduler would end the one of the lower priority.
        "/prefix/preempt" => {
            let victims = &body["NodeNameToMetaVictims"];
            assert_eq!(victims.as_object().unwrap().len(), 2);
            (200, json!({"NodeNameToMetaVictims": {"b": victims["b"]}}))
        }
        other => panic!("{other}"),
    })
    .await;
    let verbs = json!({"filterVerb": "filter", "preemptVerb": "preempt"});
    let _running = start(&server, &extender, verbs).await;
    for (name, node, priority) in [("low", "a", 1), ("middle", "b", 5)] {
        let mut model = server.0.lock();
        model.create(name, priority, 2);
        model.pods.get_mut(name).unwrap().node = Some(node.to_owned());
        model.set_node(node, 2);
        model.tell_pod(name);
    }
    server.0.lock().create("high", 10, 2);
    until(&server, |model| model.pods.get("middle").filter(|pod| pod.is_ending).map(drop)).await;
    server.0.lock().end_those_who_must();
    assert_eq!(node_of(&server, "high").await, "b");
    assert!(!server.0.lock().pods["low"].is_ending);
}
