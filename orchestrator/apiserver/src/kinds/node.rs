//! Node: a machine. It registers itself, status included.

use jiff::Timestamp;
use wherry_api::quantity::Quantity;
use wherry_schema::Value;

use super::{Rules, Selectable};
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::net::check_cidr;
use crate::validation::pod::check_amount;
use crate::validation::values::required_choice;
use crate::validation::written::of_range;
use crate::validation::{Errors, Path, Shown, internal, meta, names};

/// The rules of Nodes.
pub(crate) struct Node;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new("Status", "string", "The status of the node"),
    Column::new("Roles", "string", "The roles of the node"),
    table::AGE,
    Column::of("Version", "string", "core.v1.NodeSystemInfo.kubeletVersion"),
    Column::of("Internal-IP", "string", "core.v1.NodeStatus.addresses").in_wide(),
    Column::of("External-IP", "string", "core.v1.NodeStatus.addresses").in_wide(),
    Column::of("OS-Image", "string", "core.v1.NodeSystemInfo.osImage").in_wide(),
    Column::of("Kernel-Version", "string", "core.v1.NodeSystemInfo.kernelVersion").in_wide(),
    Column::of("Container-Runtime", "string", "core.v1.NodeSystemInfo.containerRuntimeVersion").in_wide(),
];

static FIELDS: &[Selectable] = &[Selectable { name: "spec.unschedulable", attribute: "=spec.unschedulable" }];

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

impl Rules for Node {
    fn fields(&self) -> &'static [Selectable] {
        FIELDS
    }

    fn prepare_create(&self, object: &mut Value) {
        settle_cidrs(object);
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value) {
        settle_cidrs(object);
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        check_taints(object.items("spec.taints"), errors);
        check_amounts(object, errors);
        check_cidrs(object.items("spec.podCIDRs"), errors);
    }

    fn check_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        self.validate(object, errors);
        meta::check_update(object, old, errors);
        check_amounts(object, errors);
        self.validate_update(object, old, errors);
        check_taints(object.items("spec.taints"), errors);
        if !object::same(object, old, "spec.externalID") {
            errors.forbidden(&Path::new("spec.externalID"), "may not be updated");
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let addresses = object.items("status.addresses");
        for (index, address) in addresses.iter().enumerate() {
            if addresses[..index].contains(address) {
                let shown = internal::show("NodeAddress", Some(address));
                errors.duplicate(&Path::new("status.addresses").index(index), shown);
            }
        }
        let (cidrs, before) = (object.items("spec.podCIDRs"), old.items("spec.podCIDRs"));
        let changes = match before.len() {
            0 => 0,
            count if count != cidrs.len() => 1,
            _ => before.iter().zip(cidrs).filter(|(before, now)| before != now).count(),
        };
        for _ in 0..changes {
            let detail = "node updates may not change podCIDR except from \"\" to valid";
            errors.forbidden(&Path::new("spec.podCIDRs"), detail);
        }
        let provider = old.text("spec.providerID");
        if !provider.is_empty() && provider != object.text("spec.providerID") {
            let detail = "node updates may not change providerID except from \"\" to valid";
            errors.forbidden(&Path::new("spec.providerID"), detail);
        }
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut warnings = Vec::new();
        if object.has("spec.configSource") {
            warnings.push("spec.configSource: the feature is removed".to_owned());
        }
        if !object.text("spec.externalID").is_empty() {
            let why = "this field is deprecated, and is unused by Kubernetes";
            warnings.push(format!("spec.externalID: {why}"));
        }
        for (index, cidr) in object.items("spec.podCIDRs").iter().filter_map(Value::as_str).enumerate() {
            warnings.extend(of_range(&Path::new("spec.podCIDRs").index(index), cidr));
        }
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let info = |field: &str| table::text_or(object, &format!("status.nodeInfo.{field}"), "<unknown>");
        vec![
            table::name(object),
            status(object).into(),
            roles(object).into(),
            table::age(object, now),
            object.text("status.nodeInfo.kubeletVersion").into(),
            address(object, "InternalIP").into(),
            address(object, "ExternalIP").into(),
            info("osImage"),
            info("kernelVersion"),
            info("containerRuntimeVersion"),
        ]
    }
}

/// Makes `podCIDR` and `podCIDRs` say the same.
fn settle_cidrs(object: &mut Value) {
    let first = object.text("spec.podCIDR").to_owned();
    if !first.is_empty() && object.items("spec.podCIDRs").is_empty() {
        object.put("spec.podCIDRs", vec![first]);
    } else if first.is_empty()
        && let Some(first) = object.items("spec.podCIDRs").first().cloned()
    {
        object.put("spec.podCIDR", first);
    }
}

