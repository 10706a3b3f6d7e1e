//! The Pods that a Job makes.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};

use super::facts::{FAILURES, Facts, IGNORED, failures_of_index, ignored_failures_of_index};
use super::failure_policy::judge;
use super::indexes::INDEX;
use crate::objects::claim::JOB_TRACKING;
use crate::objects::pod_control::pod_of;

/// The variable that tells a container its index.
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// The longest beginning of a name that the API server completes.
const LONGEST_PREFIX: usize = 58;

/// A Pod of the Job's template, named by the API server.
pub(super) fn pod(job: &Job) -> Pod {
    let mut pod = pod_of(job, job.spec.as_ref().map(|spec| &spec.template));
    let finalizers = pod.metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|finalizer| finalizer == JOB_TRACKING) {
        finalizers.push(JOB_TRACKING.to_owned());
    }
    pod
}

/// A Pod that works on this index, after another that failed if there was one.
pub(super) fn pod_of_index(facts: &Facts<'_>, index: usize, last_failed: Option<&Arc<Pod>>) -> Pod {
    let job = facts.world.job;
    let mut pod = pod(job);
    let text = index.to_string();
    pod.metadata.generate_name = Some(prefix(name(job), &text));
    pod.metadata.labels.get_or_insert_default().insert(INDEX.to_owned(), text.clone());
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(INDEX.to_owned(), text.clone());
    if facts.terms.backoff_limit_per_index.is_some() {
        let (failures, ignored) = failures(facts, last_failed);
        annotations.insert(FAILURES.to_owned(), failures.to_string());
        if ignored > 0 {
            annotations.insert(IGNORED.to_owned(), ignored.to_string());
        }
    }
    if let Some(spec) = &mut pod.spec {
        spec.hostname = Some(format!("{}-{text}", name(job)));
        spec.init_containers.iter_mut().flatten().chain(&mut spec.containers).for_each(tell_index);
    }
    pod
}

/// How often the index has failed and counted, and how often it was ignored.
fn failures(facts: &Facts<'_>, last_failed: Option<&Arc<Pod>>) -> (i64, i64) {
    let Some(last) = last_failed else { return (0, 0) };
    let (failures, ignored) = (failures_of_index(last), ignored_failures_of_index(last));
    if judge(facts.terms.failure_policy, last).counts() {
        (failures + 1, ignored)
    } else {
        (failures, ignored + 1)
    }
}

fn name(job: &Job) -> &str {
    job.metadata.name.as_deref().unwrap_or_default()
}

/// The Job's name, as far as there is room, and the index.
fn prefix(job: &str, index: &str) -> String {
    let room = LONGEST_PREFIX.saturating_sub(index.len() + 2);
    format!("{}-{index}-", job.get(..room).unwrap_or(job))
}

fn tell_index(container: &mut Container) {
    let variables = container.env.get_or_insert_default();
    if variables.iter().any(|variable| variable.name == INDEX_VARIABLE) {
        return;
    }
    let field = ObjectFieldSelector { api_version: None, field_path: format!("metadata.labels['{INDEX}']") };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    let name = INDEX_VARIABLE.to_owned();
    variables.push(EnvVar { name, value: None, value_from: Some(source) });
}
