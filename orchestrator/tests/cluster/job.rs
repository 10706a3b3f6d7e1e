//! Jobs: what conformance says of them, with Pods that end as the tests say.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::Cluster;
use crate::support::kubelet::{Fate, Kubelet};

const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const TRACKING: &str = "batch.kubernetes.io/job-tracking";
const PODS: &str = "batch.kubernetes.io/job-name=j";

fn job(spec: &Value) -> Value {
    let mut whole = json!({
        "parallelism": 2, "completions": 4,
        "template": {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}},
    });
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"metadata": {"name": "j"}, "spec": whole})
}

fn index(pod: &Pod) -> usize {
    pod.annotations()[INDEX].parse().unwrap()
}

fn is_live(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, "Succeeded" | "Failed")
}

fn condition<'j>(job: &'j Job, type_: &str) -> Option<&'j JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True")
}

/// The reason of a condition that holds.
fn reason(job: &Job, type_: &str) -> String {
    condition(job, type_).and_then(|condition| condition.reason.clone()).unwrap_or_default()
}

fn counts(job: &Job) -> (i32, i32, i32) {
    let status = job.status.clone().unwrap_or_default();
    (status.active.unwrap_or(0), status.succeeded.unwrap_or(0), status.failed.unwrap_or(0))
}

impl Cluster {
    async fn job(&self, spec: &Value) {
        self.create::<Job>(job(spec)).await.unwrap();
    }

    /// Waits for as many Pods that have not ended.
    async fn live_pods(&self, count: usize) -> Vec<Arc<Pod>> {
        let live = |pods: &[Arc<Pod>]| pods.iter().filter(|pod| is_live(pod)).count();
        let mut pods = self.until_all::<Pod>(PODS, |pods| live(pods) == count).await;
        pods.retain(|pod| is_live(pod));
        pods
    }

