//! Whether a container that ended is started again: its own rules first, then its own policy, then its pod's.

use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, PodSpec};

use super::specs::Role;

/// When a container that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum RestartPolicy {
    /// Always.
    #[default]
    Always,
    /// If its exit code is not 0.
    OnFailure,
    /// Never.
    Never,
}

impl RestartPolicy {
    /// The pod's policy.
    pub(super) fn of_pod(spec: Option<&PodSpec>) -> Self {
        spec.and_then(|spec| spec.restart_policy.as_deref()).and_then(Self::parse).unwrap_or_default()
    }

    /// The policy for a container of a pod with this policy. An init container that succeeded is done.
    pub(super) fn of_container(container: &Container, role: Role, of_pod: Self) -> Self {
        let own = container.restart_policy.as_deref().and_then(Self::parse);
        match (role, own.unwrap_or(of_pod)) {
            (Role::Ephemeral, _) | (Role::Init | Role::Main, Self::Never) => Self::Never,
            (Role::Init, Self::Always) if own.is_none() => Self::OnFailure,
            (Role::Init | Role::Main, policy) => policy,
        }
    }

    fn parse(word: &str) -> Option<Self> {
        match word {
            "Always" => Some(Self::Always),
            "OnFailure" => Some(Self::OnFailure),
            "Never" => Some(Self::Never),
            _ => None,
        }
    }

    /// Whether such an exit of the container is followed by another attempt.
    pub(super) fn restarts(self, container: &Container, code: i32) -> bool {
        let mut rules = container.restart_policy_rules.iter().flatten();
        let by_rule = container.restart_policy.is_some() && rules.any(|rule| restarts_by(rule, code));
        by_rule
            || match self {
                Self::Always => true,
                Self::OnFailure => code != 0,
                Self::Never => false,
            }
    }
}

fn restarts_by(rule: &ContainerRestartRule, code: i32) -> bool {
    let Some(codes) = rule.exit_codes.as_ref().filter(|_| rule.action == "Restart") else { return false };
    let named = codes.values.iter().flatten().any(|value| *value == code);
    match codes.operator.as_str() {
        "In" => named,
        "NotIn" => !named,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case(Role::Main, json!({}), RestartPolicy::OnFailure, "0-,1+")]
    #[case(Role::Main, json!({ "restartPolicy": "Always" }), RestartPolicy::Never, "0+,1+")]
    #[case(Role::Init, json!({}), RestartPolicy::Always, "0-,1+")]
    #[case(Role::Init, json!({ "restartPolicy": "Always" }), RestartPolicy::Never, "0+,1+")]
    #[case(Role::Init, json!({ "restartPolicy": "Never" }), RestartPolicy::Always, "0-,1-")]
    #[case(Role::Ephemeral, json!({}), RestartPolicy::Always, "0-,1-")]
    #[case(Role::Main, rules("Never", "In"), RestartPolicy::Always, "0-,1-,42+")]
    #[case(Role::Main, rules("OnFailure", "In"), RestartPolicy::Never, "0-,1+,42+")]
    #[case(Role::Main, rules("Never", "NotIn"), RestartPolicy::Never, "0+,1+,42-")]
    fn rules_go_before_policies_and_containers_before_their_pod(
        #[case] role: Role,
        #[case] fields: Value,
        #[case] of_pod: RestartPolicy,
        #[case] expected: &str,
    ) {
        let mut container: Container = serde_json::from_value(fields).unwrap();
        container.name = "main".to_owned();
        let policy = RestartPolicy::of_container(&container, role, of_pod);
        for case in expected.split(',') {
            let (code, restarts) = case.split_at(case.len() - 1);
            assert_eq!(
                policy.restarts(&container, code.parse().unwrap()),
                restarts == "+",
                "exit code {code}"
            );
        }
    }

    fn rules(policy: &str, operator: &str) -> Value {
        let codes = json!({ "operator": operator, "values": [42] });
        json!({ "restartPolicy": policy, "restartPolicyRules": [{ "action": "Restart", "exitCodes": codes }] })
    }
}
