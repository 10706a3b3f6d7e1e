//! The end of Jobs, and the conditions that tell of it.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// How a Job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Complete,
    Failed,
}

impl Ending {
    /// The condition's type.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "Complete",
            Self::Failed => "Failed",
        }
    }
}

/// How the Job ended, if it did.
pub(crate) fn ending(job: &Job) -> Option<Ending> {
    end(job).map(|(ending, _)| ending)
}

/// When the Job ended, if it did.
pub(crate) fn ended_at(job: &Job) -> Option<Timestamp> {
    end(job)?.1.last_transition_time.as_ref().map(|time| time.0)
}

fn end(job: &Job) -> Option<(Ending, &JobCondition)> {
    conditions(job.status.as_ref()).filter(|condition| condition.status == "True").find_map(|condition| {
        let ending = [Ending::Complete, Ending::Failed];
        let ending = ending.into_iter().find(|ending| ending.as_str() == condition.type_)?;
        Some((ending, condition))
    })
}

/// The condition of this type, if it holds.
pub(crate) fn condition_of<'j>(status: Option<&'j JobStatus>, type_: &str) -> Option<&'j JobCondition> {
    conditions(status).find(|condition| condition.type_ == type_ && condition.status == "True")
}

fn conditions(status: Option<&JobStatus>) -> impl Iterator<Item = &JobCondition> {
    status.into_iter().flat_map(|status| status.conditions.iter().flatten())
}

/// Makes a condition say this; returns whether it said something else. One that never held is not told of.
pub(crate) fn ensure_condition(
    status: &mut JobStatus,
    type_: &str,
    holds: bool,
    (reason, message): (&str, &str),
    now: Timestamp,
) -> bool {
    let wanted = JobCondition {
        type_: type_.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    };
    let found = status.conditions.iter_mut().flatten().find(|condition| condition.type_ == type_);
    match found {
        None if !holds => false,
        None => {
            status.conditions.get_or_insert_default().push(wanted);
            true
        }
        Some(found) => {
            let same = |c: &JobCondition| (c.status.clone(), c.reason.clone(), c.message.clone());
            let changes = same(found) != same(&wanted);
            if changes {
                *found = wanted;
            }
            changes
        }
    }
}
