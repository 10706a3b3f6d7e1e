//! Rollouts under `kill -9`: a hundred Deployments are updated, scaled and rolled back at once, while the server is killed again
//! and again. What comes out is what would have come out without.
//!
//! Nothing runs: Pods belong to a scheduler that is not there, and this test says in their status that they are ready and where.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use wherry_tests::wait::PATIENCE;
use wherry_tests::{Cluster, Options, isolated};

const DEPLOYMENTS: usize = 100;
/// How often the server is killed during each change.
const KILLS: usize = 3;
/// How long it lives, unless it wrote that much before. It has time to write a little.
const LIFE: Duration = Duration::from_secs(2);
const MANY: u64 = 400;
const FEW: u64 = 50;
/// Between two looks at what no event announces.
const PAUSE: Duration = Duration::from_millis(100);

/// What all Deployments shall be.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    image: &'static str,
    replicas: i32,
    /// How many ReplicaSets each has had use for.
    revisions: usize,
}

async fn client(kubeconfig: &Path) -> Client {
    let file = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

fn name(number: usize) -> String {
    format!("web-{number}")
}

fn spec(wanted: Wanted) -> Value {
    json!({"spec": {"replicas": wanted.replicas, "template": {"spec": {"containers": [{"name": "c", "image": wanted.image}]}}}})
}

fn deployment(number: usize, wanted: Wanted) -> Deployment {
    let labels = json!({"app": name(number), "suite": "rollouts"});
    let container = json!({"name": "c", "image": wanted.image});
    let object = json!({
        "metadata": {"name": name(number), "labels": labels},
        "spec": {
            "replicas": wanted.replicas, "selector": {"matchLabels": {"app": name(number)}},
            "template": {"metadata": {"labels": labels}, "spec": {"schedulerName": "nobody", "containers": [container]}},
        },
    });
    serde_json::from_value(object).unwrap()
}

/// A Service of all Pods.
fn service() -> Service {
    let object = json!({
        "metadata": {"name": "rollouts"},
        "spec": {"selector": {"suite": "rollouts"}, "ports": [{"port": 80}]},
    });
    serde_json::from_value(object).unwrap()
}

/// Does something until an answer says that it is done, or has one of these codes.
async fn insist<T, F: Future<Output = Result<T, kube::Error>>>(enough: &[u16], mut ask: impl FnMut() -> F) {
    loop {
        match ask().await {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if enough.contains(&status.code) => return,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Says of every Pod that it is ready.
async fn pretend(pods: Api<Pod>) {
    let config = watcher::Config::default().labels("suite=rollouts");
    let mut events = watcher(pods.clone(), config).default_backoff().applied_objects().boxed();
    let (mut tasks, mut addresses) = (JoinSet::new(), u32::from(Ipv4Addr::new(10, 200, 0, 1))..);
    while let Some(event) = events.next().await {
        while tasks.try_join_next().is_some() {}
        if let Some(pod) =
            event.ok().filter(|pod| !is_ready(pod) && pod.metadata.deletion_timestamp.is_none())
        {
            let (pods, address) = (pods.clone(), Ipv4Addr::from(addresses.next().unwrap()));
            tasks.spawn(async move { say_ready(&pods, &pod, address).await });
        }
    }
}

async fn say_ready(pods: &Api<Pod>, pod: &Pod, address: Ipv4Addr) {
    let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status =
        json!({"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [ready]});
    let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": status});
    // One that went, or whose name another has, needs nothing any more.
    insist(&[404, 409], || async {
        pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(&patch)).await
    })
    .await;
}

fn is_ready(pod: &Pod) -> bool {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Asks for the same change of all Deployments at once, as often as it takes.
fn ask_all(api: &Api<Deployment>, wanted: Wanted) -> JoinSet<()> {
    let mut asking = JoinSet::new();
    for number in 0..DEPLOYMENTS {
        let (api, patch) = (api.clone(), spec(wanted));
        asking.spawn(async move {
            let params = PatchParams::default();
            insist(&[], || async { api.patch(&name(number), &params, &Patch::Strategic(&patch)).await })
                .await;
        });
    }
    asking
}

/// What is not as it shall be.
async fn difference(client: &Client, wanted: Wanted) -> Result<(), String> {
    let list = ListParams::default().labels("suite=rollouts");
    let deployments = Api::<Deployment>::namespaced(client.clone(), "default").list(&list).await;
    for deployment in deployments.map_err(|error| error.to_string())? {
        let status = deployment.status.clone().unwrap_or_default();
        let counts = [status.replicas, status.updated_replicas, status.available_replicas];
        let is_seen = status.observed_generation == deployment.metadata.generation;
        if !is_seen || counts != [Some(wanted.replicas); 3] {
            return Err(format!("{}: {status:?}", deployment.name_any()));
        }
    }
    let sets = Api::<ReplicaSet>::namespaced(client.clone(), "default").list(&list).await;
    let mut of = BTreeMap::<String, Vec<i32>>::new();
    for set in sets.map_err(|error| error.to_string())? {
        let owner = set.labels()["app"].clone();
        of.entry(owner).or_default().push(set.spec.and_then(|spec| spec.replicas).unwrap_or_default());
    }
    for (owner, replicas) in &of {
        let used: Vec<_> = replicas.iter().filter(|replicas| **replicas > 0).collect();
        if used != [&wanted.replicas] || replicas.len() != wanted.revisions {
            return Err(format!("ReplicaSets of {owner}: {replicas:?}"));
        }
    }
    let pods = Api::<Pod>::namespaced(client.clone(), "default").list(&list).await;
    let (mut of, mut names) = (BTreeMap::<String, i32>::new(), BTreeSet::new());
    for pod in pods.map_err(|error| error.to_string())? {
        let image = pod.spec.as_ref().and_then(|spec| spec.containers[0].image.clone());
        if image.as_deref() != Some(wanted.image) || pod.metadata.deletion_timestamp.is_some() {
            return Err(format!("{} of image {image:?} is there", pod.name_any()));
        }
        *of.entry(pod.labels()["app"].clone()).or_default() += 1;
        names.insert(pod.name_any());
    }
    if of.len() != DEPLOYMENTS || of.values().any(|count| *count != wanted.replicas) {
        return Err(format!("Pods: {of:?}"));
    }
    let served = served(client).await?;
    if served == names { Ok(()) } else { Err(format!("endpoints: {served:?}")) }
}

/// The Pods that the slices of the Service name.
async fn served(client: &Client) -> Result<BTreeSet<String>, String> {
    let list = ListParams::default().labels("kubernetes.io/service-name=rollouts");
    let slices = Api::<EndpointSlice>::namespaced(client.clone(), "default").list(&list).await;
    let slices = slices.map_err(|error| error.to_string())?;
    let endpoints = slices.into_iter().filter_map(|slice| slice.endpoints);
    let targets = endpoints.flatten().filter_map(|endpoint| endpoint.target_ref);
    Ok(targets.filter_map(|target| target.name).collect())
}

/// The revision that the server is at; none while it does not answer.
async fn revision(client: &Client) -> Option<u64> {
    let list =
        Api::<Deployment>::namespaced(client.clone(), "default").list(&ListParams::default().limit(1)).await;
    list.ok()?.metadata.resource_version?.parse().ok()
}

/// Lets the server live until it wrote much, or a little and its time has come.
async fn live(client: &Client) {
    let born = loop {
        match revision(client).await {
            Some(revision) => break revision,
            None => tokio::time::sleep(PAUSE).await,
        }
    };
    let wrote = async |much: u64| {
        while revision(client).await.is_none_or(|revision| revision < born + much) {
            tokio::time::sleep(PAUSE).await;
        }
    };
    if tokio::time::timeout(LIFE, wrote(MANY)).await.is_err() {
        // Where everything is done, nothing is written any more.
        drop(tokio::time::timeout(LIFE, wrote(FEW)).await);
    }
}

/// Changes all Deployments while the server is killed, then waits until they are as they shall be.
async fn roll(cluster: &mut Cluster, wanted: Wanted) {
    let client = client(&cluster.kubeconfig()).await;
    let mut asking = ask_all(&Api::namespaced(client.clone(), "default"), wanted);
    for _ in 0..KILLS {
        live(&client).await;
        cluster.kill();
        cluster.launch();
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
    let mut last = String::new();
    let settled = async {
        while let Err(seen) = difference(&client, wanted).await {
            last = seen;
            tokio::time::sleep(PAUSE).await;
        }
    };
    let settled = tokio::time::timeout(PATIENCE, settled).await;
    assert!(settled.is_ok(), "not {wanted:?}: {last}\n{}", cluster.log());
}

#[test]
fn rollouts_of_100_deployments_converge_under_kills() {
    isolated(|| {
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Cluster::start(dir.path(), Options::default());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let first = Wanted { image: "v1", replicas: 3, revisions: 1 };
            let client = client(&cluster.kubeconfig()).await;
            let mut kubelet = JoinSet::new();
            kubelet.spawn(pretend(Api::namespaced(client.clone(), "default")));
            let services = Api::<Service>::namespaced(client.clone(), "default");
            services.create(&PostParams::default(), &service()).await.unwrap();
            let api = Api::<Deployment>::namespaced(client, "default");
            for number in 0..DEPLOYMENTS {
                api.create(&PostParams::default(), &deployment(number, first)).await.unwrap();
            }
            roll(&mut cluster, first).await;
            roll(&mut cluster, Wanted { image: "v2", replicas: 3, revisions: 2 }).await;
            roll(&mut cluster, Wanted { image: "v2", replicas: 5, revisions: 2 }).await;
            roll(&mut cluster, Wanted { image: "v1", replicas: 2, revisions: 2 }).await;
        });
    });
}
