//! Tests of a Job's plan and of what is written of it, by small worlds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use rstest::rstest;
use serde_json::{Value, json};

use super::super::backoff::Backoff;
use super::super::facts::FAILURES;
use super::super::indexes::{INDEX, index_of};
use super::super::tally::{Done, tally};
use super::*;
use crate::objects::claim::JOB_TRACKING;

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

fn ago(seconds: i64) -> String {
    (now() - SignedDuration::from_secs(seconds)).to_string()
}

fn job(spec: &Value, status: &Value) -> Job {
    let mut whole = json!({
        "parallelism": 1, "completions": 1, "backoffLimit": 6,
        "selector": { "matchLabels": { "a": "b" } },
        "template": {
            "metadata": { "labels": { "a": "b" } },
            "spec": { "containers": [{ "name": "c", "image": "i" }], "restartPolicy": "Never" },
        },
    });
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let metadata = json!({ "name": "j", "namespace": "ns", "uid": "job" });
    let job = json!({ "metadata": metadata, "spec": whole, "status": status });
    let mut job: Job = serde_json::from_value(job).unwrap();
    let spec = job.spec.as_mut().unwrap();
    spec.completions = spec.completions.filter(|completions| *completions >= 0);
    job
}

/// A Pod by words: a state (`running`, `ready`, `succeeded`, `failed`, `going`), `counted` if it is tracked no more,
/// `i=3` for an index, `n=2` for failures of its index before, `ago=20` for the seconds since its end, `code=3`.
fn pod(words: &str) -> Arc<Pod> {
    let named: HashMap<&str, &str> = words.split(' ').filter_map(|word| word.split_once('=')).collect();
    let is = |word: &str| words.split(' ').any(|found| found == word);
    let phase = [("succeeded", "Succeeded"), ("failed", "Failed")].into_iter().find(|(word, _)| is(word));
    let ended = ago(named.get("ago").map_or(3600, |ago| ago.parse().unwrap()));
    let mut annotations = json!({});
    for (word, annotation) in [("i", INDEX), ("n", FAILURES)] {
        if let Some(value) = named.get(word) {
            annotations[annotation] = json!(value);
        }
    }
    let code: i32 = named.get("code").map_or(1, |code| code.parse().unwrap());
    let state = json!({ "terminated": { "exitCode": code, "finishedAt": ended } });
    let container = json!({ "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state });
    let pod = json!({
        "metadata": {
            "name": words, "namespace": "ns", "uid": words, "annotations": annotations, "creationTimestamp": ago(7200),
            "finalizers": if is("counted") { json!([]) } else { json!([JOB_TRACKING]) },
            "deletionTimestamp": is("going").then(|| ended.clone()),
        },
        "status": {
            "phase": phase.map_or("Running", |(_, phase)| phase),
            "conditions": [{ "type": "Ready", "status": if is("ready") { "True" } else { "False" } }],
            "containerStatuses": if phase.is_some() { json!([container]) } else { json!([]) },
        },
    });
    Arc::new(serde_json::from_value(pod).unwrap())
}

/// What a plan comes to when all goes well: what is done with Pods, and the status before and after finalizers go.
struct Outcome {
    change: String,
    look_again: Option<u64>,
    status: JobStatus,
    released: Vec<String>,
    last: JobStatus,
}

fn outcome(job: &Job, pods: &[Arc<Pod>]) -> Outcome {
    let nothing = HashSet::new();
    let world = World { job, pods, released: &nothing, backoff: Backoff::default(), settled: true };
    let plan = plan(world, now()).unwrap();
    let facts = &plan.facts;
    let mut done = Done { active: facts.active.len(), ready: facts.ready, terminating: facts.terminating };
    let names = |pods: &[Arc<Pod>]| -> String {
        let mut names: Vec<_> = pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect();
        names.sort();
        names.join(", ")
    };
    let change = match &plan.change {
        Change::Nothing => String::new(),
        Change::Create(pods) => {
            done.active += pods.len();
            let indexes: Vec<_> = pods.iter().filter_map(index_of).map(|index| index.to_string()).collect();
            format!("create {} {}", pods.len(), indexes.join(",")).trim_end().to_owned()
        }
        Change::Remove(pods) => {
            (done.active, done.terminating) = (done.active - pods.len(), done.terminating + pods.len());
            format!("remove {}", names(pods))
        }
        Change::Stop(pods) => {
            (done.active, done.terminating) = (done.active - pods.len(), done.terminating + pods.len());
            format!("stop {}", names(pods))
        }
    };
    let look_again = plan.look_again.map(|after| after.as_secs());
    let tally = tally(&plan, done, now());
    let (status, pods) = (tally.status.clone(), tally.release.clone());
    let released: HashSet<String> = pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
    let (last, _) = tally.settle(status.clone(), &released, now());
    Outcome { change, look_again, status, released: released.into_iter().collect(), last }
}

fn conditions(status: &JobStatus) -> Vec<String> {
    let told = status.conditions.iter().flatten().map(|condition| {
        let (reason, message) = (condition.reason.as_deref(), condition.message.as_deref());
        format!("{}={} {}: {}", condition.type_, condition.status, reason.unwrap(), message.unwrap())
    });
    told.collect()
}

fn pods(words: &[&str]) -> Vec<Arc<Pod>> {
    words.iter().map(|words| pod(words)).collect()
}

#[rstest]
#[case::first(json!({}), json!({}), &[], "create 1")]
#[case::parallel(json!({"parallelism": 3, "completions": 5}), json!({}), &[], "create 3")]
#[case::the_rest(json!({"parallelism": 3, "completions": 5}), json!({"succeeded": 4}), &[], "create 1")]
#[case::some_run(json!({"parallelism": 3, "completions": 5}), json!({}), &["running 1"], "create 2")]
#[case::no_more_than_the_rest(json!({"parallelism": 3, "completions": 3}), json!({}), &["running 1", "succeeded"], "create 1")]
#[case::enough(json!({"parallelism": 2, "completions": 5}), json!({}), &["running 1", "ready 2"], "")]
#[case::too_many(json!({"parallelism": 1, "completions": 5}), json!({}), &["running 1", "ready 2"], "remove running 1")]
#[case::none_wanted(json!({"parallelism": 0}), json!({}), &["running 1"], "remove running 1")]
#[case::work_queue(json!({"parallelism": 2, "completions": -1}), json!({}), &["running 1"], "create 1")]
#[case::work_queue_ends(json!({"parallelism": 2, "completions": -1}), json!({}), &["running 1", "succeeded"], "")]
#[case::suspended(json!({"suspend": true}), json!({}), &["running 1"], "remove running 1")]
#[case::suspended_from_the_start(json!({"suspend": true}), json!({}), &[], "")]
#[case::replaces_at_once(json!({"parallelism": 2, "completions": 2}), json!({}), &["running 1", "going ago=60"], "create 1")]
#[case::waits_for_the_end(json!({"parallelism": 2, "completions": 2, "podReplacementPolicy": "Failed"}), json!({}), &["running 1", "going"], "")]
#[case::indexes(json!({"parallelism": 3, "completions": 6, "completionMode": "Indexed"}), json!({"completedIndexes": "0,2"}), &["running i=1"], "create 2 3,4")]
#[case::twice_an_index(json!({"parallelism": 3, "completions": 3, "completionMode": "Indexed"}), json!({}), &["running i=1", "ready i=1", "running i=2"], "remove running i=1")]
#[case::no_such_index(json!({"parallelism": 3, "completions": 3, "completionMode": "Indexed"}), json!({}), &["running i=7", "running", "ready i=1"], "remove running, running i=7")]
#[case::elastic(json!({"parallelism": 2, "completions": 2, "completionMode": "Indexed"}), json!({"completedIndexes": "0-3"}), &["running i=4"], "remove running i=4")]
fn pods_are_made_and_deleted(
    #[case] spec: Value,
    #[case] status: Value,
    #[case] found: &[&str],
    #[case] change: &str,
) {
    assert_eq!(outcome(&job(&spec, &status), &pods(found)).change, change);
}

#[rstest]
#[case::at_once(json!({}), &["failed ago=11"], "create 1", None)]
#[case::later(json!({}), &["failed ago=4"], "", Some(6))]
#[case::later_still(json!({}), &["failed ago=4", "failed ago=30"], "", Some(16))]
#[case::the_deadline_is_sooner(json!({"activeDeadlineSeconds": 5}), &["failed ago=4"], "", Some(5))]
#[case::an_index_by_itself(
    json!({"parallelism": 2, "completions": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 3}),
    &["failed i=0 ago=4", "failed i=1 ago=12"], "create 1 1", Some(6)
)]
#[case::an_index_that_failed_twice(
    json!({"completionMode": "Indexed", "backoffLimitPerIndex": 3}), &["failed i=0 n=1 ago=4"], "", Some(16)
)]
fn failures_are_waited_for(
    #[case] spec: Value,
    #[case] found: &[&str],
    #[case] change: &str,
    #[case] look_again: Option<u64>,
) {
    let outcome = outcome(&job(&spec, &json!({})), &pods(found));
    assert_eq!((outcome.change.as_str(), outcome.look_again), (change, look_again));
}

