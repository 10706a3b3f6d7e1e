//! Rules of Ingresses and their classes.

use std::net::IpAddr;

use wherry_api::names;
use wherry_schema::Value;

use super::canonical;
use super::net::{check_port, port_name_problems};
use super::{Errors, Path};
use crate::object::Fields;

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const MAX_CONTROLLER: usize = 250;
const PATH_TYPES: &[&str] = &["Exact", "ImplementationSpecific", "Prefix"];
const WILDCARD: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must \
    consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. \
    '*.example.com', regex used for validation is \
    '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// The rules every Ingress keeps.
pub(crate) fn check(object: &Value, errors: &mut Errors) {
    let spec = Path::new("spec");
    let rules = object.items("spec.rules");
    if rules.is_empty() && !object.has("spec.defaultBackend") {
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.invalid(&spec, &Value::Null, detail);
    }
    if let Some(backend) = object.field("spec.defaultBackend") {
        check_backend(backend, &spec.child("defaultBackend"), errors);
    }
    for (index, rule) in rules.iter().enumerate() {
        check_rule(rule, &spec.child("rules").index(index), errors);
    }
    for (index, tls) in object.items("spec.tls").iter().enumerate() {
        check_tls(tls, &spec.child("tls").index(index), errors);
    }
    if let Some(class) = object.field("spec.ingressClassName").and_then(Value::as_str) {
        errors.subdomain(class, &spec.child("ingressClassName"));
    }
}

/// A new Ingress names its class in one way.
pub(crate) fn check_class_annotation(object: &Value, errors: &mut Errors) {
    let annotation = object.map("metadata.annotations").and_then(|a| a.get(CLASS_ANNOTATION)?.as_str());
    let class = object.field("spec.ingressClassName").and_then(Value::as_str);
    if let (Some(annotation), Some(class)) = (annotation, class)
        && annotation != class
    {
        let path = Path::new("annotations").child(CLASS_ANNOTATION);
        errors.invalid(&path, annotation, "must match `ingressClassName` when both are specified");
    }
}

/// The annotation that names the class of an Ingress has a field of its own now.
pub(crate) fn class_warnings(object: &Value) -> Vec<String> {
    let annotated = object.map("metadata.annotations").is_some_and(|a| a.get(CLASS_ANNOTATION).is_some());
    if annotated && !object.has("spec.ingressClassName") {
        vec![format!(
            "annotation {CLASS_ANNOTATION:?} is deprecated, please use 'spec.ingressClassName' instead"
        )]
    } else {
        Vec::new()
    }
}

/// The rules of the status.
pub(crate) fn check_status(object: &Value, errors: &mut Errors) {
    let path = Path::new("status.loadBalancer.ingress");
    for (index, ingress) in object.items("status.loadBalancer.ingress").iter().enumerate() {
        let path = path.index(index);
        let (ip, hostname) = (ingress.text("ip"), ingress.text("hostname"));
        if !ip.is_empty() {
            errors.check(canonical::ip(ip), ip, &path.child("ip"));
        }
        if !hostname.is_empty() {
            errors.subdomain(hostname, &path.child("hostname"));
            no_address(hostname, &path.child("hostname"), errors);
        }
    }
}

fn no_address(host: &str, path: &Path, errors: &mut Errors) {
    if host.parse::<IpAddr>().is_ok() {
        errors.invalid(path, host, "must be a DNS name, not an IP address");
    }
}

/// A host is a DNS name, whose first label may be a wildcard.
fn check_host(host: &str, path: &Path, errors: &mut Errors) {
    if !host.contains('*') {
        errors.subdomain(host, path);
        return;
    }
    let rest = host.strip_prefix("*.").unwrap_or("*");
    if names::dns1123_subdomain(rest).is_err() {
        errors.invalid(path, host, WILDCARD);
    }
}

fn check_tls(tls: &Value, path: &Path, errors: &mut Errors) {
    for (index, host) in tls.items("hosts").iter().enumerate() {
        check_host(host.as_str().unwrap_or_default(), &path.child("hosts").index(index), errors);
    }
    let secret = tls.text("secretName");
    if !secret.is_empty() {
        errors.subdomain(secret, &path.child("secretName"));
    }
}

fn check_rule(rule: &Value, path: &Path, errors: &mut Errors) {
    let host = rule.text("host");
    if !host.is_empty() {
        no_address(host, &path.child("host"), errors);
        check_host(host, &path.child("host"), errors);
    }
    let Some(http) = rule.field("http") else { return };
    let paths = path.child("http").child("paths");
    if http.items("paths").is_empty() {
        errors.required(&paths, "");
    }
    for (index, item) in http.items("paths").iter().enumerate() {
        check_path(item, &paths.index(index), errors);
    }
}

