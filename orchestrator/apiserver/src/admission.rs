//! Admission: what the server checks and fills in across objects before one is created.
//!
//! Namespaces must be there and stay; Pods get a service account, their priority's number, the overhead of their
//! RuntimeClass and the default tolerations. Service account tokens are not mounted yet.

use wherry_api::kinds::{self, Kind};
use wherry_schema::Value;
use wherry_store::Precondition;

use crate::codec;
use crate::error::Failure;
use crate::kinds::priority_class::SYSTEM;
use crate::object::{self, Fields};
use crate::validation::Cause;
use crate::verbs::Cx;

fn kind(group: &str, name: &str) -> &'static Kind {
    kinds::by_kind(group, "v1", name).expect("the kinds table has every kind admission looks at")
}

/// The condition under which something may be created in the namespace: it stays as it is now, live.
pub(crate) fn live_namespace(cx: &Cx<'_>, name: &str) -> Result<Precondition, Failure> {
    let namespaces = kind("", "Namespace");
    let key = codec::key(namespaces, "", cx.namespace);
    let missing = || Failure::NotFound { kind: namespaces, name: cx.namespace.to_owned() };
    let entry = cx.state.store.get(&key).ok_or_else(missing)?;
    if entry.attributes.get("=status.phase") == Some("Terminating") {
        return Err(terminating(cx, name));
    }
    Ok(Precondition::ModRevision { key, revision: entry.mod_revision })
}

fn terminating(cx: &Cx<'_>, name: &str) -> Failure {
    let namespace = cx.namespace;
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let mut failure = Failure::forbidden(cx.kind, name, &why);
    if let Failure::Forbidden { causes, .. } = &mut failure {
        causes.push(Cause {
            reason: "NamespaceTerminating",
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".to_owned(),
        });
    }
    failure
}

/// Completes a new object, or refuses it.
pub(crate) fn admit(cx: &Cx<'_>, object: &mut Value) -> Result<(), Failure> {
    match (cx.kind.group, cx.kind.kind) {
        ("", "Pod") => {
            service_account(object);
            priority(cx, object)?;
            runtime_class(cx, object)?;
            tolerations(object);
            Ok(())
        }
        ("scheduling.k8s.io", "PriorityClass") if !object.has("preemptionPolicy") => {
            object.put("preemptionPolicy", "PreemptLowerPriority");
            Ok(())
        }
        _ => Ok(()),
    }
}

fn service_account(pod: &mut Value) {
    let named = ["spec.serviceAccountName", "spec.serviceAccount"].map(|f| pod.text(f).to_owned());
    let name = named.into_iter().find(|n| !n.is_empty()).unwrap_or_else(|| "default".to_owned());
    pod.put("spec.serviceAccountName", name.as_str());
    pod.put("spec.serviceAccount", name);
}

/// Resolves the class of a Pod's priority to its number.
fn priority(cx: &Cx<'_>, pod: &mut Value) -> Result<(), Failure> {
    let name = pod.text("spec.priorityClassName").to_owned();
    let system = SYSTEM.iter().find(|(n, _)| *n == name);
    let (value, policy, class) = match system {
        Some((_, value)) => (*value, String::new(), Some(name)),
        None if name.is_empty() => default_priority(cx)?,
        None => {
            let key = codec::key(kind("scheduling.k8s.io", "PriorityClass"), "", &name);
            let Some(found) = cx.state.find(&key)? else {
                let why = format!("no PriorityClass with name {name} was found");
                return Err(Failure::forbidden(cx.kind, object::name(pod), &why));
            };
            (found.int("value").unwrap_or(0), found.text("preemptionPolicy").to_owned(), Some(name))
        }
    };
    if pod.int("spec.priority").is_some_and(|given| given != value) {
        let given = pod.int("spec.priority").unwrap_or(0);
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {value} from the given PriorityClass name"
        );
        return Err(Failure::forbidden(cx.kind, object::name(pod), &why));
    }
    pod.put("spec.priority", value);
    if let Some(class) = class {
        pod.put("spec.priorityClassName", class);
    }
    if !pod.has("spec.preemptionPolicy") {
        let policy = if policy.is_empty() { "PreemptLowerPriority".to_owned() } else { policy };
        pod.put("spec.preemptionPolicy", policy);
    }
    Ok(())
}

/// The priority of Pods that name none: that of the global default class, else 0.
fn default_priority(cx: &Cx<'_>) -> Result<(i64, String, Option<String>), Failure> {
    let prefix = codec::prefix(kind("scheduling.k8s.io", "PriorityClass"), None);
    let mut best = (0, String::new(), None);
    for entry in cx.state.store.snapshot().range(&prefix, None) {
        let class = codec::decode(&entry.key, &entry.value)?;
        let value = class.int("value").unwrap_or(0);
        if class.flag("globalDefault") && (best.2.is_none() || value < best.0) {
            best = (value, class.text("preemptionPolicy").to_owned(), Some(object::name(&class).to_owned()));
        }
    }
    Ok(best)
}

fn runtime_class(cx: &Cx<'_>, pod: &mut Value) -> Result<(), Failure> {
    let name = pod.text("spec.runtimeClassName").to_owned();
    if name.is_empty() {
        return Ok(());
    }
    let refuse = |why: &str| Failure::forbidden(cx.kind, object::name(pod), why);
    let Some(class) = cx.state.find(&codec::key(kind("node.k8s.io", "RuntimeClass"), "", &name))? else {
        return Err(refuse(&format!("pod rejected: RuntimeClass {name:?} not found")));
    };
    let overhead = class.field("overhead.podFixed");
    if pod.has("spec.overhead") && pod.field("spec.overhead") != overhead {
        return Err(refuse("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"));
    }
    pod.assign("spec.overhead", overhead.cloned());
    let selector = class.map("scheduling.nodeSelector").into_iter().flat_map(wherry_schema::Object::iter);
    for (key, value) in selector {
        pod.set(&["spec", "nodeSelector", key], value.clone());
    }
    let mut tolerations = pod.items("spec.tolerations").to_vec();
    for toleration in class.items("scheduling.tolerations") {
        if !tolerations.contains(toleration) {
            tolerations.push(toleration.clone());
        }
    }
    if !tolerations.is_empty() {
        pod.put("spec.tolerations", tolerations);
    }
    Ok(())
}

/// A Pod stays for five minutes on a node that is not ready or cannot be reached, unless it says otherwise.
pub(crate) fn tolerations(pod: &mut Value) {
    let mut tolerations = pod.items("spec.tolerations").to_vec();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = |t: &Value| {
            matches!(t.text("key"), k if k == key || k.is_empty())
                && matches!(t.text("effect"), "NoExecute" | "")
        };
        if tolerations.iter().any(tolerated) {
            continue;
        }
        let mut toleration = Value::object();
        toleration.put("effect", "NoExecute");
        toleration.put("key", key);
        toleration.put("operator", "Exists");
        toleration.put("tolerationSeconds", 300);
        tolerations.push(toleration);
    }
    pod.put("spec.tolerations", tolerations);
}
