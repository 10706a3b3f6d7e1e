//! Probes and lifecycle handlers.

use wherry_schema::Value;

use crate::object::Fields;
use crate::validation::net::check_port_or_name;
use crate::validation::values::{non_negative, required, required_choice};
use crate::validation::{Errors, Path};

const HANDLERS: &[&str] = &["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

/// The rules of a container's probes.
pub(super) fn check_probes(container: &Value, grace: i64, path: &Path, errors: &mut Errors) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.field(name) else { continue };
        let path = path.child(name);
        check_handler(probe, grace, &path, errors);
        let numbers = [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ];
        non_negative(probe, &numbers, &path, errors);
        let seconds = probe.int("terminationGracePeriodSeconds");
        if let Some(seconds) = seconds.filter(|seconds| *seconds <= 0) {
            errors.invalid(&path.child("terminationGracePeriodSeconds"), seconds, "must be greater than 0");
        }
        if name == "readinessProbe" {
            if let Some(seconds) = seconds {
                let path = path.child("terminationGracePeriodSeconds");
                errors.invalid(&path, seconds, "must not be set for readinessProbes");
            }
        } else if let Some(number) = probe.int("successThreshold").filter(|number| *number != 1) {
            errors.invalid(&path.child("successThreshold"), number, "must be 1");
        }
    }
}

/// The rules of what a container does when it starts and ends.
pub(super) fn check_lifecycle(container: &Value, grace: i64, path: &Path, errors: &mut Errors) {
    let Some(lifecycle) = container.field("lifecycle") else { return };
    let path = path.child("lifecycle");
    for name in ["postStart", "preStop"] {
        if let Some(handler) = lifecycle.field(name) {
            check_handler(handler, grace, &path.child(name), errors);
        }
    }
}

fn check_handler(handler: &Value, grace: i64, path: &Path, errors: &mut Errors) {
    let mut given = HANDLERS.iter().filter(|name| handler.has(name));
    let Some(kind) = given.next() else {
        errors.required(path, "must specify a handler type");
        return;
    };
    if let Some(action) = handler.field(kind) {
        check_action(kind, action, grace, &path.child(kind), errors);
    }
    for extra in given {
        errors.forbidden(&path.child(extra), "may not specify more than 1 handler type");
    }
}

fn check_action(kind: &str, action: &Value, grace: i64, path: &Path, errors: &mut Errors) {
    match kind {
        "exec" if action.items("command").is_empty() => errors.required(&path.child("command"), ""),
        "httpGet" => check_http(action, path, errors),
        "tcpSocket" | "grpc" => check_port(action, path, errors),
        "sleep" => {
            let seconds = action.int("seconds").unwrap_or(0);
            if !(0..=grace).contains(&seconds) {
                let detail =
                    format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                errors.invalid(path, seconds, &detail);
            }
        }
        _ => {}
    }
}

fn check_port(action: &Value, path: &Path, errors: &mut Errors) {
    check_port_or_name(action.field("port").unwrap_or(&Value::Null), &path.child("port"), errors);
}

fn check_http(action: &Value, path: &Path, errors: &mut Errors) {
    required(action, "path", path, errors);
    check_port(action, path, errors);
    required_choice(action, "scheme", &["HTTP", "HTTPS"], path, errors);
    for header in action.items("httpHeaders") {
        let name = header.text("name");
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            errors.invalid(
                &path.child("httpHeaders"),
                name,
                "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex \
                 used for validation is '[-A-Za-z0-9]+')",
            );
        }
    }
}
