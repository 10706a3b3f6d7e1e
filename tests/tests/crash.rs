//! `kill -9` under a write load: what was acknowledged is there, watches go on or are told to list again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use wherry_tests::{Cluster, Options, isolated};

const CLIENTS: u64 = 32;
const ROUNDS: u64 = 50;
/// Acknowledged writes of one round before the process is killed.
const WRITES: u64 = 200;

async fn client(kubeconfig: &Path) -> Client {
    let file = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// Creates and updates ConfigMaps of its own until the server is gone; returns what was acknowledged.
async fn write(api: Api<ConfigMap>, name: String, acknowledged: Arc<AtomicU64>) -> BTreeMap<String, String> {
    let mut done = BTreeMap::new();
    for n in 0u64.. {
        let object = format!("{name}-{}", n % 20);
        let value = n.to_string();
        let mut config_map =
            ConfigMap { data: Some([("n".to_owned(), value.clone())].into()), ..ConfigMap::default() };
        config_map.metadata.name = Some(object.clone());
        let written = if done.contains_key(&object) {
            api.replace(&object, &PostParams::default(), &config_map).await
        } else {
            api.create(&PostParams::default(), &config_map).await
        };
        if written.is_err() {
            // An answer that got lost may stand for a write that was made: what this object holds is unknown.
            done.remove(&object);
            return done;
        }
        done.insert(object, value);
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    done
}

async fn round(cluster: &mut Cluster, number: u64) {
    let api: Api<ConfigMap> = Api::namespaced(client(&cluster.kubeconfig()).await, "default");
    let seen = api.list(&ListParams::default().limit(1)).await.unwrap().metadata.resource_version.unwrap();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..CLIENTS {
        writers.spawn(write(api.clone(), format!("r{number}-w{writer}"), acknowledged.clone()));
    }
    while acknowledged.load(Ordering::Relaxed) < WRITES {
        tokio::task::yield_now().await;
    }
    cluster.kill();
    let mut expected = BTreeMap::new();
    while let Some(written) = writers.join_next().await {
        expected.extend(written.unwrap());
    }
    cluster.launch();

    let api: Api<ConfigMap> = Api::namespaced(client(&cluster.kubeconfig()).await, "default");
    let found: BTreeMap<_, _> = api
        .list(&ListParams::default())
        .await
        .unwrap()
        .into_iter()
        .map(|c| (c.metadata.name.unwrap(), c.data.unwrap_or_default().remove("n").unwrap_or_default()))
        .collect();
    for (name, value) in &expected {
        assert_eq!(found.get(name), Some(value), "round {number}: {name} was acknowledged");
    }
    watch_resumes(&api, &seen, &expected).await;
    let wipe = api.delete_collection(&DeleteParams::default(), &ListParams::default()).await;
    wipe.unwrap();
}

/// A watch from before the crash shows the acknowledged writes, or says 410 so that its client lists again.
async fn watch_resumes(api: &Api<ConfigMap>, from: &str, expected: &BTreeMap<String, String>) {
    let events = match api.watch(&WatchParams::default().timeout(5), from).await {
        Ok(events) => events,
        Err(kube::Error::Api(status)) if status.code == 410 => return,
        Err(error) => panic!("watch: {error}"),
    };
    pin_mut!(events);
    let mut missing = expected.clone();
    while !missing.is_empty() {
        match events.next().await.expect("the watch shows every acknowledged write").unwrap() {
            WatchEvent::Added(c) | WatchEvent::Modified(c) => {
                let name = c.metadata.name.unwrap();
                if missing.get(&name) == c.data.unwrap_or_default().get("n") {
                    missing.remove(&name);
                }
            }
            WatchEvent::Error(status) if status.code == 410 => return,
            WatchEvent::Error(status) => panic!("watch: {status:?}"),
            WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_in_50_kills() {
    isolated(|| {
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Cluster::start(dir.path(), Options::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for number in 0..ROUNDS {
                round(&mut cluster, number).await;
            }
        });
    });
}
