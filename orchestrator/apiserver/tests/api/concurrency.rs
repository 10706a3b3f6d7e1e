//! Many clients at once: nothing is given out twice, nothing acknowledged is lost.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{Api, CONFIG_MAPS, SERVICES};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_address_and_no_node_port_is_given_out_twice() {
    let api = Arc::new(Api::start().await);
    let mut tasks = JoinSet::new();
    for number in 0..40 {
        let api = Arc::clone(&api);
        tasks.spawn(async move {
            let body = json!({
                "metadata": {"name": format!("s{number}")},
                "spec": {"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]},
            });
            api.post(SERVICES, &body).await.expect(201)
        });
    }
    let (mut addresses, mut ports) = (HashSet::new(), HashSet::new());
    while let Some(service) = tasks.join_next().await {
        let spec = &service.unwrap()["spec"];
        assert!(addresses.insert(spec["clusterIP"].as_str().unwrap().to_owned()));
        for port in spec["ports"].as_array().unwrap() {
            assert!(ports.insert(port["nodePort"].as_i64().unwrap()));
        }
    }
    assert_eq!((addresses.len(), ports.len()), (40, 80));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_updates_of_one_version_exactly_one_wins() {
    let api = Arc::new(Api::start().await);
    let made = api.config_map("a", &json!({})).await;
    let mut tasks = JoinSet::new();
    for number in 0..16 {
        let (api, mut body) = (Arc::clone(&api), made.clone());
        tasks.spawn(async move {
            body["data"] = json!({"winner": number.to_string()});
            api.put(&format!("{CONFIG_MAPS}/a"), &body).await.code.as_u16()
        });
    }
    let codes = tasks.join_all().await;
    assert_eq!(codes.iter().filter(|c| **c == 200).count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|c| **c == 409).count(), 15, "{codes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn patches_of_different_keys_all_arrive() {
    let api = Arc::new(Api::start().await);
    api.config_map("a", &json!({})).await;
    let mut tasks = JoinSet::new();
    for number in 0..16 {
        let api = Arc::clone(&api);
        tasks.spawn(async move {
            let patch = json!({"data": {(format!("k{number}")): "v"}});
            api.patch(&format!("{CONFIG_MAPS}/a"), "merge-patch", &patch).await.expect(200);
        });
    }
    tasks.join_all().await;
    let object = api.get(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    assert_eq!(object["data"].as_object().unwrap().len(), 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_creations_of_one_name_exactly_one_wins() {
    let api = Arc::new(Api::start().await);
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let api = Arc::clone(&api);
        let body = json!({"metadata": {"name": "a"}});
        tasks.spawn(async move { api.post(CONFIG_MAPS, &body).await.code.as_u16() });
    }
    let codes = tasks.join_all().await;
    assert_eq!(codes.iter().filter(|c| **c == 201).count(), 1, "{codes:?}");
    assert!(codes.iter().all(|c| matches!(c, 201 | 409)), "{codes:?}");
}
