//! A Job counts each Pod that ended once: never more than ended, and in the end none is left out. A Job that is not
//! suspended ends, with no Pod left that is tracked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Invariant;
use crate::object::{at, controller, is_active, is_terminating, is_true, name, number, text, uid};
use crate::view::{Change, View};

const TRACKED: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Jobs(BTreeMap<String, Ended>);

/// The Pods of a Job that ended, or for an Indexed Job those indexes that succeeded.
#[derive(Default)]
struct Ended {
    succeeded: Counted,
    failed: Counted,
}

#[derive(Default)]
struct Counted {
    may: BTreeSet<String>,
    must: BTreeSet<String>,
}

impl Counted {
    fn add(&mut self, id: &str, must: bool) {
        self.may.insert(id.to_owned());
        if must {
            self.must.insert(id.to_owned());
        }
    }
}

impl Invariant for Jobs {
    fn name(&self) -> &'static str {
        "a Job counts each Pod that ended once"
    }

    fn sees(&mut self, change: &Change, before: &View) -> Result<(), String> {
        match (change.kind.as_str(), &change.new) {
            ("Pod", Some(pod)) => {
                let old = change.old.as_deref();
                self.pod_changed(old.unwrap_or(&Value::Null), pod, before);
                Ok(())
            }
            ("Job", Some(job)) => self.counts_no_more_than_ended(job),
            _ => Ok(()),
        }
    }

    fn settled(&mut self, view: &View) -> Result<(), String> {
        for job in view.all("Job") {
            self.is_over(job)?;
            if let Some(pod) = view.owned("Pod", uid(job)).find(|pod| is_active(pod) || is_tracked(pod)) {
                return Err(format!("{} is left of Job {}", name(pod), name(job)));
            }
        }
        Ok(())
    }
}

impl Jobs {
    fn pod_changed(&mut self, old: &Value, pod: &Value, before: &View) {
        let owner = controller(pod);
        if !controller(old).is_empty() && controller(old) != owner {
            // Whoever let it go need not count it.
            let ended = self.0.entry(controller(old).to_owned()).or_default();
            ended.succeeded.must.remove(uid(pod));
            ended.failed.must.remove(uid(pod));
        }
        let Some(job) = before.get("Job", owner) else { return };
        let must = is_tracked(pod) && !is_decided(job);
        let ended = self.0.entry(owner.to_owned()).or_default();
        match text(pod, "status.phase") {
            phase if phase == text(old, "status.phase") => {}
            "Succeeded" => ended.succeeded.add(id(job, pod), must),
            "Failed" => ended.failed.add(uid(pod), must),
            _ => {}
        }
        if is_terminating(pod) {
            ended.failed.add(uid(pod), false);
        }
    }

    fn counts_no_more_than_ended(&self, job: &Value) -> Result<(), String> {
        let none = Ended::default();
        let ended = self.0.get(uid(job)).unwrap_or(&none);
        let uncounted = |field: &str| {
            let uncounted = at(job, &format!("status.uncountedTerminatedPods.{field}")).as_array();
            uncounted.map_or(0, Vec::len)
        };
        let indexed = is_indexed(job);
        for (field, counted) in [("succeeded", &ended.succeeded), ("failed", &ended.failed)] {
            let more = if indexed && field == "succeeded" { 0 } else { uncounted(field) };
            let count = size(more) + number(job, &format!("status.{field}"));
            if count > size(counted.may.len()) {
                return Err(format!("{} counts {count} {field}, {} did", name(job), counted.may.len()));
            }
        }
        Ok(())
    }

    fn is_over(&self, job: &Value) -> Result<(), String> {
        if !is_true(job, "Complete") && !is_true(job, "Failed") {
            return Err(format!("Job {} never ends", name(job)));
        }
        let Some(ended) = self.0.get(uid(job)) else { return Ok(()) };
        for (field, counted) in [("succeeded", &ended.succeeded), ("failed", &ended.failed)] {
            let count = number(job, &format!("status.{field}"));
            if count < size(counted.must.len()) {
                return Err(format!("Job {} counts {count} {field}, of {}", name(job), counted.must.len()));
            }
        }
        Ok(())
    }
}

fn size(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What success of a Pod is counted as.
fn id<'p>(job: &Value, pod: &'p Value) -> &'p str {
    if is_indexed(job) {
        pod["metadata"]["annotations"][INDEX].as_str().unwrap_or_default()
    } else {
        uid(pod)
    }
}

fn is_indexed(job: &Value) -> bool {
    text(job, "spec.completionMode") == "Indexed"
}

/// Whether what else ends need not be counted.
fn is_decided(job: &Value) -> bool {
    ["Complete", "Failed", "SuccessCriteriaMet", "FailureTarget"].iter().any(|word| is_true(job, word))
}

fn is_tracked(pod: &Value) -> bool {
    at(pod, "metadata.finalizers").as_array().is_some_and(|all| all.iter().any(|one| one == TRACKED))
}
