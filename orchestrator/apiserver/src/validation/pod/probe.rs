//! Probes and lifecycle hooks.

use wherry_schema::Value;

use super::super::net::check_port_or_name;
use super::super::{Errors, Path};
use super::check_choice;
use crate::object::Fields;

const HANDLERS: &[&str] = &["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

/// The rules of the three probes.
pub(super) fn check_probes(container: &Value, path: &Path, errors: &mut Errors) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.field(name) else { continue };
        let path = path.child(name);
        check_handler(probe, &path, errors);
        let timings = [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ];
        for field in timings {
            if let Some(number) = probe.int(field).filter(|n| *n < 0) {
                errors.invalid(&path.child(field), number, "must be greater than or equal to 0");
            }
        }
        let grace = probe.int("terminationGracePeriodSeconds");
        if name == "readinessProbe" {
            if let Some(grace) = grace {
                let path = path.child("terminationGracePeriodSeconds");
                errors.invalid(&path, grace, "must not be set for readinessProbes");
            }
        } else {
            if let Some(threshold) = probe.int("successThreshold").filter(|t| *t != 1) {
                errors.invalid(&path.child("successThreshold"), threshold, "must be 1");
            }
            if let Some(grace) = grace.filter(|g| *g <= 0) {
                let path = path.child("terminationGracePeriodSeconds");
                errors.invalid(&path, grace, "must be greater than 0");
            }
        }
    }
}

/// The rules of the lifecycle hooks.
pub(super) fn check_lifecycle(container: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    for hook in ["postStart", "preStop"] {
        let Some(handler) = container.field("lifecycle").and_then(|l| l.field(hook)) else { continue };
        let path = path.child("lifecycle").child(hook);
        check_handler(handler, &path, errors);
        let grace = spec.int("terminationGracePeriodSeconds").unwrap_or(30);
        if let Some(seconds) = handler.int("sleep.seconds").filter(|s| !(0..=grace).contains(s)) {
            let detail =
                format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
            errors.invalid(&path.child("sleep"), seconds, &detail);
        }
    }
}

fn check_handler(handler: &Value, path: &Path, errors: &mut Errors) {
    let given: Vec<&&str> = HANDLERS.iter().filter(|h| handler.has(h)).collect();
    for extra in given.iter().skip(1) {
        errors.forbidden(&path.child(extra), "may not specify more than 1 handler type");
    }
    let Some(kind) = given.first() else {
        errors.required(path, "must specify a handler type");
        return;
    };
    let Some(action) = handler.field(kind) else { return };
    let path = path.child(kind);
    match **kind {
        "exec" if action.items("command").is_empty() => errors.required(&path.child("command"), ""),
        "httpGet" => check_http(action, &path, errors),
        "tcpSocket" | "grpc" => check_port_field(action, &path, errors),
        _ => {}
    }
}

fn check_port_field(action: &Value, path: &Path, errors: &mut Errors) {
    check_port_or_name(action.field("port").unwrap_or(&Value::Null), &path.child("port"), errors);
}

fn check_http(action: &Value, path: &Path, errors: &mut Errors) {
    if action.text("path").is_empty() {
        errors.required(&path.child("path"), "");
    }
    check_port_field(action, path, errors);
    check_choice(action, "scheme", &["HTTP", "HTTPS"], path, errors);
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