fn check_path(item: &Value, at: &Path, errors: &mut Errors) {
    let (text, path) = (item.text("path"), at.child("path"));
    let absolute = text.starts_with('/');
    match item.field("pathType").and_then(Value::as_str) {
        None => {
            errors.required(&at.child("pathType"), "pathType must be specified");
            return;
        }
        Some("Exact" | "Prefix") => {
            if !absolute {
                errors.invalid(&path, text, "must be an absolute path");
            }
            check_normal(text, &path, errors);
        }
        Some("ImplementationSpecific") => {
            if !text.is_empty() && !absolute {
                errors.invalid(&path, text, "must be an absolute path");
            }
        }
        Some(other) => errors.unsupported(&at.child("pathType"), other, PATH_TYPES),
    }
    let nothing = Value::object();
    check_backend(item.field("backend").unwrap_or(&nothing), &at.child("backend"), errors);
}

/// Paths that are compared are written in one way.
fn check_normal(text: &str, path: &Path, errors: &mut Errors) {
    for sequence in ["//", "/./", "/../", "%2f", "%2F"] {
        if text.contains(sequence) {
            errors.invalid(path, text, &format!("must not contain '{sequence}'"));
        }
    }
    for suffix in ["/..", "/."] {
        if text.ends_with(suffix) {
            errors.invalid(path, text, &format!("cannot end with '{suffix}'"));
        }
    }
}

fn check_backend(backend: &Value, path: &Path, errors: &mut Errors) {
    match (backend.field("resource"), backend.field("service")) {
        (Some(_), Some(_)) => errors.invalid(path, "", "cannot set both resource and service backends"),
        (None, None) => errors.invalid(path, "", "resource or service backend is required"),
        (Some(resource), None) => check_reference(resource, &path.child("resource"), errors),
        (None, Some(service)) => check_service(service, path, errors),
    }
}

fn check_service(service: &Value, backend: &Path, errors: &mut Errors) {
    let (name, path) = (service.text("name"), backend.child("service"));
    if name.is_empty() {
        errors.required(&path.child("name"), "");
    } else {
        errors.label(name, &path.child("name"));
    }
    let (port_name, number) = (service.text("port.name"), service.int("port.number").unwrap_or(0));
    match (port_name.is_empty(), number) {
        (true, 0) => errors.required(backend, "port name or number is required"),
        (true, number) => check_port(number, &path.child("port").child("number"), errors),
        (false, 0) => {
            for problem in port_name_problems(port_name) {
                errors.invalid(&path.child("port").child("name"), port_name, problem);
            }
        }
        (false, _) => errors.invalid(backend, "", "cannot set both port name & port number"),
    }
}

/// A reference to an object by group, kind and name.
fn check_reference(reference: &Value, path: &Path, errors: &mut Errors) {
    if let Some(group) = reference.field("apiGroup").and_then(Value::as_str) {
        errors.subdomain(group, &path.child("apiGroup"));
    }
    errors.path_segment(reference.text("kind"), &path.child("kind"));
    errors.path_segment(reference.text("name"), &path.child("name"));
}

/// The rules of IngressClasses.
pub(crate) fn check_class(object: &Value, errors: &mut Errors) {
    let (controller, path) = (object.text("spec.controller"), Path::new("spec.controller"));
    if controller.is_empty() {
        errors.required(&path, "");
    } else {
        if controller.len() > MAX_CONTROLLER {
            errors.too_long(&path, MAX_CONTROLLER);
        }
        check_domain_path(controller, &path, errors);
    }
    if let Some(parameters) = object.field("spec.parameters") {
        check_parameters(parameters, &Path::new("spec.parameters"), errors);
    }
}

/// A domain and a path: `example.com/controller`.
pub(crate) fn check_domain_path(text: &str, path: &Path, errors: &mut Errors) {
    let parts = text.split_once('/').filter(|(host, rest)| !host.is_empty() && !rest.is_empty());
    let Some((host, rest)) = parts else {
        errors.invalid(path, text, "must be a domain-prefixed path (such as \"acme.io/foo\")");
        return;
    };
    errors.check(names::dns1123_subdomain(host), host, path);
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(c);
    if !rest.chars().all(allowed) {
        let detail = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
        errors.invalid(path, rest, detail);
    }
}

fn check_parameters(parameters: &Value, path: &Path, errors: &mut Errors) {
    check_reference(parameters, path, errors);
    let namespace = parameters.field("namespace").and_then(Value::as_str);
    let at = path.child("namespace");
    match (parameters.field("scope").and_then(Value::as_str), namespace) {
        (None, _) => errors.required(&path.child("scope"), ""),
        (Some("Namespace"), None) => errors.required(&at, "`parameters.scope` is set to 'Namespace'"),
        (Some("Namespace"), Some(namespace)) => errors.label(namespace, &at),
        (Some("Cluster"), Some(_)) => errors.forbidden(&at, "`parameters.scope` is set to 'Cluster'"),
        (Some("Cluster"), None) => {}
        (Some(other), _) => errors.unsupported(&path.child("scope"), other, &["Cluster", "Namespace"]),
    }
}
