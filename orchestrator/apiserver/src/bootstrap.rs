//! Objects the API itself begins with: priority levels and flow schemas, the range of cluster IPs, and an APIService
//! for each version of each group.
//!
//! The objects of flow control are those of upstream. Those called mandatory have one spec only, which validation
//! enforces; the others are suggestions that users may change.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wherry_api::kinds::{KINDS, Kind, OPTIONAL, SwitchedOn};
use wherry_api::ranges::Ranges;

pub use crate::authorize::defaults::{
    cluster_role_bindings, cluster_roles, reconciled, role_bindings, roles,
};

/// Who a flow schema is about.
enum Who {
    Groups(&'static [&'static str]),
    Users(&'static [&'static str]),
    /// Service accounts of `kube-system`.
    System(&'static [&'static str]),
}

/// What a flow schema is about.
enum What {
    /// Every request.
    Everything,
    /// Checks of the server's health.
    Probes,
    /// Resources: verbs, group, resources, and whether requests outside namespaces count.
    Resources(&'static [(&'static [&'static str], &'static str, &'static [&'static str], bool)]),
}

/// A flow schema: its name, level, precedence, how it tells flows apart, who, what.
type Schema = (&'static str, &'static str, i64, &'static str, &'static [Who], What);

const EVERYBODY: &[&str] = &["system:unauthenticated", "system:authenticated"];
const LEASES: What =
    What::Resources(&[(&["get", "create", "update"], "coordination.k8s.io", &["leases"], false)]);

static SCHEMAS: &[Schema] = &[
    ("exempt", "exempt", 1, "", &[Who::Groups(&["system:masters"])], What::Everything),
    ("catch-all", "catch-all", 10_000, "ByUser", &[Who::Groups(EVERYBODY)], What::Everything),
    ("system-nodes", "system", 500, "ByUser", &[Who::Groups(&["system:nodes"])], What::Everything),
    (
        "system-node-high",
        "node-high",
        400,
        "ByUser",
        &[Who::Groups(&["system:nodes"])],
        What::Resources(&[
            (&["*"], "", &["nodes", "nodes/status"], true),
            (&["*"], "coordination.k8s.io", &["leases"], false),
        ]),
    ),
    ("probes", "exempt", 2, "", &[Who::Groups(EVERYBODY)], What::Probes),
    (
        "system-leader-election",
        "leader-election",
        100,
        "ByUser",
        &[Who::Users(&["system:kube-controller-manager", "system:kube-scheduler"]), Who::System(&["*"])],
        LEASES,
    ),
    (
        "endpoint-controller",
        "workload-high",
        150,
        "ByUser",
        &[
            Who::Users(&["system:kube-controller-manager"]),
            Who::System(&["endpoint-controller", "endpointslicemirroring-controller"]),
        ],
        What::Resources(&[(&["get", "create", "update"], "", &["endpoints"], false)]),
    ),
    ("workload-leader-election", "leader-election", 200, "ByUser", &[Who::System(&["*"])], LEASES),
    (
        "kube-controller-manager",
        "workload-high",
        800,
        "ByNamespace",
        &[Who::Users(&["system:kube-controller-manager"])],
        What::Everything,
    ),
    (
        "kube-scheduler",
        "workload-high",
        800,
        "ByNamespace",
        &[Who::Users(&["system:kube-scheduler"])],
        What::Everything,
    ),
    (
        "kube-system-service-accounts",
        "workload-high",
        900,
        "ByNamespace",
        &[Who::System(&["*"])],
        What::Everything,
    ),
    (
        "service-accounts",
        "workload-low",
        9_000,
        "ByUser",
        &[Who::Groups(&["system:serviceaccounts"])],
        What::Everything,
    ),
    ("global-default", "global-default", 9_900, "ByUser", &[Who::Groups(EVERYBODY)], What::Everything),
];