    /// Ends a Pod, long enough ago for the next one to come at once.
    async fn end(&self, pod: &Pod, code: i32) {
        let at = (Timestamp::now() - SignedDuration::from_hours(1)).to_string();
        let ended = json!({"exitCode": code, "reason": "Ended", "startedAt": at, "finishedAt": at});
        let container = json!({
            "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": ended, "running": null, "waiting": null},
        });
        let status = json!({"phase": if code == 0 { "Succeeded" } else { "Failed" }, "containerStatuses": [container]});
        let patch = Patch::Strategic(json!({"metadata": {"uid": pod.uid()}, "status": status}));
        self.api::<Pod>().patch_status(&pod.name_any(), &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits until the Job is over in this way; no Pod is tracked then.
    async fn over(&self, ending: &str) -> Job {
        let job = self.until::<Job>("j", |job| condition(job, ending).is_some()).await;
        for pod in self.list::<Pod>(PODS).await {
            assert!(!pod.finalizers().contains(&TRACKING.to_owned()), "{pod:#?}");
        }
        job
    }
}

/// Ends Pods of an index by a rule.
fn by_index(kubelet: &Kubelet, rule: impl Fn(usize) -> Option<Fate> + Send + Sync + 'static) {
    kubelet.rule(move |pod| rule(index(pod)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_orphan_pods_re_adoption() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.job(&json!({"parallelism": 2, "completions": 2})).await;
    let pods = cluster.live_pods(2).await;
    let (job, name) = (cluster.get::<Job>("j").await, pods[0].name_any());
    let orphaned = json!({"metadata": {"ownerReferences": null}});
    cluster.patch::<Pod>(&name, orphaned).await;
    let owned = |pod: &Pod| {
        pod.owner_references().first().is_some_and(|owner| Some(&owner.uid) == job.uid().as_ref())
    };
    cluster.until::<Pod>(&name, |pod| owned(pod) && pod.finalizers().contains(&TRACKING.to_owned())).await;
    cluster.patch::<Pod>(&name, json!({"metadata": {"labels": null}})).await;
    let released = |pod: &Pod| pod.owner_references().is_empty() && pod.finalizers().is_empty();
    cluster.until::<Pod>(&name, released).await;
    cluster.live_pods(2).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_active_pods_graceful_termination() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.job(&json!({})).await;
    let ready = |job: &Job| job.status.as_ref().and_then(|status| status.ready) == Some(2);
    let job = cluster.until::<Job>("j", ready).await;
    assert_eq!(counts(&job), (2, 0, 0));
    cluster.live_pods(2).await;
    cluster.api::<Job>().delete("j", &DeleteParams::background()).await.unwrap();
    cluster.until_gone::<Job>("j").await;
    cluster.until_all::<Pod>(PODS, <[_]>::is_empty).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_completion_after_task_failure() {
    let (cluster, kubelet) = Cluster::with_nodes(1).await;
    kubelet.rule(|_| Some(Fate::Running));
    let template =
        json!({"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "OnFailure"}});
    cluster.job(&json!({"template": template})).await;
    for _ in 0..2 {
        for pod in cluster.live_pods(2).await {
            cluster
                .until::<Pod>(&pod.name_any(), |pod| {
                    pod.status.as_ref().is_some_and(|s| s.container_statuses.is_some())
                })
                .await;
            let again = json!({"status": {"containerStatuses": [{
                "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 1,
            }]}});
            let again = Patch::Strategic(again);
            cluster
                .api::<Pod>()
                .patch_status(&pod.name_any(), &PatchParams::default(), &again)
                .await
                .unwrap();
            cluster.end(&pod, 0).await;
            let counted = |pod: &Pod| !pod.finalizers().contains(&TRACKING.to_owned());
            cluster.until::<Pod>(&pod.name_any(), counted).await;
        }
    }
    let job = cluster.over("Complete").await;
    assert_eq!(counts(&job), (0, 4, 0));
    assert_eq!(reason(&job, "Complete"), "CompletionsReached");
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ensure_pods_of_an_indexed_job_get_a_unique_index() {
    let (cluster, kubelet) = Cluster::with_nodes(1).await;
    by_index(&kubelet, |_| Some(Fate::Succeeded));
    cluster.job(&json!({"completionMode": "Indexed"})).await;
    let job = cluster.over("Complete").await;
    assert_eq!(job.status.unwrap().completed_indexes.as_deref(), Some("0-3"));
    let pods = cluster.list::<Pod>(PODS).await;
    let indexes: BTreeSet<usize> = pods.iter().map(index).collect();
    assert_eq!((pods.len(), indexes), (4, (0..4).collect()));
    for pod in &pods {
        let (index, spec) = (index(pod), pod.spec.as_ref().unwrap());
        assert_eq!(spec.hostname, Some(format!("j-{index}")));
        assert!(pod.name_any().starts_with(&format!("j-{index}-")), "{}", pod.name_any());
        assert_eq!(pod.labels()[INDEX], index.to_string());
        let variables = spec.containers[0].env.as_ref().unwrap();
        assert!(variables.iter().any(|variable| variable.name == "JOB_COMPLETION_INDEX"));
    }
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_pod_failure_policy_allows_to_fail_job_early_on_exit_code() {
    let (cluster, kubelet) = Cluster::with_nodes(1).await;
    let rule =
        json!({"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [42]}});
    cluster.job(&json!({"podFailurePolicy": {"rules": [rule]}})).await;
    let pods = cluster.live_pods(2).await;
    let name = pods[0].name_any();
    kubelet.make_this(&pods[0], Fate::Failed(42));
    let job = cluster.over("Failed").await;
    let condition = condition(&job, "Failed").unwrap();
    assert_eq!(condition.reason.as_deref(), Some("PodFailurePolicy"));
    let message =
        format!("Container c for pod test/{name} failed with exit code 42 matching FailJob rule at index 0");
    assert_eq!(condition.message, Some(message));
    assert_eq!(counts(&job), (0, 0, 2));
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ensure_that_all_indexes_are_executed_for_an_indexed_job_with_backofflimitperindex_despite_some_failing()
 {
    let (cluster, kubelet) = Cluster::with_nodes(1).await;
    by_index(&kubelet, |index| (index % 2 == 0).then_some(Fate::Succeeded));
    let spec =
        json!({"parallelism": 4, "completions": 4, "completionMode": "Indexed", "backoffLimitPerIndex": 1});
    cluster.job(&spec).await;
    for attempt in 0..2 {
        let failures = |pod: &Pod| {
            pod.annotations()["batch.kubernetes.io/job-index-failure-count"] == attempt.to_string()
        };
        let due =
            |pods: &[Arc<Pod>]| pods.iter().filter(|pod| failures(pod) && index(pod) % 2 == 1).count() == 2;
        let pods = cluster.until_all::<Pod>(PODS, due).await;
        for pod in pods.iter().filter(|pod| failures(pod) && index(pod) % 2 == 1) {
            cluster.end(pod, 1).await;
        }
    }
    let job = cluster.over("Failed").await;
    assert_eq!(reason(&job, "Failed"), "FailedIndexes");
    assert_eq!(counts(&job), (0, 2, 4));
    let status = job.status.unwrap();
    assert_eq!(status.completed_indexes.as_deref(), Some("0,2"));
    assert_eq!(status.failed_indexes.as_deref(), Some("1,3"));
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mark_indexes_as_failed_when_the_failindex_action_is_matched_in_podfailurepolicy() {
    let (cluster, kubelet) = Cluster::with_nodes(1).await;
    by_index(&kubelet, |index| Some(if index == 1 { Fate::Failed(42) } else { Fate::Succeeded }));
    let rule = json!({"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}});
    let spec = json!({
        "parallelism": 4, "completions": 4, "completionMode": "Indexed", "backoffLimitPerIndex": 5,
        "podFailurePolicy": {"rules": [rule]},
    });
    cluster.job(&spec).await;
    let job = cluster.over("Failed").await;
    assert_eq!((counts(&job), reason(&job, "Failed").as_str()), ((0, 3, 1), "FailedIndexes"));
    let status = job.status.unwrap();
    assert_eq!(
        (status.completed_indexes.as_deref(), status.failed_indexes.as_deref()),
        (Some("0,2,3"), Some("1"))
    );
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminate_job_execution_when_the_maxfailedindexes_is_exceeded() {
    let (cluster, kubelet) = Cluster::with_nodes(1).await;
    by_index(&kubelet, |index| (index == 0).then_some(Fate::Failed(1)));
    let spec = json!({
        "parallelism": 5, "completions": 5, "completionMode": "Indexed", "backoffLimitPerIndex": 0,
        "maxFailedIndexes": 0,
    });
    cluster.job(&spec).await;
    let job = cluster.over("Failed").await;
    assert_eq!(reason(&job, "Failed"), "MaxFailedIndexesExceeded");
    assert_eq!(counts(&job), (0, 0, 5));
    cluster.plane.shutdown().await;
}

/// Runs a Job of four indexes, of which only the first two end, and holds that it succeeds by its policy.
async fn succeeds_by_policy(rule: Value) {
    let (cluster, kubelet) = Cluster::with_nodes(1).await;
    by_index(&kubelet, |index| (index < 2).then_some(Fate::Succeeded));
    let spec = json!({
        "parallelism": 4, "completions": 4, "completionMode": "Indexed", "successPolicy": {"rules": [rule]},
    });
    cluster.job(&spec).await;
    let job = cluster.over("Complete").await;
    assert_eq!(reason(&job, "SuccessCriteriaMet"), "SuccessPolicy");
    assert_eq!(reason(&job, "Complete"), "SuccessPolicy");
    assert_eq!(condition(&job, "Complete").unwrap().message.as_deref(), Some("Matched rules at index 0"));
    assert_eq!(counts(&job), (0, 2, 0));
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ensure_that_job_with_successpolicy_succeededindexes_rule_succeeded_even_when_some_indexes_remain_pending()
 {
    succeeds_by_policy(json!({"succeededIndexes": "0,1"})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ensure_that_job_with_successpolicy_succeededcount_rule_succeeded_even_when_some_indexes_remain_pending()
 {
    succeeds_by_policy(json!({"succeededCount": 2})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ensure_that_job_with_successpolicy_succeeded_when_all_indexes_succeeded() {
    let (cluster, kubelet) = Cluster::with_nodes(1).await;
    by_index(&kubelet, |_| Some(Fate::Succeeded));
    let policy = json!({"rules": [{"succeededIndexes": "0-3"}]});
    cluster.job(&json!({"completionMode": "Indexed", "successPolicy": policy})).await;
    let job = cluster.over("Complete").await;
    assert_eq!(reason(&job, "SuccessCriteriaMet"), "SuccessPolicy");
    assert_eq!(job.status.unwrap().completed_indexes.as_deref(), Some("0-3"));
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_job_counts_what_ended_and_goes_on_later() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.job(&json!({"ttlSecondsAfterFinished": 3600})).await;
    let pods = cluster.live_pods(2).await;
    cluster.end(&pods[0], 0).await;
    cluster.until::<Job>("j", |job| counts(job) == (2, 1, 0)).await;
    cluster.patch::<Job>("j", json!({"spec": {"suspend": true}})).await;
    // A Pod that changed while it was to be deleted is deleted at the second try, and counts as active until then.
    let suspended = |job: &Job| condition(job, "Suspended").is_some() && counts(job) == (0, 1, 0);
    let job = cluster.until::<Job>("j", suspended).await;
    assert_eq!(job.status.unwrap().start_time, None);
    cluster.live_pods(0).await;
    cluster.patch::<Job>("j", json!({"spec": {"suspend": false}})).await;
    let mut ended = 1;
    while ended < 4 {
        for pod in cluster.live_pods(2.min(4 - ended)).await {
            cluster.end(&pod, 0).await;
            ended += 1;
        }
        cluster.until::<Job>("j", |job| counts(job).1 == i32::try_from(ended).unwrap()).await;
    }
    assert_eq!(counts(&cluster.over("Complete").await), (0, 4, 0));
    cluster.patch::<Job>("j", json!({"spec": {"ttlSecondsAfterFinished": 0}})).await;
    cluster.until_gone::<Job>("j").await;
    cluster.plane.shutdown().await;
}
