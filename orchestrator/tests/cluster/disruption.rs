//! Disruption budgets: what conformance says of them, and that evictions never go beyond what they allow.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::{EvictParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::Cluster;
use crate::support::kubelet::Fate;

fn set(replicas: i32) -> Value {
    let template = json!({
        "metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    let spec = json!({"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": template});
    json!({"metadata": {"name": "s"}, "spec": spec})
}

fn budget(more: &Value) -> Value {
    let mut spec = json!({"selector": {"matchLabels": {"app": "x"}}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"metadata": {"name": "b"}, "spec": spec})
}

fn allowed(budget: &PodDisruptionBudget) -> Option<i32> {
    let status = budget.status.as_ref()?;
    let current = status.observed_generation == budget.metadata.generation;
    status.disruptions_allowed.filter(|_| current)
}

impl Cluster {
    async fn ready(&self, count: usize) -> Vec<Arc<Pod>> {
        let ready = |pod: &Pod| {
            let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
            pod.metadata.deletion_timestamp.is_none()
                && conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
        };
        let mut pods =
            self.until_all::<Pod>("app=x", |pods| pods.iter().filter(|p| ready(p)).count() == count).await;
        pods.retain(|pod| ready(pod));
        pods
    }

    async fn allows(&self, count: i32) {
        self.until::<PodDisruptionBudget>("b", |budget| allowed(budget) == Some(count)).await;
    }

    /// The code of the answer to an eviction, and the message of its cause.
    async fn evict(&self, pod: &str) -> (u16, String) {
        match self.api::<Pod>().evict(pod, &EvictParams::default()).await {
            Ok(_) => (201, String::new()),
            Err(kube::Error::Api(status)) => {
                let causes =
                    status.details.as_ref().map(|details| details.causes.clone()).unwrap_or_default();
                (
                    status.code,
                    causes.first().map(|cause| cause.message.clone()).unwrap_or(status.message.clone()),
                )
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poddisruptionbudget_status_updates() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<ReplicaSet>(set(3)).await.unwrap();
    cluster.ready(3).await;
    cluster.create::<PodDisruptionBudget>(budget(&json!({"minAvailable": 1}))).await.unwrap();
    cluster.allows(2).await;
    let budget = cluster.get::<PodDisruptionBudget>("b").await;
    let status = budget.status.unwrap();
    assert_eq!(
        (status.expected_pods, status.current_healthy, status.desired_healthy),
        (Some(3), Some(3), Some(1))
    );
    let condition = &status.conditions.unwrap()[0];
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("True", "SufficientPods"));
    cluster
        .patch::<PodDisruptionBudget>("b", json!({"spec": {"minAvailable": null, "maxUnavailable": "10%"}}))
        .await;
    cluster.allows(1).await;
    cluster.patch::<ReplicaSet>("s", json!({"spec": {"replicas": 5}})).await;
    cluster.until::<PodDisruptionBudget>("b", |b| b.status.as_ref().unwrap().expected_pods == Some(5)).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poddisruptionbudget_create_update_patch_and_delete_object() {
    let cluster = Cluster::start().await;
    cluster.create::<PodDisruptionBudget>(budget(&json!({"minAvailable": 1}))).await.unwrap();
    cluster.allows(0).await;
    cluster.patch::<PodDisruptionBudget>("b", json!({"spec": {"minAvailable": "30%"}})).await;
    cluster.patch::<PodDisruptionBudget>("b", json!({"spec": {"minAvailable": 4}})).await;
    let desired = |b: &PodDisruptionBudget| b.status.as_ref().and_then(|status| status.desired_healthy);
    cluster.until::<PodDisruptionBudget>("b", |b| desired(b) == Some(4)).await;
    cluster.delete::<PodDisruptionBudget>("b").await;
    cluster.until_gone::<PodDisruptionBudget>("b").await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poddisruptionbudget_update_and_patch_status() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<PodDisruptionBudget>(budget(&json!({"minAvailable": 1}))).await.unwrap();
    cluster.allows(0).await;
    cluster.create::<ReplicaSet>(set(1)).await.unwrap();
    cluster.ready(1).await;
    let noted = Patch::Merge(json!({"status": {"disruptedPods": {"nobody": "2026-01-01T00:00:00Z"}}}));
    let api = cluster.api::<PodDisruptionBudget>();
    let patched = api.patch_status("b", &PatchParams::default(), &noted).await.unwrap();
    assert!(patched.status.unwrap().disrupted_pods.unwrap().contains_key("nobody"));
    // The controller knows of no such Pod.
    cluster.until::<PodDisruptionBudget>("b", |b| b.status.as_ref().unwrap().disrupted_pods.is_none()).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poddisruptionbudget_block_an_eviction_until_the_pdb_is_updated_to_allow_it() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<ReplicaSet>(set(3)).await.unwrap();
    let pods = cluster.ready(3).await;
    cluster.create::<PodDisruptionBudget>(budget(&json!({"minAvailable": 3}))).await.unwrap();
    cluster
        .until::<PodDisruptionBudget>("b", |b| {
            b.status.as_ref().is_some_and(|s| s.current_healthy == Some(3))
        })
        .await;
    let name = pods[0].name_any();
    let why = "The disruption budget b needs 3 healthy pods and has 3 currently".to_owned();
    assert_eq!(cluster.evict(&name).await, (429, why));
    assert!(cluster.get::<Pod>(&name).await.metadata.deletion_timestamp.is_none());
    cluster.patch::<PodDisruptionBudget>("b", json!({"spec": {"minAvailable": 2}})).await;
    cluster.allows(1).await;
    assert_eq!(cluster.evict(&name).await.0, 201);
    cluster.until_gone::<Pod>(&name).await;
    cluster.ready(3).await;
    cluster.allows(1).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_evictions_as_like_at_once_never_go_beyond_the_budget() {
    let (cluster, kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<ReplicaSet>(set(64)).await.unwrap();
    let pods = cluster.ready(64).await;
    cluster.create::<PodDisruptionBudget>(budget(&json!({"maxUnavailable": 5}))).await.unwrap();
    cluster.allows(5).await;
    // Pods that are told to go stay, and those that replace them do not become ready: nothing gives room for more.
    kubelet.linger(|_| true);
    let known: Vec<_> = pods.iter().map(|pod| pod.name_any()).collect();
    let old = known.clone();
    kubelet.rule(move |pod| (!old.contains(&pod.name_any())).then_some(Fate::Waiting));
    let mut evictions = JoinSet::new();
    for name in known {
        let api = cluster.api::<Pod>();
        evictions.spawn(async move { api.evict(&name, &EvictParams::default()).await.is_ok() });
    }
    let allowed = evictions.join_all().await.into_iter().filter(|allowed| *allowed).count();
    assert_eq!(allowed, 5);
    let going = |pods: &[Arc<Pod>]| pods.iter().filter(|p| p.metadata.deletion_timestamp.is_some()).count();
    let pods = cluster.until_all::<Pod>("app=x", |pods| going(pods) == 5).await;
    for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_some()) {
        let conditions = pod.status.as_ref().unwrap().conditions.as_ref().unwrap();
        let target = conditions.iter().find(|condition| condition.type_ == "DisruptionTarget").unwrap();
        assert_eq!(target.reason.as_deref(), Some("EvictionByEvictionAPI"));
    }
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_budgets_are_too_many_and_dry_runs_change_nothing() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<ReplicaSet>(set(2)).await.unwrap();
    let name = cluster.ready(2).await[0].name_any();
    cluster.create::<PodDisruptionBudget>(budget(&json!({"maxUnavailable": 1}))).await.unwrap();
    cluster.allows(1).await;
    let mut dry = EvictParams::default();
    dry.post_options.dry_run = true;
    cluster.api::<Pod>().evict(&name, &dry).await.unwrap();
    cluster.allows(1).await;
    assert!(cluster.get::<Pod>(&name).await.metadata.deletion_timestamp.is_none());
    let mut second = budget(&json!({"minAvailable": 1}));
    second["metadata"]["name"] = json!("second");
    cluster.create::<PodDisruptionBudget>(second).await.unwrap();
    let why =
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    assert_eq!(cluster.evict(&name).await, (500, why.to_owned()));
    cluster.plane.shutdown().await;
}

/// An eviction says why the Pod goes, and a failure policy can tell it from a failure of the Pod's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ensure_pod_failure_policy_allows_to_ignore_failure_matching_on_the_disruptiontarget_condition() {
    let (cluster, kubelet) = Cluster::with_nodes(1).await;
    let rule = json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]});
    let spec = json!({
        "completionMode": "Indexed", "parallelism": 2, "completions": 2, "backoffLimit": 0,
        "podFailurePolicy": {"rules": [rule]},
        "template": {"metadata": {"labels": {"app": "x"}},
                     "spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}},
    });
    cluster.create::<Job>(json!({"metadata": {"name": "j"}, "spec": spec})).await.unwrap();
    let pods = cluster.ready(2).await;
    for pod in &pods {
        assert_eq!(cluster.evict(&pod.name_any()).await.0, 201);
    }
    let old: Vec<_> = pods.iter().map(|pod| pod.name_any()).collect();
    kubelet.rule(move |pod| (!old.contains(&pod.name_any())).then_some(Fate::Succeeded));
    let complete = |job: &Job| job.status.as_ref().is_some_and(|status| status.completion_time.is_some());
    let job = cluster.until::<Job>("j", complete).await;
    assert_eq!(job.status.unwrap().failed, None);
    cluster.plane.shutdown().await;
}
