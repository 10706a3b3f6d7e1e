//! What to do about a CronJob: which Jobs to delete, whether to start one, what its status says. Pure.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::ObjectMeta;

use super::schedule::{NoTimes, Times};
use crate::objects::jobs::{Ending, ending};
use crate::objects::meta::{controller_reference, uid};
use crate::runtime::recorder::Severity;

/// The annotation of a Job that says for which time it was made.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Jobs that are not needed any more.
    pub(super) delete: Vec<Arc<Job>>,
    /// The active Jobs to delete before the next one starts.
    pub(super) replace: Vec<ObjectReference>,
    /// The Job to start, and the time it is for.
    pub(super) start: Option<(Box<Job>, Timestamp)>,
    /// The status, but for what the actions change.
    pub(super) status: CronJobStatus,
    pub(super) events: Vec<Told>,
    /// When to look again although nothing happened.
    pub(super) look_again: Option<Duration>,
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) severity: Severity,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// Decides from the Jobs that the CronJob manages.
pub(super) fn plan(cron: &CronJob, jobs: &[Arc<Job>], now: Timestamp) -> Plan {
    let status = cron.status.clone().unwrap_or_default();
    let mut plan = Plan { status, delete: surplus(cron, jobs), ..Plan::default() };
    plan.follow(jobs);
    let spec = &cron.spec;
    if cron.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    match Times::of(cron) {
        Err(NoTimes::Zone(name)) => {
            let message = format!("invalid timeZone: {name:?}: unknown time zone {name}");
            plan.tell(Severity::Warning, "UnknownTimeZone", message);
        }
        _ if spec.suspend == Some(true) => {}
        Err(NoTimes::Schedule(why)) => {
            let schedule = &spec.schedule;
            plan.tell(
                Severity::Warning,
                "UnparseableSchedule",
                format!("unparseable schedule: {schedule:?} : {why}"),
            );
        }
        Ok(times) => plan.schedule(cron, &times, now),
    }
    plan
}

impl Plan {
    fn tell(&mut self, severity: Severity, reason: &'static str, message: String) {
        self.events.push(Told { severity, reason, message });
    }

    /// Takes Jobs that ended off the list of active ones, and notes the last success.
    fn follow(&mut self, jobs: &[Arc<Job>]) {
        for job in jobs {
            let own = uid(&job.metadata);
            let listed = self.active().any(|active| active.uid.as_deref() == Some(own));
            match ending(job) {
                None if listed => {}
                None => {
                    let name = job.name_any();
                    let message = format!("Saw a job that the controller did not create or forgot: {name}");
                    self.tell(Severity::Warning, "UnexpectedJob", message);
                }
                Some(how) => {
                    if listed {
                        self.forget(own);
                        let message =
                            format!("Saw completed job: {}, condition: {}", job.name_any(), how.as_str());
                        self.tell(Severity::Normal, "SawCompletedJob", message);
                    }
                    self.note_success(job, how);
                }
            }
        }
    }

    fn note_success(&mut self, job: &Job, how: Ending) {
        let done = job.status.as_ref().and_then(|status| status.completion_time.clone());
        let Some(done) = done.filter(|_| how == Ending::Complete) else { return };
        let last = &mut self.status.last_successful_time;
        if last.as_ref().is_none_or(|last| last.0 < done.0) {
            *last = Some(done);
        }
    }

    pub(super) fn active(&self) -> impl Iterator<Item = &ObjectReference> {
        self.status.active.iter().flatten()
    }

    /// Takes a Job off the list of active ones.
    pub(super) fn forget(&mut self, own: &str) {
        if let Some(active) = &mut self.status.active {
            active.retain(|active| active.uid.as_deref() != Some(own));
        }
        self.status.active = self.status.active.take().filter(|active| !active.is_empty());
    }

