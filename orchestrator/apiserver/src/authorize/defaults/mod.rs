//! The roles and bindings every cluster begins with, and how they are kept: reconciled at each start.
//!
//! The roles are the tables beside this file. What a user has added to one of them stays; what was taken away comes
//! back, unless the object's annotation `rbac.authorization.kubernetes.io/autoupdate` says `false`.

mod reconcile;

use serde_json::{Value, json};

use super::rule::PolicyRule;

pub use reconcile::reconciled;

const CLUSTER_ROLES: &str = include_str!("cluster-roles.txt");
const CONTROLLER_ROLES: &str = include_str!("controller-roles.txt");
const NAMESPACE_ROLES: &str = include_str!("namespace-roles.txt");

const API_VERSION: &str = "rbac.authorization.k8s.io/v1";
const GROUP: &str = "rbac.authorization.k8s.io";
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
const CONTROLLER: &str = "system:controller:";

/// The rule of those who tell what they did.
const EVENTS: &str = "create,patch,update core,events.k8s.io: events";

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const ALL: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Whom a binding is to: groups, users, or ServiceAccounts of `kube-system`.
enum To {
    Groups(&'static [&'static str]),
    Users(&'static [&'static str]),
    Account(&'static str),
    UserAndAccount(&'static str, &'static str),
}

const EVERYBODY: &[&str] = &["system:authenticated", "system:unauthenticated"];

/// ClusterRoles and whom they are bound to, each by a binding of its name.
static CLUSTER_BINDINGS: &[(&str, To)] = &[
    ("cluster-admin", To::Groups(&["system:masters"])),
    ("system:monitoring", To::Groups(&["system:monitoring"])),
    ("system:discovery", To::Groups(&["system:authenticated"])),
    ("system:basic-user", To::Groups(&["system:authenticated"])),
    ("system:public-info-viewer", To::Groups(EVERYBODY)),
    ("system:node-proxier", To::Users(&["system:kube-proxy"])),
    ("system:kube-controller-manager", To::Users(&["system:kube-controller-manager"])),
    ("system:kube-dns", To::Account("kube-dns")),
    ("system:kube-scheduler", To::Users(&["system:kube-scheduler"])),
    ("system:volume-scheduler", To::Users(&["system:kube-scheduler"])),
    ("system:node", To::Groups(&[])),
    ("system:service-account-issuer-discovery", To::Groups(&["system:serviceaccounts"])),
];

const READER: &str = "extension-apiserver-authentication-reader";
const MANAGER_LOCK: &str = "system::leader-locking-kube-controller-manager";
const SCHEDULER_LOCK: &str = "system::leader-locking-kube-scheduler";

/// Bindings in namespaces: namespace, name, Role, whom it is bound to.
static BINDINGS: &[(&str, &str, &str, To)] = &[
    (
        "kube-system",
        "system::extension-apiserver-authentication-reader",
        READER,
        To::Users(&["system:kube-controller-manager", "system:kube-scheduler"]),
    ),
    (
        "kube-system",
        MANAGER_LOCK,
        MANAGER_LOCK,
        To::UserAndAccount("system:kube-controller-manager", "kube-controller-manager"),
    ),
    (
        "kube-system",
        SCHEDULER_LOCK,
        SCHEDULER_LOCK,
        To::UserAndAccount("system:kube-scheduler", "kube-scheduler"),
    ),
    (
        "kube-system",
        "system:controller:bootstrap-signer",
        "system:controller:bootstrap-signer",
        To::Account("bootstrap-signer"),
    ),
    (
        "kube-system",
        "system:controller:cloud-provider",
        "system:controller:cloud-provider",
        To::Account("cloud-provider"),
    ),
    (
        "kube-system",
        "system:controller:token-cleaner",
        "system:controller:token-cleaner",
        To::Account("token-cleaner"),
    ),
    (
        "kube-public",
        "system:controller:bootstrap-signer",
        "system:controller:bootstrap-signer",
        To::Account("bootstrap-signer"),
    ),
];

