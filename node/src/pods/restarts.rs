//! Whether a container that ended is started again: its own rules first, then its own policy, then its pod's.

use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, Pod, PodSpec};

use super::specs::{self, Role};

/// The action of rules that are about the container's neighbours, too.
const ALL: &str = "RestartAllContainers";

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
        rule(container, code).is_some()
            || match self {
                Self::Always => true,
                Self::OnFailure => code != 0,
                Self::Never => false,
            }
    }
}

/// Whether such an exit of the container is followed by other attempts at all containers of its pod.
pub(super) fn restarts_all(container: &Container, code: i32) -> bool {
    rule(container, code).is_some_and(|rule| rule.action == ALL)
}

/// Whether any exit may be.
pub(super) fn may_restart_all(pod: &Pod) -> bool {
    let rules = |container: &Container| container.restart_policy_rules.clone().into_iter().flatten();
    specs::containers(pod).any(|(_, container)| rules(&container).any(|rule| rule.action == ALL))
}

/// The first of the container's rules that is about such an exit.
fn rule(container: &Container, code: i32) -> Option<&ContainerRestartRule> {
    container.restart_policy.as_ref()?;
    container.restart_policy_rules.iter().flatten().find(|rule| is_about(rule, code))
}

fn is_about(rule: &ContainerRestartRule, code: i32) -> bool {
    let Some(codes) = rule.exit_codes.as_ref().filter(|_| ["Restart", ALL].contains(&&*rule.action)) else {
        return false;
    };
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

    #[test]
    fn the_first_rule_that_is_about_an_exit_decides() {
        let rule = |action: &str, operator: &str, code: i32| json!({ "action": action, "exitCodes": { "operator": operator, "values": [code] } });
        let rules = json!([rule("Restart", "In", 3), rule("RestartAllContainers", "NotIn", 0)]);
        let container: Container = serde_json::from_value(
            json!({ "name": "main", "restartPolicy": "Never", "restartPolicyRules": rules }),
        )
        .unwrap();
        assert_eq!([0, 1, 3].map(|code| restarts_all(&container, code)), [false, true, false]);
        assert_eq!(
            [0, 1, 3].map(|code| RestartPolicy::Never.restarts(&container, code)),
            [false, true, true]
        );
        let without = Container { restart_policy: None, ..container };
        assert!(!restarts_all(&without, 1), "rules need a policy");
    }

    fn rules(policy: &str, operator: &str) -> Value {
        let codes = json!({ "operator": operator, "values": [42] });
        json!({ "restartPolicy": policy, "restartPolicyRules": [{ "action": "Restart", "exitCodes": codes }] })
    }
}
