//! What a file must say to be an AuthorizationConfiguration, in upstream's words.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wherry_schema::Value;

use super::{AuthorizationError, Configured, Means, PATIENCE, WebhookConfig, no_abac, receiver};
use crate::authorize::aggregate;
use crate::authorize::webhook::conditions::Conditions;
use crate::object::Fields;
use crate::outbound::kubeconfig::Receiver;
use crate::validation::{Errors, Path as Field, names};

const GROUP: &str = "apiserver.config.k8s.io/";
const KIND: &str = "AuthorizationConfiguration";
/// Who can be asked, as upstream lists them.
const TYPES: [&str; 6] = ["ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"];
const IN_CLUSTER: &str = "InClusterConfig";
const KUBECONFIG: &str = "KubeConfigFile";
/// The fields of a configuration, by where they are.
const FIELDS: [(&str, &[&str]); 5] = [
    ("", &["apiVersion", "kind", "authorizers"]),
    ("authorizers", &["type", "name", "webhook"]),
    (
        "webhook",
        &[
            "authorizedTTL",
            "cacheAuthorizedRequests",
            "cacheUnauthorizedRequests",
            "connectionInfo",
            "failurePolicy",
            "matchConditionSubjectAccessReviewVersion",
            "matchConditions",
            "subjectAccessReviewVersion",
            "timeout",
            "unauthorizedTTL",
        ],
    ),
    ("connectionInfo", &["type", "kubeConfigFile"]),
    ("matchConditions", &["expression"]),
];

/// Refuses other objects, and fields that there are not.
pub(super) fn check_shape(config: &Value) -> Result<(), AuthorizationError> {
    let (version, kind) = (config.text("apiVersion"), config.text("kind"));
    let known = matches!(version.strip_prefix(GROUP), Some("v1" | "v1beta1" | "v1alpha1"));
    if !known || kind != KIND {
        return Err(AuthorizationError::Load(format!(
            "no kind {kind:?} is registered for version {version:?}"
        )));
    }
    let mut unknown = Vec::new();
    find_unknown(config, ("", ""), &mut unknown);
    if unknown.is_empty() {
        return Ok(());
    }
    Err(AuthorizationError::Load(format!("strict decoding error: {}", unknown.join(", "))))
}

/// Finds the fields of an object at a path that are none; `name` is the field that holds it.
fn find_unknown(value: &Value, (path, name): (&str, &str), unknown: &mut Vec<String>) {
    let Some((_, known)) = FIELDS.iter().find(|(at, _)| *at == name) else { return };
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        find_unknown(item, (&format!("{path}[{at}]"), name), unknown);
    }
    for (field, value) in value.as_object().into_iter().flat_map(wherry_schema::Object::iter) {
        let path = if path.is_empty() { field.to_string() } else { format!("{path}.{field}") };
        if known.contains(&&**field) {
            find_unknown(value, (&path, field), unknown);
        } else {
            unknown.push(format!("unknown field {path:?}"));
        }
    }
}

/// One who is asked, with a configuration that breaks no rules.
pub(super) struct Checked {
    kind: String,
    name: String,
    webhook: Option<CheckedWebhook>,
}

struct CheckedWebhook {
    path: PathBuf,
    config: Box<dyn FnOnce(Receiver) -> WebhookConfig>,
}

impl Checked {
    /// Loads what it refers to.
    pub(super) fn load(self) -> Result<Configured, AuthorizationError> {
        let means = match (Means::plain(&self.kind), self.webhook) {
            (Some(plain), _) => plain,
            (None, Some(webhook)) => {
                let receiver = receiver(&self.name, &webhook.path)?;
                Means::Webhook(Arc::new((webhook.config)(receiver)))
            }
            (None, None) => return Err(AuthorizationError::Invalid(no_abac())),
        };
        Ok(Configured { name: self.name, means })
    }
}