#[test]
fn a_pod_is_listed_then_released_then_counted() {
    let job = job(&json!({"parallelism": 3, "completions": 5}), &json!({"succeeded": 1}));
    let outcome = outcome(&job, &pods(&["succeeded", "failed ago=60", "failed counted", "ready 1"]));
    let lists = outcome.status.uncounted_terminated_pods.unwrap();
    assert_eq!(lists.succeeded, Some(vec!["succeeded".to_owned()]));
    assert_eq!(lists.failed, Some(vec!["failed ago=60".to_owned()]));
    assert_eq!((outcome.status.succeeded, outcome.status.failed), (Some(1), None));
    assert_eq!((outcome.status.active, outcome.status.ready), (Some(3), Some(1)));
    assert_eq!(outcome.released.len(), 2);
    assert_eq!((outcome.last.succeeded, outcome.last.failed), (Some(2), Some(1)));
    assert_eq!(outcome.last.uncounted_terminated_pods, Some(UncountedTerminatedPods::default()));
}

#[test]
fn what_was_released_before_a_crash_is_counted() {
    let lists = json!({"succeeded": ["succeeded counted", "gone"], "failed": ["failed"]});
    let job = job(
        &json!({"parallelism": 1, "completions": 5}),
        &json!({"succeeded": 1, "uncountedTerminatedPods": lists}),
    );
    let outcome = outcome(&job, &pods(&["succeeded counted", "failed"]));
    assert_eq!((outcome.status.succeeded, outcome.status.failed), (Some(3), None));
    assert_eq!((outcome.last.succeeded, outcome.last.failed), (Some(3), Some(1)));
}