/// Levels with queues: name, shares, how much of them may be lent, queues, queues dealt to a flow.
static LEVELS: &[(&str, i64, i64, i64, i64)] = &[
    ("system", 30, 33, 64, 6),
    ("node-high", 40, 25, 64, 6),
    ("leader-election", 10, 0, 16, 4),
    ("workload-high", 40, 50, 128, 6),
    ("workload-low", 100, 90, 128, 6),
    ("global-default", 20, 50, 128, 6),
];

/// Priorities of groups, as upstream orders them, and of versions within a group.
static GROUPS: &[(&str, i64, i64)] = &[
    ("", 18_000, 1),
    ("apps", 17_800, 15),
    ("events.k8s.io", 17_750, 15),
    ("authentication.k8s.io", 17_700, 15),
    ("authorization.k8s.io", 17_600, 15),
    ("autoscaling", 17_500, 15),
    ("batch", 17_400, 15),
    ("certificates.k8s.io", 17_300, 15),
    ("networking.k8s.io", 17_200, 15),
    ("policy", 17_100, 15),
    ("rbac.authorization.k8s.io", 17_000, 15),
    ("storage.k8s.io", 16_800, 15),
    ("apiextensions.k8s.io", 16_700, 15),
    ("admissionregistration.k8s.io", 16_700, 15),
    ("scheduling.k8s.io", 16_600, 15),
    ("coordination.k8s.io", 16_500, 15),
    ("node.k8s.io", 16_300, 15),
    ("discovery.k8s.io", 16_200, 15),
    ("flowcontrol.apiserver.k8s.io", 16_100, 21),
    ("resource.k8s.io", 15_900, 20),
];

/// The priority levels.
pub fn priority_levels() -> Vec<Value> {
    let mut levels = vec![exempt_level(), catch_all_level()];
    levels.extend(LEVELS.iter().map(|(name, shares, lendable, queues, hand)| {
        let queuing = json!({"queues": queues, "handSize": hand, "queueLengthLimit": 50});
        limited(name, (*shares, *lendable), &json!({"type": "Queue", "queuing": queuing}))
    }));
    levels
}

fn exempt_level() -> Value {
    level(
        "exempt",
        &json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}),
    )
}

fn catch_all_level() -> Value {
    limited("catch-all", (5, 0), &json!({"type": "Reject"}))
}

fn limited(name: &str, (shares, lendable): (i64, i64), response: &Value) -> Value {
    let limited =
        json!({"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response});
    level(name, &json!({"type": "Limited", "limited": limited}))
}

fn level(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
        "metadata": metadata(name), "spec": spec,
    })
}

/// Upstream keeps these objects up to date unless this annotation says otherwise.
fn metadata(name: &str) -> Value {
    json!({"name": name, "annotations": {"apf.kubernetes.io/autoupdate-spec": "true"}})
}

/// The flow schemas.
pub fn flow_schemas() -> Vec<Value> {
    SCHEMAS.iter().map(schema).collect()
}

fn schema((name, level, precedence, method, who, what): &Schema) -> Value {
    let subjects: Vec<Value> = who.iter().flat_map(subjects).collect();
    let mut rule = json!({"subjects": subjects});
    match what {
        What::Everything => {
            rule["resourceRules"] = json!([resource_rule(&["*"], "*", &["*"], true)]);
            rule["nonResourceRules"] = json!([{"verbs": ["*"], "nonResourceURLs": ["*"]}]);
        }
        What::Probes => {
            let urls = ["/healthz", "/readyz", "/livez"];
            rule["nonResourceRules"] = json!([{"verbs": ["get"], "nonResourceURLs": urls}]);
        }
        What::Resources(rules) => {
            rule["resourceRules"] = rules
                .iter()
                .map(|(verbs, group, names, all)| resource_rule(verbs, group, names, *all))
                .collect();
        }
    }
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rule],
    });
    if !method.is_empty() {
        spec["distinguisherMethod"] = json!({"type": method});
    }
    json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema",
        "metadata": metadata(name), "spec": spec,
    })
}