/// All who are asked; what is wrong with them is told.
pub(super) fn authorizers(config: &Value, errors: &mut Errors) -> Vec<Checked> {
    let list = Field::new("authorizers");
    if config.items("authorizers").is_empty() {
        errors.required(&list, "at least one authorization mode must be defined");
    }
    let mut all: Vec<Checked> = Vec::new();
    for (at, one) in config.items("authorizers").iter().enumerate() {
        let (path, kind, name) = (list.index(at), one.text("type"), one.text("name"));
        if kind.is_empty() {
            errors.required(&path.child("type"), "");
            continue;
        }
        if !TYPES.contains(&kind) {
            errors.unsupported(&path.child("type"), kind, &TYPES);
            continue;
        }
        if kind != "Webhook" && all.iter().any(|other| other.kind == kind) {
            errors.duplicate(&path.child("type"), kind);
            continue;
        }
        check_name(name, &all, &path.child("name"), errors);
        let webhook = webhook((kind, one), &path, errors);
        all.push(Checked { kind: kind.to_owned(), name: name.to_owned(), webhook });
    }
    all
}

fn check_name(name: &str, others: &[Checked], path: &Field, errors: &mut Errors) {
    let problems = names::subdomain(name);
    if name.is_empty() {
        errors.required(path, "");
    } else if others.iter().any(|other| other.name == name) {
        errors.duplicate(path, name);
    } else if !problems.is_empty() {
        errors.invalid(path, name, &format!("authorizer name is invalid: {}", problems.join(", ")));
    }
}

/// All but webhooks are called as they were before they had names.
pub(super) fn check_names(authorizers: &[Checked]) -> Result<(), AuthorizationError> {
    let plain = authorizers.iter().filter(|one| one.kind != "Webhook");
    let wrong = plain.filter(|one| one.name != one.kind.to_lowercase()).map(|one| {
        let expected = one.kind.to_lowercase();
        format!("expected name {expected} for authorizer {} instead of {}", one.kind, one.name)
    });
    let wrong: Vec<String> = wrong.collect();
    if wrong.is_empty() { Ok(()) } else { Err(AuthorizationError::Invalid(aggregate(wrong))) }
}

/// The webhook of an authorizer. Its fields are told as if they were the authorizer's own, as upstream does.
fn webhook((kind, one): (&str, &Value), path: &Field, errors: &mut Errors) -> Option<CheckedWebhook> {
    match (kind == "Webhook", one.field("webhook")) {
        (false, Some(_)) => {
            let why = "may only be specified when type=Webhook";
            errors.invalid(&path.child("webhook"), "non-null", why);
            None
        }
        (true, None) => {
            errors.required(&path.child("webhook"), "required when type=Webhook");
            None
        }
        (true, Some(webhook)) => Some(check_webhook(webhook, path, errors)),
        (false, None) => None,
    }
}

fn check_webhook(webhook: &Value, path: &Field, errors: &mut Errors) -> CheckedWebhook {
    let mut duration = |field: &str, default: Option<Duration>| {
        duration(webhook, field, default, &path.child(field), errors).unwrap_or_default()
    };
    let timeout = duration("timeout", None);
    let authorized = duration("authorizedTTL", Some(Duration::from_mins(5)));
    let unauthorized = duration("unauthorizedTTL", Some(Duration::from_secs(30)));
    one_of(webhook, "subjectAccessReviewVersion", &["v1", "v1beta1"], path, errors);
    let conditions = webhook.items("matchConditions");
    let version = "matchConditionSubjectAccessReviewVersion";
    match webhook.text(version) {
        "" if conditions.is_empty() => {}
        "" => errors.required(&path.child(version), "required if match conditions are specified"),
        _ => one_of(webhook, version, &["v1"], path, errors),
    }
    one_of(webhook, "failurePolicy", &["NoOpinion", "Deny"], path, errors);
    let kubeconfig = connection(webhook, &path.child("connectionInfo"), errors);
    let conditions = Conditions::compile(conditions, &path.child("matchConditions"), errors);
    let kept = |field: &str| webhook.field(field).and_then(Value::as_bool).unwrap_or(true);
    let authorized_ttl = if kept("cacheAuthorizedRequests") { authorized } else { Duration::ZERO };
    let unauthorized_ttl = if kept("cacheUnauthorizedRequests") { unauthorized } else { Duration::ZERO };
    let beta = webhook.text("subjectAccessReviewVersion") == "v1beta1";
    let deny_on_error = webhook.text("failurePolicy") == "Deny";
    let config = move |receiver| WebhookConfig {
        receiver,
        timeout,
        authorized_ttl,
        unauthorized_ttl,
        beta,
        deny_on_error,
        conditions,
    };
    CheckedWebhook { path: kubeconfig, config: Box::new(config) }
}

