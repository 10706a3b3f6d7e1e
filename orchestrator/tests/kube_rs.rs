//! What an operator written with kube-rs does: reads, writes, the patch types and an informer, over TLS.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{reflector, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use wherry_orchestrator::ControlPlane;

/// An API server that listens, and the client that its kubeconfig makes.
async fn serve(directory: &std::path::Path) -> (ControlPlane, Client) {
    let plane = Box::pin(ControlPlane::start_api(support::config(directory).await)).await.unwrap();
    let kubeconfig = Kubeconfig::read_from(directory.join("kubeconfig")).unwrap();
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    (plane, Client::try_from(config).unwrap())
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"app": "x"}}, "data": {"k": value}}))
        .unwrap()
}

fn status(error: kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("{other}"),
    }
}

fn data(object: &ConfigMap) -> Vec<(&str, &str)> {
    object.data.iter().flatten().map(|(k, v)| (k.as_str(), v.as_str())).collect()
}

#[tokio::test]
async fn kube_rs_reads_and_writes() {
    let directory = tempfile::tempdir().unwrap();
    let (plane, client) = serve(directory.path()).await;
    assert_eq!(client.apiserver_version().await.unwrap().minor, "36");
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let created = api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    assert!(created.uid().is_some());
    let again = api.create(&PostParams::default(), &config_map("a", "1")).await;
    assert_eq!(status(again.unwrap_err()), 409);
    let mut read = api.get("a").await.unwrap();
    read.data = config_map("a", "2").data;
    let replaced = api.replace("a", &PostParams::default(), &read).await.unwrap();
    assert_eq!(data(&replaced), [("k", "2")]);
    assert_eq!(status(api.replace("a", &PostParams::default(), &read).await.unwrap_err()), 409);
    let listed = api.list(&ListParams::default().labels("app=x")).await.unwrap();
    assert_eq!(listed.items.len(), 1);
    api.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(api.get_opt("a").await.unwrap().is_none());
    plane.shutdown().await;
}

#[tokio::test]
async fn kube_rs_patches_in_four_ways() {
    let directory = tempfile::tempdir().unwrap();
    let (plane, client) = serve(directory.path()).await;
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    let merge = Patch::Merge(json!({"data": {"m": "2"}}));
    let merged = api.patch("a", &PatchParams::default(), &merge).await.unwrap();
    assert_eq!(data(&merged), [("k", "1"), ("m", "2")]);
    let operations: Value = json!([{"op": "remove", "path": "/data/k"}]);
    let json_patch = Patch::<()>::Json(serde_json::from_value(operations).unwrap());
    let removed = api.patch("a", &PatchParams::default(), &json_patch).await.unwrap();
    assert_eq!(data(&removed), [("m", "2")]);
    let apply = |value: &str| {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"n": value}});
        Patch::Apply(object)
    };
    let applied = api.patch("a", &PatchParams::apply("one"), &apply("3")).await.unwrap();
    assert_eq!(data(&applied), [("m", "2"), ("n", "3")]);
    let conflict = api.patch("a", &PatchParams::apply("two"), &apply("4")).await;
    assert_eq!(status(conflict.unwrap_err()), 409);
    let forced = api.patch("a", &PatchParams::apply("two").force(), &apply("4")).await.unwrap();
    assert_eq!(data(&forced), [("m", "2"), ("n", "4")]);
    strategic(client).await;
    plane.shutdown().await;
}

/// A strategic patch adds a container to those that are there.
async fn strategic(client: Client) {
    let api: Api<Deployment> = Api::default_namespaced(client);
    let container = |name: &str| json!({"name": name, "image": "i"});
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container("c")]}});
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template});
    let deployment = serde_json::from_value(json!({"metadata": {"name": "d"}, "spec": spec})).unwrap();
    api.create(&PostParams::default(), &deployment).await.unwrap();
    let patch = Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": [container("s")]}}}}));
    let patched = api.patch("d", &PatchParams::default(), &patch).await.unwrap();
    let containers = patched.spec.unwrap().template.spec.unwrap().containers;
    assert_eq!(containers.len(), 2);
    let scale = api.get_scale("d").await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(1));
}

#[tokio::test]
async fn kube_rs_watches_from_a_version_on() {
    let directory = tempfile::tempdir().unwrap();
    let (plane, client) = serve(directory.path()).await;
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let before = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut events = Box::pin(api.watch(&WatchParams::default().labels("app=x"), &before).await.unwrap());
    api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        match events.try_next().await.unwrap().unwrap() {
            WatchEvent::Added(object) => seen.push(format!("added {}", object.name_any())),
            WatchEvent::Deleted(object) => seen.push(format!("deleted {}", object.name_any())),
            _ => {}
        }
    }
    assert_eq!(seen, ["added a", "deleted a"]);
    plane.shutdown().await;
}

/// Both ways in which informers learn what is there: a list in pages, and a watch that begins with it.
#[tokio::test]
async fn kube_rs_informers_hold_what_the_server_holds() {
    for config in [watcher::Config::default().page_size(2), watcher::Config::default().streaming_lists()] {
        let directory = tempfile::tempdir().unwrap();
        let (plane, client) = serve(directory.path()).await;
        let api: Api<ConfigMap> = Api::default_namespaced(client);
        for name in ["a", "b", "c", "d", "e"] {
            api.create(&PostParams::default(), &config_map(name, "1")).await.unwrap();
        }
        let (reader, writer) = reflector::store();
        let mut stream = Box::pin(reflector::reflector(writer, watcher(api.clone(), config)));
        while !matches!(stream.next().await.unwrap().unwrap(), watcher::Event::InitDone) {}
        assert_eq!(reader.len(), 5);
        api.delete("c", &DeleteParams::default()).await.unwrap();
        api.create(&PostParams::default(), &config_map("f", "1")).await.unwrap();
        for _ in 0..2 {
            stream.next().await.unwrap().unwrap();
        }
        let mut names: Vec<String> = reader.state().iter().map(|object| object.name_any()).collect();
        names.sort();
        assert_eq!(names, ["a", "b", "d", "e", "f"]);
        plane.shutdown().await;
    }
}
