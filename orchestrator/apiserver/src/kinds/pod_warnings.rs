//! What is allowed in Pods and probably not meant.

use wherry_schema::{Object, Value};

use super::pod_fields::app_armor;
use crate::object::{self, Fields};
use crate::validation::pod::{APP_ARMOR, SECCOMP_CONTAINER, SECCOMP_POD};
use crate::validation::values::amount_of;
use crate::validation::written::of_ip;
use crate::validation::{Path, names};

/// Sources of volumes that no longer do anything, or soon will not.
const VOLUMES: &[(&str, &str)] = &[
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];
/// Labels of nodes that have other names now.
const LABELS: &[(&str, &str)] = &[
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    (
        "scheduler.alpha.kubernetes.io/preferAvoidPods",
        "deprecated since v1.22; use Taints and Tolerations instead",
    ),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];
/// Annotations that no longer do anything.
const ANNOTATIONS: &[(&str, &str)] = &[
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];
const DISK: &str = "ephemeral-storage";
const NULL_SELECTOR: &str = "a null labelSelector results in matching no pod";

/// The warnings of a Pod.
pub(super) fn of_pod(pod: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    adopted_app_armor(pod, &mut warnings);
    warnings.extend(named(pod, "metadata.name: this is used in the Pod's hostname"));
    spec(pod.field("spec"), pod.field("metadata"), &Path::default(), &mut warnings);
    warnings
}

/// The warnings of what runs Pods of a template.
pub(super) fn of_workload(object: &Value) -> Vec<String> {
    let mut warnings = named(object, "metadata.name: this is used in Pod names and hostnames");
    warnings.extend(of_template(object, "spec.template"));
    warnings
}

/// The warnings of a pod template.
pub(super) fn of_template(object: &Value, path: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(template) = object.field(path) {
        spec(template.field("spec"), template.field("metadata"), &Path::new(path), &mut warnings);
    }
    warnings
}

fn named(object: &Value, what: &str) -> Vec<String> {
    let problems = names::label(object::name(object));
    if problems.is_empty() || object::name(object).is_empty() {
        return Vec::new();
    }
    let problems = problems.join(" ");
    vec![format!("{what}, which can result in surprising behavior; a DNS label is recommended: [{problems}]")]
}

