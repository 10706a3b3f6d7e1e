//! When a pod's status is written.
//!
//! What matters to others is written at once: a change of readiness, an end, an error. What is only on the way to
//! something else is held back for a moment, so that a pod that starts quickly is written once, as running and
//! ready. One write is under way at a time; what fails is written again after a while.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodStatus};
use serde_json::Value;

use super::backoff::later;
use super::patch;

/// How long a change on the way to another is held back.
const HELD_BACK: Duration = Duration::from_millis(150);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// What is known of the API's status and what is to be written.
#[derive(Debug)]
pub(super) struct StatusWriter {
    uid: String,
    /// What the API has, as far as we know.
    written: PodStatus,
    /// The revision at which it was written by us.
    revision: u64,
    is_writing: bool,
    held_until: Option<Timestamp>,
    retry: Option<(Duration, Timestamp)>,
}

/// What to do about a status.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    /// The API has it.
    Settled,
    /// A write is under way; look again when it is done.
    Wait,
    /// Look again then.
    Later(Timestamp),
    /// Send this.
    Write(Value),
}

impl StatusWriter {
    /// Begins with what the API has.
    pub(super) fn new(uid: &str, written: PodStatus) -> Self {
        Self { uid: uid.to_owned(), written, revision: 0, is_writing: false, held_until: None, retry: None }
    }

    /// Writes to this object from now on. Nothing was written yet to one that was made anew, as mirrors are.
    pub(super) fn turn_to(&mut self, object: &Pod) {
        let uid = object.metadata.uid.as_deref().unwrap_or_default();
        if uid != self.uid && !self.is_writing {
            *self = Self::new(uid, object.status.clone().unwrap_or_default());
        }
    }

    /// Takes over that somebody says since that the Pod is not ready, as is done to Pods of nodes that are not heard of.
    pub(super) fn hear(&mut self, pod: &Pod) {
        if let Some(told) = &pod.status
            && !self.is_writing
            && revision(pod) > self.revision
            && ready(&self.written)
            && !ready(told)
        {
            self.written = as_told(std::mem::take(&mut self.written), told);
        }
    }

    /// What to do, given the status to report.
    pub(super) fn decide(&mut self, status: &PodStatus, now: Timestamp) -> Decision {
        if self.is_writing {
            return Decision::Wait;
        }
        let Some(patch) = patch::between(&self.uid, &self.written, status) else {
            self.held_until = None;
            return Decision::Settled;
        };
        if let Some((_, at)) = self.retry.filter(|(_, at)| *at > now) {
            return Decision::Later(at);
        }
        if !matters(&self.written, status) {
            let until = *self.held_until.get_or_insert_with(|| later(now, HELD_BACK));
            if until > now {
                return Decision::Later(until);
            }
        }
        self.held_until = None;
        self.is_writing = true;
        Decision::Write(patch)
    }

    /// Whether the API has this status.
    pub(super) fn is_settled(&self, status: &PodStatus) -> bool {
        !self.is_writing && patch::between(&self.uid, &self.written, status).is_none()
    }

    /// Notes how the write of `status` went. A pod that is gone needs no more writes.
    pub(super) fn done(&mut self, status: PodStatus, result: &Result<u64, kube::Error>, now: Timestamp) {
        self.is_writing = false;
        match result {
            Ok(revision) => (self.written, self.revision, self.retry) = (status, *revision, None),
            Err(kube::Error::Api(answer)) if answer.code == 404 || answer.code == 409 => {
                self.written = status;
            }
            Err(_) => {
                let delay = self.retry.map_or(FIRST_RETRY, |(delay, _)| (delay * 2).min(LONGEST_RETRY));
                self.retry = Some((delay, later(now, delay)));
            }
        }
    }
}

/// The status that was sent, ready as the API says it is: others may have said that it is not.
pub(super) fn as_told(mut sent: PodStatus, told: &PodStatus) -> PodStatus {
    let is_ready = |condition: &&PodCondition| condition.type_ == "Ready";
    if let Some(found) = told.conditions.iter().flatten().find(is_ready)
        && let Some(own) = sent.conditions.iter_mut().flatten().find(|condition| condition.type_ == "Ready")
        && own.status != found.status
    {
        *own = found.clone();
    }
    sent
}

/// The resource version as a number; those of one cluster can be compared.
pub(super) fn revision(pod: &Pod) -> u64 {
    pod.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

fn ready(status: &PodStatus) -> bool {
    let conditions = status.conditions.iter().flatten();
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Whether somebody waits for the difference.
fn matters(from: &PodStatus, to: &PodStatus) -> bool {
    ready(from) != ready(to) || (from.phase != to.phase && is_final(to)) || troubles(from) != troubles(to)
}

fn is_final(status: &PodStatus) -> bool {
    matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))
}

/// What has gone wrong or ended, container by container.
fn troubles(status: &PodStatus) -> Vec<(&str, &str, i32)> {
    let lists = [&status.init_container_statuses, &status.container_statuses];
    lists.into_iter().flatten().flatten().filter_map(trouble).collect()
}