/// The ClusterRoles.
pub fn cluster_roles() -> Vec<Value> {
    let mut roles = parse(CLUSTER_ROLES, |name| object("ClusterRole", name));
    roles.extend(parse(CONTROLLER_ROLES, |name| object("ClusterRole", &format!("{CONTROLLER}{name}"))));
    roles
}

/// What every node may do: the rules of the role `system:node`.
pub(super) fn node_rules() -> Vec<PolicyRule> {
    let roles = parse(CLUSTER_ROLES, |name| object("ClusterRole", name));
    let role = roles.iter().find(|role| role["metadata"]["name"] == "system:node");
    let rules = role.and_then(|role| role["rules"].as_array()).into_iter().flatten();
    rules.map(PolicyRule::from_json).collect()
}

/// The ClusterRoleBindings.
pub fn cluster_role_bindings() -> Vec<Value> {
    let bind = |name: &str, subjects: Vec<Value>| {
        bound(object("ClusterRoleBinding", name), "ClusterRole", name, subjects)
    };
    let mut bindings: Vec<Value> =
        CLUSTER_BINDINGS.iter().map(|(name, to)| bind(name, subjects(to))).collect();
    let controllers = CONTROLLER_ROLES.lines().filter_map(|line| line.strip_prefix("= "));
    bindings.extend(controllers.map(|name| bind(&format!("{CONTROLLER}{name}"), vec![account(name)])));
    bindings
}

/// The Roles of namespaces.
pub fn roles() -> Vec<Value> {
    parse(NAMESPACE_ROLES, |name| match name.split_once('/') {
        Some((namespace, name)) => inside(namespace, object("Role", name)),
        None => object("Role", name),
    })
}

/// The RoleBindings of namespaces.
pub fn role_bindings() -> Vec<Value> {
    let bind = |(namespace, name, role, to): &(&str, &str, &str, To)| {
        inside(namespace, bound(object("RoleBinding", name), "Role", role, subjects(to)))
    };
    BINDINGS.iter().map(bind).collect()
}

fn object(kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": API_VERSION, "kind": kind,
        "metadata": {
            "name": name,
            "annotations": {AUTO_UPDATE: "true"},
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        },
    })
}

fn inside(namespace: &str, mut object: Value) -> Value {
    object["metadata"]["namespace"] = namespace.into();
    object
}

fn bound(mut binding: Value, kind: &str, role: &str, subjects: Vec<Value>) -> Value {
    binding["roleRef"] = json!({"apiGroup": GROUP, "kind": kind, "name": role});
    if !subjects.is_empty() {
        binding["subjects"] = subjects.into();
    }
    binding
}

fn subjects(to: &To) -> Vec<Value> {
    let of = |kind: &str, names: &[&str]| {
        names.iter().map(|name| json!({"apiGroup": GROUP, "kind": kind, "name": name})).collect()
    };
    match to {
        To::Groups(names) => of("Group", names),
        To::Users(names) => of("User", names),
        To::Account(name) => vec![account(name)],
        To::UserAndAccount(user, name) => {
            let mut both: Vec<Value> = of("User", &[user]);
            both.push(account(name));
            both
        }
    }
}

fn account(name: &str) -> Value {
    json!({"kind": "ServiceAccount", "name": name, "namespace": "kube-system"})
}

/// The roles of a table.
fn parse(table: &str, begin: impl Fn(&str) -> Value) -> Vec<Value> {
    let mut roles: Vec<Value> = Vec::new();
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match (line.strip_prefix("= "), roles.last_mut()) {
            (Some(head), _) => roles.push(role(head, &begin)),
            (None, Some(role)) => {
                let line = if line == "events" { EVENTS } else { line };
                match role["rules"].as_array_mut() {
                    Some(rules) => rules.push(rule(line)),
                    None => role["rules"] = json!([rule(line)]),
                }
            }
            (None, None) => {}
        }
    }
    roles
}