    /// Decides whether a Job is to start.
    fn schedule(&mut self, cron: &CronJob, times: &Times, now: Timestamp) {
        self.look_again = times.wait(now);
        let Some(due) = times.due(now) else { return };
        if due.many {
            let message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            self.tell(Severity::Warning, "TooManyMissedTimes", message.to_owned());
        }
        if times.is_late(due.at, now) {
            let at = strtime::format("%a, %d %b %Y %H:%M:%S UTC", &due.at.to_zoned(TimeZone::UTC));
            let message = format!("Missed scheduled time to start a job: {}", at.unwrap_or_default());
            return self.tell(Severity::Warning, "MissSchedule", message);
        }
        let (name, policy) = (job_name(cron, due.at), cron.spec.concurrency_policy.as_deref());
        let started = self.active().any(|active| active.name.as_deref() == Some(&name));
        let last = self.status.last_schedule_time.as_ref();
        if started || last.is_some_and(|last| last.0 == due.at) {
            return;
        }
        let busy = self.active().next().is_some();
        if busy && policy == Some("Forbid") {
            let message =
                "Not starting job because prior execution is running and concurrency policy is Forbid"
                    .to_owned();
            return self.tell(Severity::Normal, "JobAlreadyActive", message);
        }
        if policy == Some("Replace") {
            self.replace = self.active().cloned().collect();
        }
        self.start = Some((Box::new(job(cron, name, due.at, times.zone())), due.at));
    }

    /// Notes that the Job was started.
    pub(super) fn started(&mut self, job: ObjectReference, at: Timestamp) {
        self.status.active.get_or_insert_default().push(job);
        self.status.last_schedule_time = Some(Time(at));
    }

    /// The active Jobs that the cache does not show.
    pub(super) fn missing(&self, jobs: &[Arc<Job>]) -> Vec<ObjectReference> {
        let known: HashSet<&str> = jobs.iter().map(|job| uid(&job.metadata)).collect();
        self.active()
            .filter(|active| !known.contains(active.uid.as_deref().unwrap_or_default()))
            .cloned()
            .collect()
    }
}

fn job_name(cron: &CronJob, at: Timestamp) -> String {
    format!("{}-{}", cron.name_any(), at.as_second().div_euclid(60))
}

/// The Job for one time.
fn job(cron: &CronJob, name: String, at: Timestamp, zone: &TimeZone) -> Job {
    let template = cron.spec.job_template.clone();
    let from = template.metadata.unwrap_or_default();
    let mut annotations = from.annotations.unwrap_or_default();
    let local = at.to_zoned(zone.clone());
    let offset = if local.offset().is_zero() {
        "Z".to_owned()
    } else {
        strtime::format("%:z", &local).unwrap_or_default()
    };
    let local = strtime::format("%Y-%m-%dT%H:%M:%S", &local).unwrap_or_default();
    annotations.insert(SCHEDULED.to_owned(), format!("{local}{offset}"));
    let metadata = ObjectMeta {
        name: Some(name),
        namespace: cron.metadata.namespace.clone(),
        labels: from.labels,
        annotations: Some(annotations),
        owner_references: Some(vec![controller_reference(cron)]),
        ..ObjectMeta::default()
    };
    Job { metadata, spec: template.spec, status: None }
}

/// The oldest of the Jobs that ended, beyond those to keep.
fn surplus(cron: &CronJob, jobs: &[Arc<Job>]) -> Vec<Arc<Job>> {
    let spec = &cron.spec;
    let limits = [
        (Ending::Complete, spec.successful_jobs_history_limit),
        (Ending::Failed, spec.failed_jobs_history_limit),
    ];
    let oldest = limits.into_iter().filter_map(|(how, limit)| {
        let limit = usize::try_from(limit?).unwrap_or(0);
        let mut ended: Vec<_> = jobs.iter().filter(|job| ending(job) == Some(how)).cloned().collect();
        let start = |job: &Job| job.status.as_ref().and_then(|status| status.start_time.clone());
        ended.sort_by_key(|job| (start(job).is_none(), start(job).map(|time| time.0), job.name_any()));
        let surplus = ended.len().saturating_sub(limit);
        ended.truncate(surplus);
        Some(ended)
    });
    let going = |job: &Arc<Job>| job.metadata.deletion_timestamp.is_some();
    oldest.flatten().filter(|job| !going(job)).collect()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