#[rstest]
#[case::complete(json!({}), json!({}), &["succeeded"], true, "CompletionsReached: Reached expected number of succeeded pods")]
#[case::too_many_failures(json!({"backoffLimit": 1}), json!({"failed": 1}), &["failed"], false, "BackoffLimitExceeded: Job has reached the specified backoff limit")]
#[case::too_late(json!({"activeDeadlineSeconds": 60}), json!({"startTime": ago(60)}), &[], false, "DeadlineExceeded: Job was active longer than specified deadline")]
#[case::too_many_indexes(
    json!({"parallelism": 2, "completions": 4, "completionMode": "Indexed", "backoffLimitPerIndex": 1, "maxFailedIndexes": 0}),
    json!({}), &["failed i=1 n=1"], false, "MaxFailedIndexesExceeded: Job has exceeded the specified maximal number of failed indexes"
)]
#[case::all_indexes_done(
    json!({"parallelism": 2, "completions": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 1}),
    json!({"completedIndexes": "0"}), &["failed i=1 n=1"], false, "FailedIndexes: Job has failed indexes"
)]
#[case::enough_indexes(
    json!({"parallelism": 2, "completions": 4, "completionMode": "Indexed", "successPolicy": {"rules": [{"succeededIndexes": "1"}]}}),
    json!({}), &["succeeded i=1", "succeeded i=0"], true, "SuccessPolicy: Matched rules at index 0"
)]
#[case::policy(
    json!({"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]}}),
    json!({}), &["failed code=42"], false,
    "PodFailurePolicy: Container c for pod ns/failed code=42 failed with exit code 42 matching FailJob rule at index 0"
)]
fn jobs_end(
    #[case] spec: Value,
    #[case] status: Value,
    #[case] found: &[&str],
    #[case] success: bool,
    #[case] why: &str,
) {
    let outcome = outcome(&job(&spec, &status), &pods(found));
    let (interim, last) =
        if success { ("SuccessCriteriaMet", "Complete") } else { ("FailureTarget", "Failed") };
    assert_eq!(conditions(&outcome.status), [format!("{interim}=True {why}")]);
    assert_eq!(conditions(&outcome.last), [format!("{interim}=True {why}"), format!("{last}=True {why}")]);
    assert_eq!(outcome.last.completion_time.is_some(), success);
}

#[test]
fn a_job_that_failed_waits_for_its_pods() {
    let failed = job(&json!({"parallelism": 2, "completions": 2, "backoffLimit": 0}), &json!({}));
    let first = outcome(&failed, &pods(&["failed", "running 1"]));
    assert_eq!((first.change.as_str(), conditions(&first.last).len()), ("stop running 1", 0));
    let second = outcome(&failed, &pods(&["failed", "going"]));
    assert_eq!((second.change.as_str(), conditions(&second.last).len()), ("", 1));
    assert_eq!((second.last.failed, second.last.terminating), (Some(2), Some(1)));
    let told = json!({"failed": 2, "conditions": second.last.conditions});
    let third = outcome(&job(&json!({"backoffLimit": 0}), &told), &pods(&["failed counted going"]));
    assert_eq!(conditions(&third.last).len(), 2);
}

