//! TTL after finished: deletes Jobs some time after they ended, their Pods first.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::api::DeleteParams;
use kube::{Api, Client};
use wherry_api::clock::Clock;

use crate::context::{Caches, Context};
use crate::objects::jobs::ended_at;
use crate::objects::meta::Key;
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

/// See the module's documentation.
pub(crate) struct TtlAfterFinishedController {
    client: Client,
    caches: Arc<Caches>,
    clock: Arc<dyn Clock>,
}

impl Controller for TtlAfterFinishedController {
    const NAME: &'static str = "ttl-after-finished-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let wake = queue.clone();
        context.caches.jobs.on_change(move |change| {
            if let Some(job) = change.new.filter(|job| expires_at(job).is_some()) {
                wake.add(Key::of(&**job));
            }
        });
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            clock: context.config.clock.clone(),
        }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(left) = self.caches.jobs.get(key).and_then(|job| time_left(&job, self.clock.now())) else {
            return Ok(Next::OnChange);
        };
        if !left.is_zero() {
            return Ok(Next::After(left));
        }
        let api = Api::<Job>::namespaced(self.client.clone(), &key.namespace);
        let live = api.get_opt(&key.name).await.step("reading the Job before its deletion")?;
        let Some((job, left)) =
            live.and_then(|job| time_left(&job, self.clock.now()).map(|left| (job, left)))
        else {
            return Ok(Next::OnChange);
        };
        if !left.is_zero() {
            // Somebody gave it more time.
            return Ok(Next::After(left));
        }
        let deleted = delete(&api, &job.metadata, Only::Unchanged, DeleteParams::foreground()).await;
        deleted.step("deleting the Job").map(|_| Next::OnChange)
    }
}

/// When the Job is to go, if it is.
fn expires_at(job: &Job) -> Option<Timestamp> {
    if job.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let ttl = job.spec.as_ref()?.ttl_seconds_after_finished?;
    ended_at(job)?.checked_add(SignedDuration::from_secs(i64::from(ttl))).ok()
}

/// How long the Job still has.
fn time_left(job: &Job, now: Timestamp) -> Option<Duration> {
    let left = expires_at(job)?.duration_since(now);
    Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn job(ttl: &Value, conditions: &Value, going: bool) -> Job {
        let job = json!({
            "metadata": { "name": "j", "deletionTimestamp": going.then_some("2026-01-01T00:00:00Z") },
            "spec": { "ttlSecondsAfterFinished": ttl, "template": {} },
            "status": { "conditions": conditions },
        });
        serde_json::from_value(job).unwrap()
    }

    #[rstest]
    #[case::complete("Complete", "True", json!(60), false, Some(50))]
    #[case::failed("Failed", "True", json!(0), false, Some(0))]
    #[case::over("Failed", "True", json!(7), false, Some(0))]
    #[case::not_yet("Complete", "False", json!(0), false, None)]
    #[case::about_to("FailureTarget", "True", json!(0), false, None)]
    #[case::no_ttl("Complete", "True", json!(null), false, None)]
    #[case::going("Complete", "True", json!(0), true, None)]
    fn jobs_expire(
        #[case] type_: &str,
        #[case] status: &str,
        #[case] ttl: Value,
        #[case] going: bool,
        #[case] seconds: Option<u64>,
    ) {
        let at = "2026-01-01T00:00:00Z";
        let conditions = json!([{ "type": type_, "status": status, "lastTransitionTime": at }]);
        let now: Timestamp = "2026-01-01T00:00:10Z".parse().unwrap();
        assert_eq!(time_left(&job(&ttl, &conditions, going), now), seconds.map(Duration::from_secs));
    }
}