fn spec(spec: Option<&Value>, metadata: Option<&Value>, around: &Path, warnings: &mut Vec<String>) {
    let Some(spec) = spec else { return };
    let path = around.child("spec");
    node_labels(spec, &path, warnings);
    for (index, constraint) in spec.items("topologySpreadConstraints").iter().enumerate() {
        let at = path.child("topologySpreadConstraints").index(index);
        let key = constraint.text("topologyKey");
        if let Some(why) = label_problem(key) {
            warnings.push(format!("{}: {key} is {why}", at.child("topologyKey")));
        }
        if !constraint.has("labelSelector") {
            warnings.push(format!("{}: {NULL_SELECTOR}", at.child("labelSelector")));
        }
    }
    let annotations = metadata.and_then(|metadata| metadata.map("annotations"));
    let annotated = |key: &str| annotations.is_some_and(|annotations| annotations.contains(key));
    for (key, why) in ANNOTATIONS.iter().filter(|(key, _)| annotated(key)) {
        warnings.push(format!("{}: {why}", around.child("metadata.annotations").key(key)));
    }
    volumes(spec, &path, warnings);
    hosts(spec, &path, warnings);
    pull_secrets(spec, &path, warnings);
    fractions(spec.map("overhead"), &path.child("overhead"), warnings);
    if !spec.has("securityContext.seccompProfile") && annotated(SECCOMP_POD) {
        warnings.push(unused_seccomp(around, SECCOMP_POD));
    }
    each_container(spec, &path, |item, at| {
        let key = format!("{SECCOMP_CONTAINER}{}", item.text("name"));
        if !item.has("securityContext.seccompProfile") && annotated(&key) {
            warnings.push(unused_seccomp(around, &key));
        }
        let key = format!("{APP_ARMOR}{}", item.text("name"));
        let profiled = [spec, item].iter().any(|has| has.has("securityContext.appArmorProfile"));
        if *around != Path::default() && !profiled && annotated(&key) {
            warnings.push(deprecated_app_armor(around, &key));
        }
        container(item, at, warnings);
    });
    ports(spec, &path, warnings);
    if spec.int("terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        let at = path.child("terminationGracePeriodSeconds");
        warnings.push(format!("{at}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    affinity(spec, &path.child("affinity"), warnings);
    for (index, server) in spec.items("dnsConfig.nameservers").iter().filter_map(Value::as_str).enumerate() {
        warnings.extend(of_ip(&path.child("dnsConfig.nameservers").index(index), server));
    }
    for (index, alias) in spec.items("hostAliases").iter().enumerate() {
        warnings.extend(of_ip(&path.child("hostAliases").index(index).child("ip"), alias.text("ip")));
    }
}

fn unused_seccomp(around: &Path, key: &str) -> String {
    let at = around.child("metadata.annotations").key(key);
    format!("{at}: non-functional in v1.27+; use the \"seccompProfile\" field instead")
}

/// The warnings of annotations that name profiles of containers, which a new Pod has in fields as well.
fn adopted_app_armor(pod: &Value, warnings: &mut Vec<String>) {
    let of_pod = pod.field("spec.securityContext.appArmorProfile");
    if pod.text("spec.os.name") == "windows" {
        return;
    }
    each_container(pod.field("spec").unwrap_or(&Value::Null), &Path::default(), |item, _| {
        let key = format!("{APP_ARMOR}{}", item.text("name"));
        let annotation = pod.map("metadata.annotations").and_then(|a| a.get(&key)).and_then(Value::as_str);
        let Some(annotation) = annotation.filter(|_| !item.has("securityContext.appArmorProfile")) else {
            return;
        };
        if app_armor(annotation).is_none_or(|profile| Some(&profile) != of_pod) {
            warnings.push(deprecated_app_armor(&Path::default(), &key));
        }
    });
}

fn deprecated_app_armor(around: &Path, key: &str) -> String {
    let at = around.child("metadata.annotations").key(key);
    format!("{at}: deprecated since v1.30; use the \"appArmorProfile\" field instead")
}

fn each_container(spec: &Value, path: &Path, mut look: impl FnMut(&Value, &Path)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for (index, item) in spec.items(list).iter().enumerate() {
            look(item, &path.child(list).index(index));
        }
    }
}

fn label_problem(label: &str) -> Option<&'static str> {
    LABELS.iter().find(|(known, _)| *known == label).map(|(_, why)| *why)
}

fn hosts(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    let aliases = spec.items("hostAliases");
    for (index, alias) in aliases.iter().enumerate() {
        let ip = alias.text("ip");
        if aliases[..index].iter().any(|other| other.text("ip") == ip) {
            let at = path.child("hostAliases").index(index).child("ip");
            warnings.push(format!("{at}: duplicate ip {ip:?}"));
        }
    }
}

/// The warnings of how a Pod names nodes.
fn node_labels(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    for key in spec.map("nodeSelector").into_iter().flat_map(Object::keys) {
        if let Some(why) = label_problem(key) {
            warnings.push(format!("{}: {why}", path.child("nodeSelector").key(key)));
        }
    }
    let path = path.child("affinity.nodeAffinity");
    let field = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let at = path.child("requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
    for (index, term) in spec.items(field).iter().enumerate() {
        of_node_term(term, false, &at.index(index), warnings);
    }
    let at = path.child("preferredDuringSchedulingIgnoredDuringExecution");
    let field = "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution";
    for (index, term) in spec.items(field).iter().enumerate() {
        if let Some(preference) = term.field("preference") {
            of_node_term(preference, true, &at.index(index).child("preference"), warnings);
        }
    }
}

/// The warnings of a term that selects nodes.
pub(super) fn of_node_term(term: &Value, check_values: bool, path: &Path, warnings: &mut Vec<String>) {
    for (index, expression) in term.items("matchExpressions").iter().enumerate() {
        let (key, at) = (expression.text("key"), path.child("matchExpressions").index(index));
        if let Some(why) = label_problem(key) {
            warnings.push(format!("{}: {key} is {why}", at.child("key")));
        }
        let values = expression.items("values").iter().filter_map(Value::as_str).enumerate();
        for (index, value) in values.filter(|_| check_values) {
            let at = at.child("values").index(index);
            warnings.extend(
                names::label_value(value)
                    .iter()
                    .map(|problem| format!("{at}: {value} is invalid, {problem}")),
            );
        }
    }
}

fn volumes(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    for (index, volume) in spec.items("volumes").iter().enumerate() {
        let path = path.child("volumes").index(index);
        for (kind, why) in VOLUMES.iter().filter(|(kind, _)| volume.has(kind)) {
            let shown = if *kind == "storageos" { "storageOS" } else { kind };
            warnings.push(format!("{}: {why}", path.child(shown)));
        }
        if let Some(claim) = volume.field("ephemeral.volumeClaimTemplate.spec") {
            of_claim(claim, &path.child("ephemeral.volumeClaimTemplate.spec"), warnings);
        }
        let empty = |source: &Value| source.as_object().is_none_or(Object::is_empty);
        if volume.has("projected") && volume.items("projected.sources").iter().all(empty) {
            let name = volume.text("name");
            warnings.push(format!("volume {name:?} (Projected) has no sources provided"));
        }
    }
}

/// The warnings of a claim's spec.
pub(super) fn of_claim(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    for list in ["requests", "limits"] {
        let amounts = spec.field("resources").and_then(|resources| resources.map(list));
        fraction(amounts, "storage", &path.child("resources").child(list), warnings);
    }
}

fn pull_secrets(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    let secrets = spec.items("imagePullSecrets");
    let at = |index: usize| path.child("imagePullSecrets").index(index).child("name");
    for (index, secret) in secrets.iter().enumerate() {
        let name = secret.text("name");
        if secrets[..index].iter().any(|other| other.text("name") == name) {
            warnings.push(format!("{}: duplicate name {name:?}", at(index)));
        }
    }
    for (index, _) in secrets.iter().enumerate().filter(|(_, secret)| secret.text("name").is_empty()) {
        warnings.push(format!("{}: invalid empty name \"\"", at(index)));
    }
}

fn container(container: &Value, path: &Path, warnings: &mut Vec<String>) {
    for (name, list) in [("memory", "limits"), ("memory", "requests"), (DISK, "limits"), (DISK, "requests")] {
        let amounts = container.field("resources").and_then(|resources| resources.map(list));
        fraction(amounts, name, &path.child("resources").child(list), warnings);
    }
    let variables = container.items("env");
    for (index, variable) in variables.iter().enumerate() {
        let (name, value) = (variable.text("name"), variable.text("value"));
        let reference = format!("$({name})");
        let hides = variable.has("valueFrom") || value == reference || !value.contains(&reference);
        if hides && variables[..index].iter().any(|other| other.text("name") == name) {
            let at = path.child("env").index(index);
            warnings.push(format!(
                "{at}: hides previous definition of {name:?}, which may be dropped when using apply"
            ));
        }
    }
}

/// The warnings of ports that several containers, or one twice, have.
fn ports(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    let mut seen: Vec<(Path, Value)> = Vec::new();
    each_container(spec, path, |container, at| {
        for (index, port) in container.items("ports").iter().enumerate() {
            let at = at.child("ports").index(index);
            let number = |port: &Value, field: &str| port.int(field).unwrap_or(0);
            let (host, ip) = (number(port, "hostPort"), port.text("hostIP"));
            if !ip.is_empty() && host == 0 {
                warnings.push(format!("{at}: hostIP set without hostPort: {}", printed(port)));
            }
            let same = |field: &str, other: &Value| other.field(field) == port.field(field);
            let rivals = seen.iter().filter(|(_, o)| same("containerPort", o) && same("protocol", o));
            for (there, other) in rivals {
                let (other_host, other_ip) = (number(other, "hostPort"), other.text("hostIP"));
                let what = if ip == other_ip && host == other_host {
                    "duplicate"
                } else if host == 0 || other_host == 0 {
                    "overlapping"
                } else if host == other_host && ip.is_empty() != other_ip.is_empty() {
                    "dangerously ambiguous"
                } else {
                    continue;
                };
                warnings.push(format!("{at}: {what} port definition with {there}"));
            }
            seen.push((at, port.clone()));
        }
    });
}

/// A port as upstream prints it.
fn printed(port: &Value) -> String {
    let number = |field: &str| port.int(field).unwrap_or(0);
    format!(
        "{{Name:{} HostPort:{} ContainerPort:{} Protocol:{} HostIP:{}}}",
        port.text("name"),
        number("hostPort"),
        number("containerPort"),
        port.text("protocol"),
        port.text("hostIP")
    )
}

/// Bytes come whole.
fn fractions(list: Option<&Object>, path: &Path, warnings: &mut Vec<String>) {
    for name in ["memory", DISK] {
        fraction(list, name, path, warnings);
    }
}

/// Bytes come whole.
pub(super) fn fraction(list: Option<&Object>, name: &str, path: &Path, warnings: &mut Vec<String>) {
    if let Some(amount) = amount_of(list, name).filter(|amount| amount.as_milli() % 1000 != 0) {
        let (at, text) = (path.key(name), amount.to_string());
        warnings.push(format!("{at}: fractional byte value {text:?} is invalid, must be an integer"));
    }
}

fn affinity(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    let Some(affinity) = spec.field("affinity") else { return };
    for kind in ["podAffinity", "podAntiAffinity"] {
        for (list, inner) in [
            ("requiredDuringSchedulingIgnoredDuringExecution", ""),
            ("preferredDuringSchedulingIgnoredDuringExecution", "podAffinityTerm"),
        ] {
            let terms = affinity.field(kind).map_or(&[][..], |affinity| affinity.items(list));
            for (index, term) in terms.iter().enumerate() {
                let mut at = path.child(kind).child(list).index(index);
                let mut term = Some(term);
                if !inner.is_empty() {
                    at = at.child(inner);
                    term = term.and_then(|term| term.field(inner));
                }
                if term.is_some_and(|term| !term.has("labelSelector")) {
                    warnings.push(format!("{}: {NULL_SELECTOR}", at.child("labelSelector")));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::of_pod;
    use crate::kinds::told;

    #[rstest]
    #[case(json!({"imagePullSecrets": [{"name": ""}, {"name": ""}]}), &["spec.imagePullSecrets[1].name: duplicate name \"\"", "spec.imagePullSecrets[0].name: invalid empty name \"\"", "spec.imagePullSecrets[1].name: invalid empty name \"\""])]
    #[case(json!({"containers": [{"name": "a", "image": "i", "ports": [{"containerPort": 80, "hostIP": "1.2.3.4"}]}]}), &["spec.containers[0].ports[0]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:1.2.3.4}"])]
    #[case(json!({"containers": [{"name": "a", "image": "i", "ports": [{"containerPort": 80}]}, {"name": "b", "image": "i", "ports": [{"containerPort": 80, "hostPort": 8080}]}]}), &["spec.containers[1].ports[0]: overlapping port definition with spec.containers[0].ports[0]"])]
    #[case(json!({"containers": [{"name": "a", "image": "i", "env": [{"name": "X", "value": "1"}, {"name": "X", "value": "$(X)2"}]}]}), &[])]
    #[case(json!({"hostAliases": [{"ip": "1.2.3.4"}, {"ip": "1.2.3.4"}]}), &["spec.hostAliases[1].ip: duplicate ip \"1.2.3.4\""])]
    #[case(json!({"nodeSelector": {"beta.kubernetes.io/os": "linux"}}), &["spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead"])]
    fn warnings(#[case] changes: Value, #[case] told: &[&str]) {
        let mut pod = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
        for (field, value) in changes.as_object().unwrap() {
            pod["spec"][field] = value.clone();
        }
        assert_eq!(of_pod(&told::object("pods", pod)), told);
    }
}