fn one_of(webhook: &Value, field: &str, known: &[&str], path: &Field, errors: &mut Errors) {
    match webhook.text(field) {
        "" => errors.required(&path.child(field), ""),
        value if known.contains(&value) => {}
        value => errors.unsupported(&path.child(field), value, known),
    }
}

/// A span of time above zero; a timeout has no default, and is not above [`PATIENCE`].
fn duration(
    webhook: &Value,
    field: &str,
    default: Option<Duration>,
    path: &Field,
    errors: &mut Errors,
) -> Option<Duration> {
    let text = webhook.text(field);
    let span = if text.is_empty() { Ok(jiff::SignedDuration::ZERO) } else { text.parse() };
    let Ok(span) = span else {
        errors.invalid(path, text, &format!("time: invalid duration {text:?}"));
        return None;
    };
    match (Duration::try_from(span), default) {
        (Ok(Duration::ZERO), Some(default)) => Some(default),
        (Ok(Duration::ZERO), None) => {
            errors.required(path, "");
            None
        }
        (Ok(span), None) if span > PATIENCE => {
            errors.invalid(path, &shown(span), "must be > 0s and <= 30s");
            None
        }
        (Ok(span), _) => Some(span),
        (Err(_), _) => {
            let rule = if default.is_some() { "must be > 0s" } else { "must be > 0s and <= 30s" };
            errors.invalid(path, &format!("-{}", shown(span.unsigned_abs())), rule);
            None
        }
    }
}

/// A span of time as Go writes it, in whole seconds or else as it is.
fn shown(span: Duration) -> String {
    let (hours, minutes) = (span.as_secs() / 3600, span.as_secs() / 60 % 60);
    let seconds = Duration::new(span.as_secs() % 60, span.subsec_nanos()).as_secs_f64();
    match (hours, minutes) {
        (0, 0) if seconds < 1.0 => format!("{}ms", seconds * 1000.0),
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// The kubeconfig of a webhook.
fn connection(webhook: &Value, path: &Field, errors: &mut Errors) -> PathBuf {
    let file = webhook.text("connectionInfo.kubeConfigFile");
    let at = path.child("kubeConfigFile");
    match webhook.text("connectionInfo.type") {
        "" => errors.required(&path.child("type"), ""),
        IN_CLUSTER if !file.is_empty() => {
            errors.invalid(&at, file, "can only be set when type=KubeConfigFile");
        }
        IN_CLUSTER => {
            let why = "this server would ask itself; use KubeConfigFile";
            errors.invalid(&path.child("type"), IN_CLUSTER, why);
        }
        KUBECONFIG if file.is_empty() => errors.required(&at, ""),
        KUBECONFIG if !Path::new(file).is_absolute() => errors.invalid(&at, file, "must be an absolute path"),
        KUBECONFIG => match std::fs::metadata(file) {
            Ok(found) if found.is_file() => {}
            Ok(_) => errors.invalid(&at, file, "must be a regular file"),
            Err(error) => {
                let why = match error.kind() {
                    io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                    io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
                    _ => error.to_string(),
                };
                errors.invalid(&at, file, &format!("error loading file: stat {file}: {why}"));
            }
        },
        other => errors.unsupported(&path.child("type"), other, &[IN_CLUSTER, KUBECONFIG]),
    }
    PathBuf::from(file)
}