fn trouble(container: &ContainerStatus) -> Option<(&str, &str, i32)> {
    let state = container.state.as_ref()?;
    let reason = match (&state.waiting, &state.terminated) {
        (Some(waiting), _) => waiting.reason.as_deref()?,
        (None, Some(terminated)) => terminated.reason.as_deref().unwrap_or("Terminated"),
        (None, None) => return None,
    };
    let on_the_way = matches!(reason, "ContainerCreating" | "PodInitializing");
    (!on_the_way).then_some((container.name.as_str(), reason, container.restart_count))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use serde_json::json;

    use super::*;

    fn status(phase: &str, ready: bool, waiting: Option<&str>) -> PodStatus {
        let state =
            waiting.map_or(json!({ "running": {} }), |reason| json!({ "waiting": { "reason": reason } }));
        serde_json::from_value(json!({
            "phase": phase,
            "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
            "containerStatuses": [{ "name": "a", "image": "i", "imageID": "", "ready": ready, "restartCount": 0, "state": state }],
        }))
        .unwrap()
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    #[test]
    fn a_pod_that_starts_quickly_is_written_once() {
        let mut writer = StatusWriter::new("u", PodStatus::default());
        let creating = status("Pending", false, Some("ContainerCreating"));
        assert_eq!(writer.decide(&creating, at(0)), Decision::Later(at(150)));
        let running = status("Running", true, None);
        assert!(matches!(writer.decide(&running, at(20)), Decision::Write(_)));
        assert_eq!(writer.decide(&running, at(21)), Decision::Wait);
        writer.done(running.clone(), &Ok(7), at(22));
        assert_eq!(writer.decide(&running, at(23)), Decision::Settled);
        assert!(writer.is_settled(&running));
    }

    #[test]
    fn a_slow_pod_is_written_while_it_is_created() {
        let mut writer = StatusWriter::new("u", PodStatus::default());
        let creating = status("Pending", false, Some("ContainerCreating"));
        assert_eq!(writer.decide(&creating, at(0)), Decision::Later(at(150)));
        assert!(matches!(writer.decide(&creating, at(150)), Decision::Write(_)));
    }

    #[test]
    fn errors_and_ends_are_written_at_once() {
        for next in [status("Pending", false, Some("ErrImagePull")), status("Failed", false, None)] {
            let mut writer = StatusWriter::new("u", status("Pending", false, Some("ContainerCreating")));
            assert!(matches!(writer.decide(&next, at(0)), Decision::Write(_)));
        }
    }

    #[test]
    fn a_failed_write_is_tried_again_with_growing_waits() {
        let mut writer = StatusWriter::new("u", PodStatus::default());
        let running = status("Running", true, None);
        let failed = || Err(kube::Error::LinesCodecMaxLineLengthExceeded);
        let mut now = 0;
        for wait in [1000, 2000, 4000] {
            assert!(matches!(writer.decide(&running, at(now)), Decision::Write(_)));
            writer.done(running.clone(), &failed(), at(now));
            assert_eq!(writer.decide(&running, at(now)), Decision::Later(at(now + wait)));
            now += wait;
        }
    }

    #[test]
    fn a_mirror_that_was_made_anew_is_written_anew() {
        let running = status("Running", true, None);
        let mirror = |uid: &str| Pod {
            metadata: ObjectMeta { uid: Some(uid.to_owned()), ..ObjectMeta::default() },
            ..Pod::default()
        };
        let mut writer = StatusWriter::new("hash", PodStatus::default());
        for uid in ["m-1", "m-2"] {
            writer.turn_to(&mirror(uid));
            let Decision::Write(patch) = writer.decide(&running, at(0)) else { panic!("nothing is written") };
            assert_eq!(patch["metadata"]["uid"], uid);
            writer.turn_to(&mirror("m-2"));
            assert_eq!(writer.decide(&running, at(0)), Decision::Wait, "one write at a time");
            writer.done(running.clone(), &Ok(7), at(1));
            assert_eq!(writer.decide(&running, at(2)), Decision::Settled);
        }
    }

    /// The node controller says of the Pods of a silent node that they are not ready; nobody else would take that back.
    #[test]
    fn what_others_say_of_readiness_is_corrected() {
        let running = status("Running", true, None);
        let mut writer = StatusWriter::new("u", PodStatus::default());
        assert!(matches!(writer.decide(&running, at(0)), Decision::Write(_)));
        writer.done(running.clone(), &Ok(7), at(1));
        let told = |revision: u64| Pod {
            metadata: ObjectMeta { resource_version: Some(revision.to_string()), ..ObjectMeta::default() },
            status: Some(status("Running", false, None)),
            ..Pod::default()
        };
        writer.hear(&told(6));
        assert_eq!(writer.decide(&running, at(2)), Decision::Settled, "what is older than our word");
        writer.hear(&told(8));
        let Decision::Write(patch) = writer.decide(&running, at(3)) else { panic!("nothing is written") };
        assert_eq!(patch["status"]["conditions"][0]["status"], "True");
        let sent = as_told(running.clone(), &status("Running", false, None));
        writer.done(sent, &Ok(9), at(4));
        assert!(matches!(writer.decide(&running, at(5)), Decision::Write(_)), "said while we wrote");
    }
}
