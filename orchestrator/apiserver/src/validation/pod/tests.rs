//! The rules of Pods, one row for each. What is expected is what upstream says.

use rstest::rstest;
use serde_json::{Value, json};

use crate::kinds::told;

/// A Pod with one container, changed by a merge.
fn pod(changes: &Value) -> Value {
    let mut pod = json!({"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    merge(&mut pod["spec"], changes);
    pod
}

fn merge(value: &mut Value, changes: &Value) {
    match changes.as_object() {
        Some(fields) if value.is_object() || value.is_null() => {
            fields.iter().for_each(|(name, change)| merge(&mut value[name], change));
        }
        _ => *value = changes.clone(),
    }
}

fn container(changes: &Value) -> Value {
    let mut container = json!({"name": "c", "image": "i"});
    merge(&mut container, changes);
    json!({"containers": [container]})
}

#[rstest]
#[case(json!({"envFrom": [{"secretRef": {"name": "B_"}}]}), "spec.containers[0].envFrom[0].secretRef.name: Invalid value: \"B_\": a lowercase RFC 1123 subdomain")]
#[case(json!({"envFrom": [{"configMapRef": {"name": "b-"}}]}), "")]
#[case(json!({"resources": {"claims": [{"name": "a"}, {"name": "a", "request": "r"}]}}), "spec.containers[0].resources.claims[1]: Duplicate value: \"a\"")]
#[case(json!({"resources": {"claims": [{"name": "a", "request": "r"}, {"name": "a", "request": "r"}]}}), "spec.containers[0].resources.claims[1]: Duplicate value: \"a/r\"")]
#[case(json!({"securityContext": {"seccompProfile": {"type": "X", "localhostProfile": "p"}}}), "spec.containers[0].securityContext.seccompProfile.localhostProfile: Invalid value: {\"Type\":\"X\",\"LocalhostProfile\":\"p\"}: can only be set")]
fn containers(#[case] changes: Value, #[case] told: &str) {
    says(&container(&changes), told);
}

#[rstest]
#[case(json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "labelSelector": {}}]}), "spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: \"\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\"")]
#[case(json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2}]}), "spec.topologySpreadConstraints[0].minDomains: Invalid value: 2: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway")]
#[case(json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["a b"]}]}}]}}}), "")]
#[case(json!({"resources": {"claims": [{"name": "a"}]}}), "spec.resources.claims: Forbidden: claims cannot be set for Resources at pod-level")]
#[case(json!({"resources": {"limits": {"whatever": "1"}}}), "spec.resources.limits[whatever]: Invalid value: \"whatever\": must be a standard resource type or fully qualified")]
#[case(json!({"os": {"name": "windows"}, "hostPID": true, "hostUsers": true, "shareProcessNamespace": false}), "[spec.hostUsers: Forbidden: cannot be set for a windows pod, spec.hostPID: Forbidden: cannot be set for a windows pod, spec.shareProcessNamespace: Forbidden: cannot be set for a windows pod]")]
#[case(json!({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "a"}, "configMap": {"name": ""}}]}}]}), "[spec.volumes[0].projected.sources[0].configMap.name: Required value, spec.volumes[0].projected.sources[0]: Forbidden: may not specify more than 1 volume type per source]")]
fn specs(#[case] changes: Value, #[case] told: &str) {
    says(&changes, told);
}

fn says(changes: &Value, told: &str) {
    let text = told::of_new("pods", pod(changes));
    assert!(if told.is_empty() { text.is_empty() } else { text.contains(told) }, "{text}");
}

#[rstest]
#[case(json!({}), json!({"schedulingGates": [{"name": "g"}]}), "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'g'")]
#[case(json!({"activeDeadlineSeconds": 5}), json!({}), "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value")]
#[case(json!({"activeDeadlineSeconds": 5}), json!({"activeDeadlineSeconds": 6}), "spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value")]
#[case(json!({}), json!({"containers": [{"name": "c", "image": " j"}]}), "spec.containers[0].image: Invalid value: \" j\": must not have leading or trailing whitespace")]
#[case(json!({}), json!({"tolerations": [{"operator": "Exists"}]}), "")]
#[case(json!({"schedulingGates": [{"name": "g"}]}), json!({"nodeSelector": {"a": "b"}}), "")]
fn changes(#[case] old: Value, #[case] new: Value, #[case] told: &str) {
    let text = told::of_change("pods", pod(&old), pod(&new));
    assert!(if told.is_empty() { text.is_empty() } else { text.contains(told) }, "{text}");
}

#[test]
fn a_template_may_leave_ports_of_the_host_to_its_pods() {
    let ports = json!({"hostNetwork": true, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]});
    let template = json!({"template": {"spec": ports}});
    assert_eq!(told::of_new("podtemplates", template), "");
}

#[rstest]
#[case(json!({"seccomp.security.alpha.kubernetes.io/pod": "bad"}), json!({}), "metadata.annotations.seccomp.security.alpha.kubernetes.io/pod: Invalid value: \"bad\": must be a valid seccomp profile")]
#[case(json!({"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}), json!({"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}), "spec.containers[0].securityContext.appArmorProfile.type: Forbidden: apparmor type in annotation and field must match")]
#[case(json!({}), json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}), "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers")]
fn annotations_and_fields(#[case] annotations: Value, #[case] changes: Value, #[case] told: &str) {
    let mut pod =
        json!({"metadata": {"name": "x", "annotations": annotations}, "spec": pod(&json!({}))["spec"]});
    let windows = changes["securityContext"]["windowsOptions"].is_object();
    let place = if windows { &mut pod["spec"] } else { &mut pod["spec"]["containers"][0] };
    merge(place, &changes);
    assert_eq!(told::of_new("pods", pod), told);
}
