//! Events that follow from a change of status.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodStatus};

use super::allocation::told;
use super::conditions::RESIZE_IN_PROGRESS;
use super::image_job::{PULL_FAILED, UNSIGNED};
use super::specs::field_path;
use crate::admission::Rejection;
use crate::events::{Happening, Severity};
use crate::eviction::Eviction;

/// The events to tell when a pod's status goes from one to the other.
pub(super) fn events(
    pod: &Pod,
    rejection: Option<Rejection>,
    from: &PodStatus,
    to: &PodStatus,
) -> Vec<Happening> {
    let all = |status: &PodStatus| -> Vec<ContainerStatus> {
        let lists = [
            &status.init_container_statuses,
            &status.container_statuses,
            &status.ephemeral_container_statuses,
        ];
        lists.into_iter().flatten().flatten().cloned().collect()
    };
    let before = all(from);
    let mut happenings = Vec::new();
    for container in all(to) {
        let old = before.iter().find(|old| old.name == container.name);
        let reason = waiting_reason(&container);
        if reason != old.and_then(waiting_reason) {
            happenings.extend(of_container(pod, &container, reason.unwrap_or_default()));
        }
    }
    happenings.extend(of_resize(pod, from, to));
    let is_new = |reason: &str| to.reason.as_deref() == Some(reason) && from.reason != to.reason;
    if is_new("DeadlineExceeded") {
        let message = "Pod was active on the node longer than the specified deadline";
        happenings.push(Happening::of_pod(Severity::Normal, "DeadlineExceeded", message));
    }
    if is_new(Eviction::EVICTED) {
        let message = to.message.clone().unwrap_or_default();
        happenings.push(Happening::of_pod(Severity::Warning, Eviction::EVICTED, message));
    }
    if let Some(rejection) = rejection.filter(|rejection| is_new(rejection.reason)) {
        happenings.push(Happening::of_pod(Severity::Warning, rejection.reason, rejection.message));
    }
    happenings
}

/// A resize that went wrong, or is done.
fn of_resize(pod: &Pod, from: &PodStatus, to: &PodStatus) -> Option<Happening> {
    let in_progress = |status: &PodStatus| -> Option<PodCondition> {
        let mut conditions = status.conditions.iter().flatten();
        conditions.find(|condition| condition.type_ == RESIZE_IN_PROGRESS).cloned()
    };
    let before = in_progress(from)?;
    let generation = before.observed_generation;
    match in_progress(to) {
        None => {
            let message = told("Pod resize completed", pod, generation, None);
            Some(Happening::of_pod(Severity::Normal, "ResizeCompleted", message))
        }
        Some(now) if now.reason.as_deref() == Some("Error") && now.message != before.message => {
            let message = told("Pod resize error", pod, generation, now.message.as_deref());
            Some(Happening::of_pod(Severity::Warning, "ResizeError", message))
        }
        Some(_) => None,
    }
}

fn waiting_reason(status: &ContainerStatus) -> Option<&str> {
    status.state.as_ref()?.waiting.as_ref()?.reason.as_deref()
}

fn of_container(pod: &Pod, status: &ContainerStatus, reason: &str) -> Vec<Happening> {
    let tell = |severity, reason, message| {
        let field_path = field_path(pod, &status.name);
        Happening { field_path, severity, reason, message }
    };
    match reason {
        "ImagePullBackOff" => {
            // The image is that of the container or of a volume; the cause was told before.
            let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
            let message = waiting.and_then(|waiting| waiting.message.as_deref()).unwrap_or_default();
            let message = [PULL_FAILED, UNSIGNED].iter().fold(message, |message, cause| {
                message.split(&format!(": {cause}")).next().unwrap_or_default()
            });
            vec![
                tell(Severity::Normal, "BackOff", message.to_owned()),
                tell(Severity::Warning, "Failed", "Error: ImagePullBackOff".to_owned()),
            ]
        }
        "CrashLoopBackOff" => {
            let meta = &pod.metadata;
            let message = format!(
                "Back-off restarting failed container {} in pod {}_{}({})",
                status.name,
                meta.name.as_deref().unwrap_or_default(),
                meta.namespace.as_deref().unwrap_or_default(),
                meta.uid.as_deref().unwrap_or_default(),
            );
            vec![tell(Severity::Warning, "BackOff", message)]
        }
        _ => Vec::new(),
    }
}
