//! One container: what is the same for those of every kind.

use wherry_schema::Value;

use super::{environment, mounts, resources, security};
use crate::object::Fields;
use crate::validation::names;
use crate::validation::net::{PROTOCOLS, check_port, port_name_problems};
use crate::validation::values::{required, required_choice};
use crate::validation::{Errors, Path};

/// What is around a container.
pub(super) struct Scope<'a> {
    /// Volumes that can be mounted.
    pub(super) volumes: &'a [&'a Value],
    /// Names of the Pod's resource claims.
    pub(super) claims: Vec<&'a str>,
    /// Seconds a container has to end.
    pub(super) grace: i64,
    restart: &'a str,
    host_users: bool,
}

impl<'a> Scope<'a> {
    pub(super) fn new(spec: &'a Value, volumes: &'a [&'a Value]) -> Self {
        let names = spec.items("resourceClaims").iter().map(|claim| claim.text("name"));
        Self {
            volumes,
            claims: names.filter(|name| !name.is_empty()).collect(),
            grace: spec.int("terminationGracePeriodSeconds").unwrap_or(0),
            restart: spec.text("restartPolicy"),
            host_users: spec.field("hostUsers").and_then(Value::as_bool).unwrap_or(true),
        }
    }
}

/// The rules every container keeps.
pub(super) fn check(container: &Value, scope: &Scope<'_>, path: &Path, errors: &mut Errors) {
    let name = container.text("name");
    if name.is_empty() {
        errors.required(&path.child("name"), "");
    } else {
        errors.problems(&path.child("name"), name, names::label(name));
    }
    required(container, "image", path, errors);
    let policies = ["File", "FallbackToLogsOnError"];
    required_choice(container, "terminationMessagePolicy", &policies, path, errors);
    check_ports(container.items("ports"), &path.child("ports"), errors);
    environment::check(container, path, errors);
    mounts::check(container, scope.volumes, path, errors);
    required_choice(container, "imagePullPolicy", super::volume::PULL, path, errors);
    if let Some(wanted) = container.field("resources") {
        resources::check_container(wanted, &scope.claims, &path.child("resources"), errors);
    }
    resources::check_resize_policy(container, scope.restart, &path.child("resizePolicy"), errors);
    if let Some(context) = container.field("securityContext") {
        let path = path.child("securityContext");
        security::check_container(context, scope.host_users, &path, errors);
    }
    check_restart(container, path, errors);
}

/// Refuses space around an image, which only Pods themselves do.
pub(super) fn check_image(container: &Value, path: &Path, errors: &mut Errors) {
    let image = container.text("image");
    if image.trim() != image {
        errors.invalid(&path.child("image"), image, "must not have leading or trailing whitespace");
    }
}

fn check_ports(ports: &[Value], path: &Path, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let (path, name) = (path.index(index), port.text("name"));
        if !name.is_empty() {
            let problems = port_name_problems(name);
            for problem in &problems {
                errors.invalid(&path.child("name"), name, problem);
            }
            if problems.is_empty() {
                if seen.contains(&name) {
                    errors.duplicate(&path.child("name"), name);
                }
                seen.push(name);
            }
        }
        match port.int("containerPort").unwrap_or(0) {
            0 => errors.required(&path.child("containerPort"), ""),
            number => check_port(number, &path.child("containerPort"), errors),
        }
        if let Some(host) = port.int("hostPort").filter(|number| *number != 0) {
            check_port(host, &path.child("hostPort"), errors);
        }
        required_choice(port, "protocol", PROTOCOLS, &path, errors);
    }
}

/// The rules of a container's own restart policy.
fn check_restart(container: &Value, path: &Path, errors: &mut Errors) {
    let policies = ["Always", "Never", "OnFailure"];
    let policy = container.field("restartPolicy").and_then(Value::as_str);
    if let Some(policy) = policy.filter(|policy| !policies.contains(policy)) {
        errors.unsupported(&path.child("restartPolicy"), policy, &policies);
    }
    let rules = container.items("restartPolicyRules");
    if policy.is_none() && !rules.is_empty() {
        let detail = "must specify restartPolicy when restart rules are used";
        errors.required(&path.child("restartPolicy"), detail);
    }
    let path = path.child("restartPolicyRules");
    if rules.len() > 20 {
        errors.too_many(&path, rules.len(), 20);
    }
    for (index, rule) in rules.iter().enumerate() {
        check_restart_rule(rule, &path.index(index), errors);
    }
}

fn check_restart_rule(rule: &Value, path: &Path, errors: &mut Errors) {
    required_choice(rule, "action", &["Restart", "RestartAllContainers"], path, errors);
    let Some(codes) = rule.field("exitCodes") else {
        errors.required(&path.child("exitCodes"), "must be specified");
        return;
    };
    let path = path.child("exitCodes");
    required_choice(codes, "operator", &["In", "NotIn"], &path, errors);
    let values = codes.items("values");
    if values.is_empty() {
        errors.required(&path.child("values"), "at least one value is required");
    }
    if values.len() > 255 {
        errors.too_many(&path.child("values"), values.len(), 255);
    }
}
