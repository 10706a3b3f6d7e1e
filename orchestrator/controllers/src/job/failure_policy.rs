//! What a Job's failure policy says of a Pod that failed: the first rule that matches decides.

use k8s_openapi::api::batch::v1::{
    PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement as ExitCodes,
    PodFailurePolicyOnPodConditionsPattern as ConditionPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

/// What becomes of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It counts towards the limits; no rule says otherwise.
    Count,
    /// It does not count.
    Ignore,
    /// It counts, and its index has failed.
    FailIndex,
    /// It counts, and the Job has failed for this reason.
    FailJob(String),
}

impl Judgement {
    /// Whether the failure counts towards the limits.
    pub(super) fn counts(&self) -> bool {
        *self != Self::Ignore
    }
}

/// Judges a Pod that failed.
pub(super) fn judge(policy: Option<&PodFailurePolicy>, pod: &Pod) -> Judgement {
    let rules = policy.into_iter().flat_map(|policy| &policy.rules).enumerate();
    let mut matching = rules.filter_map(|(at, rule)| Some((rule, matched(at, rule, pod)?)));
    let Some((rule, message)) = matching.next() else { return Judgement::Count };
    match rule.action.as_str() {
        "Ignore" => Judgement::Ignore,
        "FailIndex" => Judgement::FailIndex,
        "FailJob" => Judgement::FailJob(message),
        _ => Judgement::Count,
    }
}

/// Why the rule matches, if it does.
fn matched(at: usize, rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    let (namespace, name) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref());
    let pod_name = format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default());
    let action = &rule.action;
    if let Some(wanted) = &rule.on_exit_codes {
        let (container, code) = failed_container(pod, wanted)?;
        return Some(format!(
            "Container {container} for pod {pod_name} failed with exit code {code} matching {action} rule at index {at}"
        ));
    }
    let condition = condition(pod, rule.on_pod_conditions.as_ref()?)?;
    let type_ = &condition.type_;
    Some(format!("Pod {pod_name} has condition {type_} matching {action} rule at index {at}"))
}

/// The first container whose exit code is wanted, before the first such init container.
fn failed_container<'p>(pod: &'p Pod, wanted: &ExitCodes) -> Option<(&'p str, i32)> {
    let status = pod.status.as_ref()?;
    let all = [&status.container_statuses, &status.init_container_statuses];
    all.into_iter().flatten().flatten().find_map(|status| exit(status, wanted))
}

fn exit<'p>(status: &'p ContainerStatus, wanted: &ExitCodes) -> Option<(&'p str, i32)> {
    let code = status.state.as_ref()?.terminated.as_ref()?.exit_code;
    let named = wanted.container_name.as_ref().is_none_or(|name| *name == status.name);
    let listed = wanted.values.contains(&code);
    let matches = match wanted.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    };
    (named && code != 0 && matches).then_some((status.name.as_str(), code))
}

fn condition<'p>(pod: &'p Pod, wanted: &[ConditionPattern]) -> Option<&'p PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| {
        wanted.iter().any(|pattern| {
            pattern.type_ == condition.type_
                && pattern.status.as_deref().unwrap_or("True") == condition.status
        })
    })
}

#[cfg(test)]
#[path = "failure_policy_tests.rs"]
mod tests;