#[rstest]
#[case::container_restarts(2, 2, true)]
#[case::fewer(2, 1, false)]
#[case::none_allowed(0, 1, true)]
#[case::none_happened(0, 0, false)]
fn containers_that_start_again_count(#[case] limit: i32, #[case] restarts: i32, #[case] ends: bool) {
    let mut job = job(&json!({"backoffLimit": limit}), &json!({}));
    let template = job.spec.as_mut().unwrap().template.spec.as_mut().unwrap();
    template.restart_policy = Some("OnFailure".to_owned());
    let mut pod = Pod::clone(&pod("running 1"));
    let container =
        json!([{"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": restarts}]);
    pod.status.as_mut().unwrap().container_statuses = serde_json::from_value(container).unwrap();
    assert_eq!(outcome(&job, &[Arc::new(pod)]).change, if ends { "stop running 1" } else { "" });
}

#[test]
fn suspension_is_told_and_stops_the_clock() {
    let suspended = job(&json!({"suspend": true}), &json!({"startTime": ago(60)}));
    let status = outcome(&suspended, &[]).status;
    assert_eq!(conditions(&status), ["Suspended=True JobSuspended: Job suspended"]);
    assert_eq!(status.start_time, None);
    let resumed = job(&json!({}), &json!({"conditions": status.conditions}));
    let status = outcome(&resumed, &[]).status;
    assert_eq!(conditions(&status), ["Suspended=False JobResumed: Job resumed"]);
    assert_eq!(status.start_time.map(|time| time.0), Some(now()));
    assert_eq!(conditions(&outcome(&job(&json!({}), &json!({})), &[]).status), [""; 0]);
}

#[test]
fn indexes_are_recorded() {
    let spec =
        json!({"parallelism": 5, "completions": 6, "completionMode": "Indexed", "backoffLimitPerIndex": 1});
    let status = json!({"completedIndexes": "0", "succeeded": 1, "failedIndexes": "5"});
    let found = ["succeeded i=1", "succeeded i=2", "failed i=3 n=1", "failed i=4 n=0"];
    let outcome = outcome(&job(&spec, &status), &pods(&found));
    assert_eq!(outcome.status.completed_indexes.as_deref(), Some("0-2"));
    assert_eq!(outcome.status.failed_indexes.as_deref(), Some("3,5"));
    assert_eq!((outcome.last.succeeded, outcome.last.failed), (Some(3), Some(1)));
    // The one of index 4 stays until the next one of its index is there.
    assert!(!outcome.released.contains(&"failed i=4 n=0".to_owned()));
}

#[test]
fn a_pod_of_an_index_knows_its_place() {
    let spec = json!({"completionMode": "Indexed", "backoffLimitPerIndex": 3});
    let job = job(&spec, &json!({}));
    let nothing = HashSet::new();
    let pods = pods(&["failed i=0 n=1"]);
    let world =
        World { job: &job, pods: &pods, released: &nothing, backoff: Backoff::default(), settled: true };
    let Change::Create(made) = plan(world, now()).unwrap().change else { panic!("nothing is made") };
    let told = json!({
        "name": made[0].metadata.generate_name, "index": made[0].metadata.labels.as_ref().unwrap()[INDEX],
        "annotations": made[0].metadata.annotations, "finalizers": made[0].metadata.finalizers,
        "host": made[0].spec.as_ref().unwrap().hostname, "env": made[0].spec.as_ref().unwrap().containers[0].env,
    });
    let field =
        json!({"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-completion-index']"}});
    let wanted = json!({
        "name": "j-0-", "index": "0", "annotations": {INDEX: "0", FAILURES: "2"}, "finalizers": [JOB_TRACKING],
        "host": "j-0", "env": [{"name": "JOB_COMPLETION_INDEX", "valueFrom": field}],
    });
    assert_eq!(told, wanted);
}

#[test]
fn nothing_is_counted_twice_by_a_cache_that_lags() {
    let job = job(&json!({"parallelism": 1, "completions": 5}), &json!({"succeeded": 1}));
    let released = HashSet::from(["succeeded".to_owned()]);
    let pods = pods(&["succeeded"]);
    let world =
        World { job: &job, pods: &pods, released: &released, backoff: Backoff::default(), settled: true };
    let plan = plan(world, now()).unwrap();
    assert_eq!(plan.facts.succeeded, 1);
    let tally = tally(&plan, Done { active: 1, ready: 0, terminating: 0 }, now());
    assert_eq!((tally.release.len(), tally.status.succeeded), (0, Some(1)));
}
