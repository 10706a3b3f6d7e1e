//! Whether a container that ended may run again: by its own rules, else by its own policy, else by its Pod's.

use wherry_schema::Value;

use crate::object::Fields;

/// Whether such an exit of the Pod's container is followed by another attempt at it.
pub(super) fn restarts(pod: &Value, name: &str, code: i64) -> bool {
    let container = containers(pod).find(|container| container.text("name") == name);
    let own = container.map(|container| container.text("restartPolicy")).filter(|policy| !policy.is_empty());
    if own.is_some() && container.is_some_and(|container| has_rule(container, code)) {
        return true;
    }
    match own.unwrap_or_else(|| pod.text("spec.restartPolicy")) {
        "Always" => true,
        "OnFailure" => code != 0,
        _ => false,
    }
}

/// Whether an exit of one of the Pod's containers may be followed by other attempts at all of them.
pub(super) fn may_restart_all(pod: &Value) -> bool {
    containers(pod)
        .flat_map(|container| container.items("restartPolicyRules"))
        .any(|rule| rule.text("action") == "RestartAllContainers")
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    pod.items("spec.initContainers").iter().chain(pod.items("spec.containers"))
}

/// Whether one of the container's rules is about such an exit; each has it run again.
fn has_rule(container: &Value, code: i64) -> bool {
    container.items("restartPolicyRules").iter().any(|rule| {
        let named = rule.items("exitCodes.values").iter().any(|value| value.as_i64() == Some(code));
        match rule.text("exitCodes.operator") {
            "In" => named,
            "NotIn" => !named,
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn pod(policy: &str, container: &str) -> Value {
        let json = format!(
            r#"{{"spec":{{"restartPolicy":"{policy}","containers":[{{"name":"main"{container}}}]}}}}"#
        );
        Value::from_json(json.as_bytes()).unwrap()
    }

    #[rstest]
    #[case::pods_policy("Always", "", "0+,1+")]
    #[case("OnFailure", "", "0-,1+")]
    #[case("Never", "", "0-,1-")]
    #[case::own_policy("Never", r#","restartPolicy":"Always""#, "0+,1+")]
    #[case("Always", r#","restartPolicy":"Never""#, "0-,1-")]
    #[case::own_rule("Never", &rule("Never", "In"), "0-,42+")]
    #[case("Never", &rule("Never", "NotIn"), "0+,42-")]
    #[case::rules_need_a_policy("Never", &rule("", "In"), "0-,42-")]
    fn rules_go_before_policies_and_containers_before_their_pod(
        #[case] policy: &str,
        #[case] container: &str,
        #[case] expected: &str,
    ) {
        let pod = pod(policy, container);
        for case in expected.split(',') {
            let (code, expected) = case.split_at(case.len() - 1);
            assert_eq!(restarts(&pod, "main", code.parse().unwrap()), expected == "+", "{code}");
        }
        assert!(!may_restart_all(&pod));
    }

    #[test]
    fn a_rule_may_be_about_all() {
        let all = rule("Never", "In").replace("\"Restart\"", "\"RestartAllContainers\"");
        let mut pod = pod("Never", &all);
        assert!(may_restart_all(&pod) && restarts(&pod, "main", 42));
        let containers = pod.items("spec.containers").to_vec();
        pod.put("spec.initContainers", containers);
        pod.put("spec.containers", Vec::<Value>::new());
        assert!(may_restart_all(&pod));
    }

    fn rule(policy: &str, operator: &str) -> String {
        format!(
            r#","restartPolicy":"{policy}","restartPolicyRules":[{{"action":"Restart","exitCodes":{{"operator":"{operator}","values":[42]}}}}]"#
        )
    }
}
