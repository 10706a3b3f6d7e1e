//! Admission: what the server checks and fills in across objects before one is created.
//!
//! Namespaces must be there and stay; Pods get a service account with a volume for its token, their priority's number,
//! the overhead of their RuntimeClass, the limits of their namespace and the default tolerations, and do not get what
//! its labels forbid. Storage gets a finalizer that keeps it while it is used.

mod default_class;
pub(crate) mod dynamic;
mod escalation;
mod limit_ranger;
pub(crate) mod node_restriction;
mod pod_security;
pub(crate) mod policy;
mod priority;
pub(crate) mod quota;
pub(crate) mod service_account;
pub(crate) mod signers;
mod storage;
pub(crate) mod webhook;

use wherry_api::kinds::{self, Kind};
use wherry_schema::Value;
use wherry_store::Precondition;

use crate::codec;
use crate::config::Admission;
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::validation::Cause;
use crate::verbs::Cx;

pub(crate) fn kind(group: &str, name: &str) -> &'static Kind {
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

/// Refuses what keeps the rules of its kind and not those of others. There is no `old` when the object is new.
pub(crate) fn validate(cx: &Cx<'_>, object: &Value, old: Option<&Value>) -> Result<(), Failure> {
    match (cx.kind.group, cx.kind.kind) {
        ("", "Pod") if old.is_none_or(|old| runs_something_else(object, old)) => {
            if old.is_none() {
                limit_ranger::validate(cx, object)?;
            }
            pod_security::enforce(cx, object)
        }
        ("", "PersistentVolumeClaim") => {
            limit_ranger::validate(cx, object)?;
            old.map_or(Ok(()), |old| storage::check_growth(cx, object, old))
        }
        ("scheduling.k8s.io", "PriorityClass") => priority::validate(cx, object),
        ("certificates.k8s.io", "CertificateSigningRequest") if old.is_none() => {
            signers::check_subject(cx, object)
        }
        ("certificates.k8s.io", "ClusterTrustBundle") => signers::check_attest(cx, object, old),
        ("rbac.authorization.k8s.io", _) if old.is_some() => escalation::check(cx, object, old),
        ("", "Namespace") => {
            let errors = pod_security::check_namespace(object, old);
            if errors.is_empty() {
                return Ok(());
            }
            Err(Failure::invalid(cx.kind, object::name(object), errors))
        }
        _ => Ok(()),
    }
}

/// Whether an update makes a Pod run what it did not.
fn runs_something_else(pod: &Value, old: &Value) -> bool {
    let images = |pod: &Value| -> Vec<String> {
        let lists = ["spec.initContainers", "spec.containers", "spec.ephemeralContainers"];
        lists.iter().flat_map(|list| pod.items(list)).map(|c| c.text("image").to_owned()).collect()
    };
    images(pod) != images(old)
}

/// What a client should know about an object it writes, in view of others.
pub(crate) fn warnings(cx: &Cx<'_>, object: &Value) -> Vec<String> {
    pod_security::warnings(cx, object)
}

/// Completes a new object, or refuses it.
pub(crate) fn admit(cx: &Cx<'_>, object: &mut Value) -> Result<(), Failure> {
    match (cx.kind.group, cx.kind.kind) {
        ("", "Pod") => {
            limit_ranger::admit(cx, object)?;
            service_account::admit(cx, object)?;
            node_restriction::create(cx, object)?;
            priority::admit(cx, object)?;
            runtime_class(cx, object)?;
            tolerations(object);
            pod_security::tell(cx, object)
        }
        ("scheduling.k8s.io", "PriorityClass") if !object.has("preemptionPolicy") => {
            object.put("preemptionPolicy", "PreemptLowerPriority");
            Ok(())
        }
        ("", "Node") => {
            node_restriction::create(cx, object)?;
            taint(cx, object);
            Ok(())
        }
        ("networking.k8s.io", "Ingress") => default_class::ingress(cx, object),
        ("", "PersistentVolume" | "PersistentVolumeClaim") => {
            node_restriction::create(cx, object)?;
            storage::admit(cx, object)
        }
        ("certificates.k8s.io", "CertificateSigningRequest") => {
            node_restriction::create(cx, object)?;
            requestor(cx, object);
            Ok(())
        }
        ("rbac.authorization.k8s.io", _) => escalation::check(cx, object, None),
        ("certificates.k8s.io", "PodCertificateRequest") => node_restriction::create(cx, object),
        ("coordination.k8s.io" | "storage.k8s.io" | "resource.k8s.io", _) => {
            node_restriction::create(cx, object)
        }
        _ => Ok(()),
    }
}

/// Keeps of an object what nobody changes.
pub(crate) fn keep(cx: &Cx<'_>, object: &mut Value, old: &Value) {
    if cx.is("", "Pod") {
        pod_security::keep(object, old);
    }
}

/// Records who asks for a certificate.
fn requestor(cx: &Cx<'_>, request: &mut Value) {
    for field in ["username", "uid", "groups", "extra"] {
        request.take(&format!("spec.{field}"));
    }
    let Some(user) = cx.user else { return };
    request.put("spec.username", user.name.as_str());
    if !user.uid.is_empty() {
        request.put("spec.uid", user.uid.as_str());
    }
    request.put("spec.groups", user.groups.clone());
    for (key, values) in &user.extra {
        request.set(&["spec", "extra", key], values.clone());
    }
}

/// A node gets no Pods until something finds that it is ready.
fn taint(cx: &Cx<'_>, node: &mut Value) {
    const NOT_READY: &str = "node.kubernetes.io/not-ready";
    let same = |taint: &Value| taint.text("key") == NOT_READY && taint.text("effect") == "NoSchedule";
    if cx.state.admission != Admission::Full || node.items("spec.taints").iter().any(same) {
        return;
    }
    let mut taint = Value::object();
    taint.put("key", NOT_READY);
    taint.put("effect", "NoSchedule");
    let mut taints = node.items("spec.taints").to_vec();
    taints.push(taint);
    node.put("spec.taints", taints);
}

fn runtime_class(cx: &Cx<'_>, pod: &mut Value) -> Result<(), Failure> {
    let name = pod.text("spec.runtimeClassName").to_owned();
    if name.is_empty() {
        return Ok(());
    }
    let refuse = |why: &str| Failure::forbidden(cx.kind, object::called(pod), why);
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
