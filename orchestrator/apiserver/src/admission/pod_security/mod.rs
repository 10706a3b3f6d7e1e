//! Pod security: namespaces say by labels what their Pods may do.
//!
//! Pods that do more are refused; of what makes such Pods the client is warned. When the labels of a namespace become
//! stricter, the client is warned of the Pods that are there already; those go on.

mod checks;
mod policy;
mod told;

use wherry_schema::Value;

use self::checks::{Finding, evaluate};
use self::policy::{NOTHING, PREFIX, Policy, Standard};
pub(super) use self::told::{keep, tell};
use super::kind;
use crate::codec;
use crate::error::Failure;
use crate::notes::Notes;
use crate::object::{self, Fields};
use crate::validation::Errors;
use crate::verbs::Cx;

/// Where kinds that make Pods have the Pod's spec.
const TEMPLATES: &[(&str, &str)] = &[
    ("PodTemplate", "template.spec"),
    ("ReplicationController", "spec.template.spec"),
    ("ReplicaSet", "spec.template.spec"),
    ("Deployment", "spec.template.spec"),
    ("DaemonSet", "spec.template.spec"),
    ("StatefulSet", "spec.template.spec"),
    ("Job", "spec.template.spec"),
    ("CronJob", "spec.jobTemplate.spec.template.spec"),
];
/// Under which keys the audit log is told what a Pod was held to, and what it does more than the namespace likes.
const ENFORCED: &str = "pod-security.kubernetes.io/enforce-policy";
const VIOLATIONS: &str = "pod-security.kubernetes.io/audit-violations";
/// The most Pods of a namespace that are looked at.
const MOST_PODS: usize = 3000;

fn policy(cx: &Cx<'_>) -> Result<Option<Policy>, Failure> {
    let key = codec::key(kind("", "Namespace"), "", cx.namespace);
    // The labels are known without decoding; most namespaces have none of these.
    let entry = cx.state.store.get(&key);
    let labelled = entry.is_some_and(|entry| {
        let has = |mode: &&str| entry.attributes.get(&format!("{PREFIX}{mode}")).is_some();
        ["enforce", "audit", "warn"].iter().any(has)
    });
    if !labelled {
        return Ok(None);
    }
    let namespace = cx.state.find(&key)?;
    Ok(namespace.map(|namespace| Policy::read(&namespace, &mut Errors::default())))
}

fn details(findings: &[Finding]) -> String {
    let texts: Vec<String> = findings.iter().map(|f| format!("{} ({})", f.reason, f.detail)).collect();
    texts.join(", ")
}

/// Where the audit log is told something, if it records the request.
fn heard<'a>(cx: &Cx<'a>) -> Option<&'a Notes> {
    cx.notes.filter(|notes| notes.heard().is_some())
}

/// Refuses a Pod that does more than its namespace allows.
pub(super) fn enforce(cx: &Cx<'_>, pod: &Value) -> Result<(), Failure> {
    let policy = policy(cx)?;
    let enforced = policy.as_ref().map_or(NOTHING, |policy| policy.enforce);
    if let Some(notes) = heard(cx) {
        notes.annotate(ENFORCED.to_owned(), enforced.to_string());
    }
    let Some(policy) = policy else { return Ok(()) };
    let findings = evaluate(policy.enforce, pod.field("spec").unwrap_or(&Value::Null));
    if findings.is_empty() {
        return Ok(());
    }
    let standard = policy.enforce.to_string();
    let why = format!("violates PodSecurity {standard:?}: {}", details(&findings));
    Err(Failure::forbidden(cx.kind, object::called(pod), &why))
}

/// What a client should know about a Pod, about what makes Pods, or about the change of a namespace.
pub(super) fn warnings(cx: &Cx<'_>, object: &Value) -> Vec<String> {
    let template = match (cx.kind.group, cx.kind.kind) {
        ("", "Namespace") => return namespace_warnings(cx, object),
        ("", "Pod") => Some("spec"),
        ("" | "apps" | "batch", kind) => TEMPLATES.iter().find(|(k, _)| *k == kind).map(|(_, path)| *path),
        _ => None,
    };
    let Some(spec) = template.and_then(|path| object.field(path)) else { return Vec::new() };
    let Ok(Some(policy)) = policy(cx) else { return Vec::new() };
    if let Some(notes) = heard(cx)
        && let Some(text) = violations(policy.audit, spec)
    {
        notes.annotate(VIOLATIONS.to_owned(), text);
    }
    violations(policy.warn, spec).into_iter().collect()
}

/// What a Pod does more than a standard allows, if anything.
fn violations(standard: Standard, spec: &Value) -> Option<String> {
    let findings = evaluate(standard, spec);
    let text = || format!("would violate PodSecurity {:?}: {}", standard.to_string(), details(&findings));
    (!findings.is_empty()).then(text)
}

/// Refuses labels of a namespace that say nothing.
pub(super) fn check_namespace(namespace: &Value, old: Option<&Value>) -> Errors {
    let (mut errors, mut before) = (Errors::default(), Errors::default());
    Policy::read(namespace, &mut errors);
    if let Some(old) = old {
        Policy::read(old, &mut before);
    }
    // What was wrong already does not keep the namespace from other changes.
    if errors == before { Errors::default() } else { errors }
}

fn namespace_warnings(cx: &Cx<'_>, namespace: &Value) -> Vec<String> {
    let mut errors = Errors::default();
    let new = Policy::read(namespace, &mut errors).enforce;
    let name = object::name(namespace);
    let Ok(Some(old)) = cx.state.find(&codec::key(kind("", "Namespace"), "", name)) else {
        return Vec::new();
    };
    let old = Policy::read(&old, &mut Errors::default()).enforce;
    let laxer = new.level < old.level || (new.level == old.level && new.minor == old.minor);
    if laxer || !errors.is_empty() {
        return Vec::new();
    }
    existing(cx, name, new)
}

/// The Pods of a namespace that do more than it is going to allow, those that do the same together.
fn existing(cx: &Cx<'_>, namespace: &str, standard: Standard) -> Vec<String> {
    let prefix = codec::prefix(kind("", "Pod"), Some(namespace));
    let mut found: Vec<(String, String, usize)> = Vec::new();
    for entry in cx.state.store.snapshot().range(&prefix, None).take(MOST_PODS) {
        let Ok(pod) = codec::decode(&entry.key, &entry.value) else { continue };
        let findings = evaluate(standard, pod.field("spec").unwrap_or(&Value::Null));
        if findings.is_empty() {
            continue;
        }
        let reasons: Vec<&str> = findings.iter().map(|finding| finding.reason).collect();
        let reasons = reasons.join(", ");
        match found.iter_mut().find(|(_, known, _)| *known == reasons) {
            Some((_, _, count)) => *count += 1,
            None => found.push((object::name(&pod).to_owned(), reasons, 1)),
        }
    }
    if found.is_empty() {
        return Vec::new();
    }
    let standard = standard.to_string();
    let mut warnings = vec![format!(
        "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level {standard:?}"
    )];
    warnings.extend(found.into_iter().map(|(pod, reasons, count)| match count {
        1 => format!("{pod}: {reasons}"),
        2 => format!("{pod} (and 1 other pod): {reasons}"),
        more => format!("{pod} (and {} other pods): {reasons}", more - 1),
    }));
    warnings
}
