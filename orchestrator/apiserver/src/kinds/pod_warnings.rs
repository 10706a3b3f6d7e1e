//! What is allowed in Pods and probably not meant.

use wherry_schema::{Object, Value};

use crate::object::{self, Fields};
use crate::validation::values::amounts;
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
];
const NULL_SELECTOR: &str = "a null labelSelector results in matching no pod";

/// The warnings of a Pod.
pub(super) fn of_pod(pod: &Value) -> Vec<String> {
    let mut warnings = named(pod, "metadata.name: this is used in the Pod's hostname");
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
    let annotations = metadata.and_then(|metadata| metadata.map("annotations"));
    if annotations.is_some_and(|a| a.contains("scheduler.alpha.kubernetes.io/critical-pod")) {
        let at = around.child("metadata.annotations").key("scheduler.alpha.kubernetes.io/critical-pod");
        warnings.push(format!("{at}: non-functional in v1.16+; use the \"priorityClassName\" field instead"));
    }
    for (index, constraint) in spec.items("topologySpreadConstraints").iter().enumerate() {
        if !constraint.has("labelSelector") {
            let at = path.child("topologySpreadConstraints").index(index).child("labelSelector");
            warnings.push(format!("{at}: {NULL_SELECTOR}"));
        }
    }
    volumes(spec, &path, warnings);
    pull_secrets(spec, &path, warnings);
    for list in ["initContainers", "containers"] {
        for (index, item) in spec.items(list).iter().enumerate() {
            container(item, &path.child(list).index(index), warnings);
        }
    }
    fractions(spec.map("overhead"), &path.child("overhead"), warnings);
    if spec.int("terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        let at = path.child("terminationGracePeriodSeconds");
        warnings.push(format!("{at}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    affinity(spec, &path.child("affinity"), warnings);
}

fn node_labels(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    for key in spec.map("nodeSelector").into_iter().flat_map(Object::keys) {
        if let Some((_, why)) = LABELS.iter().find(|(label, _)| *label == key.as_str()) {
            warnings.push(format!("{}: {why}", path.child("nodeSelector").key(key)));
        }
    }
}

fn volumes(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    for (index, volume) in spec.items("volumes").iter().enumerate() {
        let path = path.child("volumes").index(index);
        for (kind, why) in VOLUMES.iter().filter(|(kind, _)| volume.has(kind)) {
            warnings.push(format!("{}: {why}", path.child(kind)));
        }
        let empty = |source: &Value| source.as_object().is_none_or(Object::is_empty);
        if volume.has("projected") && volume.items("projected.sources").iter().all(empty) {
            let name = volume.text("name");
            warnings.push(format!("volume {name:?} (Projected) has no sources provided"));
        }
    }
}

fn pull_secrets(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    let secrets = spec.items("imagePullSecrets");
    for (index, secret) in secrets.iter().enumerate() {
        let (at, name) = (path.child("imagePullSecrets").index(index), secret.text("name"));
        if name.is_empty() {
            warnings.push(format!("{at}: invalid empty name \"\""));
        } else if secrets[..index].iter().any(|other| other.text("name") == name) {
            warnings.push(format!("{at}: duplicate name {name:?}"));
        }
    }
}

fn container(container: &Value, path: &Path, warnings: &mut Vec<String>) {
    let variables = container.items("env");
    for (index, variable) in variables.iter().enumerate() {
        let name = variable.text("name");
        if variables[..index].iter().any(|other| other.text("name") == name) {
            let at = path.child("env").index(index);
            warnings.push(format!(
                "{at}: hides previous definition of {name:?}, which may be dropped when using apply"
            ));
        }
    }
    let ports = container.items("ports");
    for (index, port) in ports.iter().enumerate() {
        let same = |other: &&Value| {
            ["containerPort", "protocol", "hostPort", "hostIP"]
                .iter()
                .all(|f| other.field(f) == port.field(f))
        };
        if let Some(first) = ports[..index].iter().position(|other| same(&other)) {
            let at = path.child("ports");
            let (here, there) = (at.index(index), at.index(first));
            warnings.push(format!("{here}: duplicate port definition with {there}"));
        }
    }
    for list in ["limits", "requests"] {
        let amounts = container.field("resources").and_then(|resources| resources.map(list));
        fractions(amounts, &path.child("resources").child(list), warnings);
    }
}

/// Bytes come whole.
fn fractions(list: Option<&Object>, path: &Path, warnings: &mut Vec<String>) {
    for (name, amount) in amounts(list) {
        if matches!(name, "memory" | "ephemeral-storage") && amount.as_milli() % 1000 != 0 {
            let text = amount.to_string();
            let at = path.key(name);
            warnings.push(format!("{at}: fractional byte value {text:?} is invalid, must be an integer"));
        }
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