/// The rules of what the machine has and gives.
fn check_amounts(object: &Value, errors: &mut Errors) {
    for list in ["capacity", "allocatable"] {
        let path = Path::new("status").child(list);
        for (name, amount) in
            object.map("status").and_then(|s| s.get(list)?.as_object()).iter().flat_map(|m| m.iter())
        {
            let text = amount.as_str().unwrap_or_default();
            if let Ok(amount) = text.parse::<Quantity>() {
                check_amount(name, amount, &path.child(name), errors);
            }
        }
    }
}

fn check_taints(taints: &[Value], errors: &mut Errors) {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (index, taint) in taints.iter().enumerate() {
        let path = Path::new("metadata.taints").index(index);
        let (key, value, effect) = (taint.text("key"), taint.text("value"), taint.text("effect"));
        errors.problems(&path.child("key"), key, names::qualified(key));
        let problems = names::label_value(value);
        if !problems.is_empty() {
            errors.invalid(&path.child("value"), value, &problems.join(";"));
        }
        required_choice(taint, "effect", EFFECTS, &path, errors);
        if seen.contains(&(key, effect)) {
            let shown = internal::show("Taint", Some(taint));
            errors.duplicate(
                &path,
                Shown::raw(format!("{shown}: taints must be unique by key and effect pair")),
            );
        }
        seen.push((key, effect));
    }
}

fn check_cidrs(cidrs: &[Value], errors: &mut Errors) {
    let path = Path::new("spec.podCIDRs");
    let mut families = [0, 0];
    for (index, cidr) in cidrs.iter().enumerate() {
        let text = cidr.as_str().unwrap_or_default();
        check_cidr(text, &path.index(index), errors);
        families[usize::from(text.contains(':'))] += 1;
    }
    if families.iter().any(|count| *count > 1) {
        let shown = Shown::from(&Value::Array(cidrs.to_vec()));
        errors.invalid(&path, shown, "may specify no more than one CIDR for each IP family");
    }
    for (index, cidr) in cidrs.iter().enumerate().filter(|(index, cidr)| cidrs[..*index].contains(cidr)) {
        errors.duplicate(&path.index(index), cidr);
    }
}

fn status(object: &Value) -> String {
    let ready = object.items("status.conditions").iter().find(|c| c.text("type") == "Ready");
    let mut text = match ready.map(|c| c.text("status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if object.flag("spec.unschedulable") {
        text.push_str(",SchedulingDisabled");
    }
    text
}

fn roles(object: &Value) -> String {
    let labels = object.map("metadata.labels").into_iter().flat_map(wherry_schema::Object::iter);
    let mut roles: Vec<&str> = labels
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None => (key.as_str() == "kubernetes.io/role").then(|| value.as_str().unwrap_or_default()),
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }
}

fn address(object: &Value, kind: &str) -> String {
    let found = object.items("status.addresses").iter().find(|a| a.text("type") == kind);
    found.map_or("<none>", |a| a.text("address")).to_owned()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use crate::kinds::told;

    #[rstest]
    #[case(json!({"spec": {"taints": [{"key": "a"}]}}), "metadata.taints[0].effect: Required value")]
    #[case(json!({"status": {"capacity": {"pods": "1500m"}}}), "[status.capacity.pods: Invalid value: \"1500m\": must be an integer, status.allocatable.pods: Invalid value: \"1500m\": must be an integer]")]
    #[case(json!({"spec": {"podCIDRs": ["10.0.0.0/8", "10.0.0.0/8"]}}), "[spec.podCIDRs: Invalid value: [\"10.0.0.0/8\",\"10.0.0.0/8\"]: may specify no more than one CIDR for each IP family, spec.podCIDRs[1]: Duplicate value: \"10.0.0.0/8\"]")]
    fn new_nodes(#[case] node: Value, #[case] told: &str) {
        assert_eq!(told::of_new("nodes", node), told);
    }

    #[rstest]
    #[case(json!({}), json!({"spec": {"podCIDR": "10.0.0.0/8"}}), "")]
    #[case(json!({"spec": {"podCIDR": "10.0.0.0/8"}}), json!({"spec": {"podCIDR": "11.0.0.0/8"}}), "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid")]
    #[case(json!({"spec": {"providerID": "a"}}), json!({"spec": {"providerID": "b"}}), "spec.providerID: Forbidden: node updates may not change providerID except from \"\" to valid")]
    fn changes_of_nodes(#[case] old: Value, #[case] new: Value, #[case] told: &str) {
        assert_eq!(told::of_change("nodes", old, new), told);
    }
}