/// A role without rules: `NAME [sum:LABEL] [in:LABEL]`.
fn role(head: &str, begin: &impl Fn(&str) -> Value) -> Value {
    let mut words = head.split(' ');
    let mut role = begin(words.next().unwrap_or_default());
    let label = |name: &str| format!("rbac.authorization.k8s.io/aggregate-to-{name}");
    for word in words {
        if let Some(name) = word.strip_prefix("in:") {
            role["metadata"]["labels"][label(name)] = "true".into();
        } else if let Some(name) = word.strip_prefix("sum:") {
            let selector = json!({"matchLabels": {label(name): "true"}});
            role["aggregationRule"] = json!({"clusterRoleSelectors": [selector]});
        }
    }
    role
}

fn rule(line: &str) -> Value {
    let (verbs, rest) = line.split_once(' ').unwrap_or((line, ""));
    let verbs: Vec<&str> = match verbs {
        "read" => READ.to_vec(),
        "write" => WRITE.to_vec(),
        "all" => ALL.to_vec(),
        list => list.split(',').collect(),
    };
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let Some((groups, resources)) = rest.split_once(": ") else {
        return json!({"verbs": verbs, "nonResourceURLs": words(rest)});
    };
    let (resources, names) = resources.split_once(" # ").unwrap_or((resources, ""));
    let groups: Vec<&str> = groups.split(',').map(|group| if group == "core" { "" } else { group }).collect();
    let mut rule = json!({"verbs": verbs, "apiGroups": groups, "resources": words(resources)});
    if !names.is_empty() {
        rule["resourceNames"] = words(names).into();
    }
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named<'a>(objects: &'a [Value], name: &str) -> &'a Value {
        objects.iter().find(|object| object["metadata"]["name"] == name).unwrap()
    }

    #[test]
    fn the_tables_say_what_kubernetes_does() {
        let roles = cluster_roles();
        let admin = named(&roles, "cluster-admin");
        assert_eq!(
            admin["rules"],
            json!([
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["*"], "nonResourceURLs": ["*"]},
            ])
        );
        let edit = named(&roles, "edit");
        let labels = &edit["metadata"]["labels"];
        assert_eq!(labels["rbac.authorization.k8s.io/aggregate-to-admin"], "true");
        let selectors = &edit["aggregationRule"]["clusterRoleSelectors"];
        assert_eq!(
            selectors,
            &json!([{"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}}])
        );
        assert_eq!(edit["rules"], Value::Null);
        let cleaner = named(&roles, "system:controller:legacy-service-account-token-cleaner");
        let names = &cleaner["rules"][0]["resourceNames"];
        assert_eq!(names, &json!(["kube-apiserver-legacy-service-account-token-tracking"]));
    }

    #[test]
    fn every_rule_has_sorted_verbs_and_something_to_do_them_with() {
        for role in cluster_roles().iter().chain(&roles()) {
            for rule in role["rules"].as_array().into_iter().flatten() {
                for list in ["verbs", "resources", "apiGroups", "nonResourceURLs", "resourceNames"] {
                    let items: Vec<&str> =
                        rule[list].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                    assert!(items.is_sorted(), "{} {rule}", role["metadata"]["name"]);
                }
                let some = |list: &str| rule[list].as_array().is_some_and(|items| !items.is_empty());
                assert!(some("verbs") && (some("resources") && some("apiGroups") || some("nonResourceURLs")));
            }
        }
    }

    #[test]
    fn every_binding_is_to_a_role_that_is_there() {
        let (cluster, namespaced) = (cluster_roles(), roles());
        for binding in cluster_role_bindings() {
            named(&cluster, binding["roleRef"]["name"].as_str().unwrap());
        }
        for binding in role_bindings() {
            named(&namespaced, binding["roleRef"]["name"].as_str().unwrap());
        }
    }
}
