//! CronJobs: what conformance says of them. Each runs every hour from its last time on, and the tests say when that was.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Event;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::support::Cluster;
use crate::support::kubelet::Fate;

fn active(cron: &CronJob) -> Vec<String> {
    let active = cron.status.iter().flat_map(|status| status.active.iter().flatten());
    active.filter_map(|job| job.name.clone()).collect()
}

impl Cluster {
    async fn cron(&self, name: &str, policy: &str, suspend: bool) {
        let pod = json!({"containers": [{"name": "c", "image": "i"}], "restartPolicy": "OnFailure"});
        let template = json!({"metadata": {"labels": {"of": name}}, "spec": {"template": {"spec": pod}}});
        let spec = json!({
            "schedule": "@every 1h", "concurrencyPolicy": policy, "suspend": suspend, "jobTemplate": template,
        });
        self.create::<CronJob>(json!({"metadata": {"name": name}, "spec": spec})).await.unwrap();
    }

    /// Makes a time due that was so many minutes ago.
    async fn due(&self, name: &str, minutes_ago: i64) {
        let last = Timestamp::now() - SignedDuration::from_mins(60 + minutes_ago);
        let status = Patch::Merge(json!({"status": {"lastScheduleTime": last.to_string()}}));
        self.api::<CronJob>().patch_status(name, &PatchParams::default(), &status).await.unwrap();
    }

    /// Waits until this many Jobs are listed as active; returns their names.
    async fn active(&self, count: usize) -> Vec<String> {
        active(&self.until::<CronJob>("c", |cron| active(cron).len() == count).await)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cronjob_allowconcurrent() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.cron("c", "Allow", false).await;
    cluster.due("c", 5).await;
    cluster.active(1).await;
    cluster.due("c", 3).await;
    cluster.active(2).await;
    let scheduled = "batch.kubernetes.io/cronjob-scheduled-timestamp";
    for job in cluster.list::<Job>("of=c").await {
        let at: Timestamp = job.annotations()[scheduled].parse().unwrap();
        assert_eq!(job.name_any(), format!("c-{}", at.as_second().div_euclid(60)));
        assert_eq!(job.owner_references()[0].name, "c");
    }
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cronjob_suspend() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.cron("c", "Allow", true).await;
    cluster.due("c", 5).await;
    // Another one shows that the controller has been at work.
    cluster.cron("other", "Allow", false).await;
    cluster.due("other", 5).await;
    cluster.until_all::<Job>("of=other", |jobs| jobs.len() == 1).await;
    assert!(cluster.list::<Job>("of=c").await.is_empty());
    assert!(active(&cluster.get::<CronJob>("c").await).is_empty());
    cluster.patch::<CronJob>("c", json!({"spec": {"suspend": false}})).await;
    cluster.active(1).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cronjob_forbidconcurrent() {
    let (cluster, kubelet) = Cluster::with_nodes(1).await;
    cluster.cron("c", "Forbid", false).await;
    cluster.due("c", 5).await;
    let first = cluster.active(1).await;
    cluster.due("c", 3).await;
    let refused = |event: &Arc<Event>| event.reason.as_deref() == Some("JobAlreadyActive");
    cluster.until_all::<Event>("", |events| events.iter().any(refused)).await;
    assert_eq!(active(&cluster.get::<CronJob>("c").await), first);
    assert_eq!(cluster.list::<Job>("of=c").await.len(), 1);
    kubelet.rule(|_| Some(Fate::Succeeded));
    cluster.until_all::<Job>("of=c", |jobs| jobs.len() == 2).await;
    cluster
        .until::<CronJob>("c", |cron| cron.status.as_ref().is_some_and(|s| s.last_successful_time.is_some()))
        .await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cronjob_replaceconcurrent() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.cron("c", "Replace", false).await;
    cluster.due("c", 5).await;
    let first = cluster.active(1).await;
    cluster.due("c", 3).await;
    cluster.until::<CronJob>("c", |cron| active(cron).len() == 1 && active(cron) != first).await;
    cluster.until_gone::<Job>(&first[0]).await;
    cluster.plane.shutdown().await;
}
