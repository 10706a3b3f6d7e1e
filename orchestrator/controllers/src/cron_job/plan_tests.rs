//! Tests of a CronJob's plan, by small worlds.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-03-01T10:00:20Z";

fn cron(spec: &Value, status: &Value) -> CronJob {
    let mut whole = json!({
        "schedule": "*/10 * * * *", "concurrencyPolicy": "Allow",
        "jobTemplate": { "metadata": { "labels": { "a": "b" } }, "spec": { "template": {} } },
    });
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let metadata =
        json!({ "name": "c", "namespace": "ns", "uid": "cron", "creationTimestamp": "2026-03-01T09:55:00Z" });
    serde_json::from_value(json!({ "metadata": metadata, "spec": whole, "status": status })).unwrap()
}

/// A Job of this name and uid that ended at a minute of nine o'clock, or has not.
fn job(name: &str, ended: Option<(&str, i64)>) -> Arc<Job> {
    let status = ended.map(|(type_, minute)| {
        let at = format!("2026-03-01T09:{minute:02}:00Z");
        json!({
            "startTime": at, "completionTime": (type_ == "Complete").then_some(&at),
            "conditions": [{ "type": type_, "status": "True", "lastTransitionTime": at }],
        })
    });
    let job = json!({ "metadata": { "name": name, "namespace": "ns", "uid": name }, "status": status.unwrap_or(json!({})) });
    Arc::new(serde_json::from_value(job).unwrap())
}

fn active(names: &[&str]) -> Value {
    let references = names.iter().map(|name| json!({ "kind": "Job", "name": name, "uid": name }));
    json!({ "active": references.collect::<Vec<_>>() })
}

fn planned(cron: &CronJob, jobs: &[Arc<Job>]) -> Plan {
    plan(cron, jobs, NOW.parse().unwrap())
}

fn started(plan: &Plan) -> Option<String> {
    plan.start.as_ref().map(|(job, _)| job.name_any())
}

fn reasons(plan: &Plan) -> Vec<&'static str> {
    plan.events.iter().map(|told| told.reason).collect()
}

#[rstest]
#[case::due(json!({}), json!({}), &[], Some("c-29539320"), &[])]
#[case::done(json!({}), json!({"lastScheduleTime": "2026-03-01T10:00:00Z"}), &[], None, &[])]
#[case::not_yet(json!({"schedule": "30 * * * *"}), json!({}), &[], None, &[])]
#[case::suspended(json!({"suspend": true}), json!({}), &[], None, &[])]
#[case::allowed(json!({}), active(&["old"]), &["old"], Some("c-29539320"), &[])]
#[case::forbidden(json!({"concurrencyPolicy": "Forbid"}), active(&["old"]), &["old"], None, &["JobAlreadyActive"])]
#[case::replaced(json!({"concurrencyPolicy": "Replace"}), active(&["old"]), &["old"], Some("c-29539320"), &[])]
#[case::listed(json!({}), active(&["c-29539320"]), &["c-29539320"], None, &[])]
#[case::unknown_zone(json!({"timeZone": "No/Where"}), json!({}), &[], None, &["UnknownTimeZone"])]
#[case::no_schedule(json!({"schedule": "x"}), json!({}), &[], None, &["UnparseableSchedule"])]
#[case::too_many(json!({"schedule": "@every 1s"}), json!({}), &[], Some("c-29539320"), &["TooManyMissedTimes"])]
#[case::a_stranger(json!({"schedule": "30 * * * *"}), json!({}), &["x"], None, &["UnexpectedJob"])]
fn jobs_start(
    #[case] spec: Value,
    #[case] status: Value,
    #[case] running: &[&str],
    #[case] name: Option<&str>,
    #[case] told: &[&str],
) {
    let jobs: Vec<_> = running.iter().map(|name| job(name, None)).collect();
    let plan = planned(&cron(&spec, &status), &jobs);
    assert_eq!(started(&plan).as_deref(), name);
    assert_eq!(reasons(&plan), told);
    let replaced = usize::from(spec["concurrencyPolicy"] == "Replace");
    assert_eq!(plan.replace.len(), replaced);
}

#[test]
fn the_next_time_wakes() {
    let plan = planned(&cron(&json!({}), &json!({})), &[]);
    assert_eq!(plan.look_again, Some(Duration::from_secs(9 * 60 + 40)));
    assert_eq!(planned(&cron(&json!({"suspend": true}), &json!({})), &[]).look_again, None);
}

#[test]
fn a_job_knows_its_time() {
    let plan = planned(&cron(&json!({"timeZone": "Asia/Kolkata"}), &json!({})), &[]);
    let (job, at) = plan.start.unwrap();
    let annotations = job.metadata.annotations.unwrap();
    assert_eq!(annotations[SCHEDULED], "2026-03-01T15:30:00+05:30");
    assert_eq!(at.to_string(), "2026-03-01T10:00:00Z");
    assert_eq!(job.metadata.owner_references.unwrap()[0].uid, "cron");
    let plan = planned(&cron(&json!({}), &json!({})), &[]);
    let annotations = plan.start.unwrap().0.metadata.annotations.unwrap();
    assert_eq!(annotations[SCHEDULED], "2026-03-01T10:00:00Z");
}

#[test]
fn what_ended_leaves_the_list_and_the_oldest_go() {
    let spec =
        json!({"schedule": "30 * * * *", "successfulJobsHistoryLimit": 2, "failedJobsHistoryLimit": 0});
    let jobs = [
        job("a", Some(("Complete", 1))),
        job("b", Some(("Complete", 5))),
        job("c", Some(("Complete", 3))),
        job("d", Some(("Failed", 9))),
        job("e", None),
    ];
    let plan = planned(&cron(&spec, &active(&["b", "d", "e"])), &jobs);
    let deleted: Vec<_> = plan.delete.iter().map(|job| job.name_any()).collect();
    assert_eq!(deleted, ["a", "d"]);
    assert_eq!(plan.active().filter_map(|active| active.name.as_deref()).collect::<Vec<_>>(), ["e"]);
    let last = plan.status.last_successful_time.unwrap();
    assert_eq!(last.0.to_string(), "2026-03-01T09:05:00Z");
    let messages: Vec<_> = plan.events.iter().map(|told| told.message.as_str()).collect();
    assert_eq!(
        messages,
        ["Saw completed job: b, condition: Complete", "Saw completed job: d, condition: Failed"]
    );
}

#[test]
fn what_the_cache_does_not_show_is_asked_for() {
    let cron = cron(&json!({"schedule": "30 * * * *"}), &active(&["a", "b"]));
    let jobs = [job("a", None)];
    let missing = planned(&cron, &jobs).missing(&jobs);
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].name.as_deref(), Some("b"));
}