fn resource_rule(verbs: &[&str], group: &str, resources: &[&str], cluster_scope: bool) -> Value {
    let mut rule = json!({"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ["*"]});
    if cluster_scope {
        rule["clusterScope"] = true.into();
    }
    rule
}

fn subjects(who: &Who) -> Vec<Value> {
    let each = |names: &[&str], subject: fn(&str) -> Value| names.iter().map(|name| subject(name)).collect();
    match who {
        Who::Groups(names) => each(names, |name| json!({"kind": "Group", "group": {"name": name}})),
        Who::Users(names) => each(names, |name| json!({"kind": "User", "user": {"name": name}})),
        Who::System(names) => each(
            names,
            |name| json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": name}}),
        ),
    }
}

/// An APIService for each version of each group this server answers.
pub fn api_services() -> Vec<Value> {
    services_of(KINDS.iter())
}

/// The APIServices of versions that are switched on, and the names of those of versions that are not.
pub fn optional_services(switched_on: &SwitchedOn) -> (Vec<Value>, BTreeSet<String>) {
    let name = |kind: &Kind| format!("{}.{}", kind.version, kind.group);
    let served: BTreeSet<String> = switched_on.rows().map(name).collect();
    let unserved = OPTIONAL.iter().map(name).filter(|name| !served.contains(name)).collect();
    (services_of(switched_on.rows()), unserved)
}

fn services_of(kinds: impl Iterator<Item = &'static Kind>) -> Vec<Value> {
    let versions: BTreeSet<(&str, &str)> = kinds.map(|kind| (kind.group, kind.version)).collect();
    versions.into_iter().filter(|(group, _)| *group != "apiregistration.k8s.io").map(api_service).collect()
}

fn api_service((group, version): (&str, &str)) -> Value {
    let known = GROUPS.iter().find(|(name, ..)| *name == group);
    let (minimum, priority) = known.map_or((2_000, 15), |(_, minimum, priority)| (*minimum, *priority));
    // Of two versions the newer one is preferred.
    let priority = match version {
        "v2" => 30,
        version if version.contains("beta") => 9,
        _ => priority,
    };
    let mut spec = json!({"version": version, "groupPriorityMinimum": minimum, "versionPriority": priority});
    if !group.is_empty() {
        spec["group"] = group.into();
    }
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {
            "name": format!("{version}.{group}"),
            "labels": {"kube-aggregator.kubernetes.io/automanaged": "onstart"},
        },
        "spec": spec,
    })
}

/// The ranges that cluster IPs are taken from.
pub fn service_cidr(cidrs: Ranges) -> Value {
    let cidrs: Vec<String> = cidrs.iter().map(|cidr| cidr.to_string()).collect();
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"}, "spec": {"cidrs": cidrs},
    })
}

/// The one spec that a mandatory flow schema may have.
pub(crate) fn mandatory_schema(name: &str) -> Option<wherry_schema::Value> {
    SCHEMAS[..2].iter().find(|(known, ..)| *known == name).map(|found| schema(found).into())
}

/// The one spec that a mandatory priority level may have.
pub(crate) fn mandatory_level(name: &str) -> Option<wherry_schema::Value> {
    match name {
        "exempt" => Some(exempt_level().into()),
        "catch-all" => Some(catch_all_level().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_names_a_level() {
        let levels = priority_levels();
        let names: Vec<_> = levels.iter().map(|level| &level["metadata"]["name"]).collect();
        for schema in flow_schemas() {
            assert!(names.contains(&&schema["spec"]["priorityLevelConfiguration"]["name"]), "{schema}");
        }
    }

    #[test]
    fn every_group_has_its_place() {
        let optional = optional_services(&SwitchedOn::all()).0;
        for service in api_services().into_iter().chain(optional) {
            let group = service["spec"]["group"].as_str().unwrap_or_default();
            assert!(GROUPS.iter().any(|(name, ..)| *name == group), "{group}");
        }
    }
}
