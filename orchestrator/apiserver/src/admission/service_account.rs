//! The ServiceAccount admission plugin: every Pod runs as a ServiceAccount that exists, gets its image pull secrets
//! and, unless either opts out, a volume with its token.
//!
//! Mirror Pods show what runs on a node already: they are left as they are and may have no ServiceAccount.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::json;
use wherry_api::kinds::{Kind, by_kind};
use wherry_schema::Value;
use wherry_store::EventKind;

use crate::codec;
use crate::config::Admission;
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::references::is_mirror;
use crate::verbs::Cx;

const DEFAULT: &str = "default";
const ENFORCE_SECRETS: &str = "kubernetes.io/enforce-mountable-secrets";
const VOLUME_PREFIX: &str = "kube-api-access-";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// A little over an hour, by which tokens for Pods are told apart from those asked for by hand.
const TOKEN_SECONDS: i64 = 3607;
/// How long a Pod in a new namespace waits for the ServiceAccount that the controller is about to make.
const PATIENCE: Duration = Duration::from_millis(1500);
const CONTAINERS: [&str; 2] = ["spec.initContainers", "spec.containers"];

fn core(kind: &str) -> &'static Kind {
    by_kind("", "v1", kind).expect("the kinds table has Namespace and ServiceAccount")
}

/// Waits a moment for the ServiceAccount `default` of a new namespace, if the Pod needs it.
pub(crate) async fn await_default(cx: &Cx<'_>, pod: &Value) {
    if (cx.kind.group, cx.kind.kind) != ("", "Pod") || is_mirror(pod) || account_name(pod) != DEFAULT {
        return;
    }
    let store = &cx.state.store;
    let key = codec::key(core("ServiceAccount"), cx.namespace, DEFAULT);
    let revision = store.revision();
    let namespace = store.get(&codec::key(core("Namespace"), "", cx.namespace));
    if store.get(&key).is_some() || namespace.is_none() {
        return;
    }
    let Ok(mut changes) = store.watch(&key, revision) else { return };
    let appears = async {
        while let Some(Ok(event)) = changes.next().await {
            if *event.entry.key == *key && event.kind != EventKind::Delete {
                return;
            }
        }
    };
    // Whether it came is seen when the Pod is admitted.
    let _patience = tokio::time::timeout(PATIENCE, appears).await;
}

/// Gives a new Pod its ServiceAccount and what comes with it.
pub(super) fn admit(cx: &Cx<'_>, pod: &mut Value) -> Result<(), Failure> {
    if is_mirror(pod) {
        return check_mirror(cx, pod);
    }
    let name = account_name(pod).to_owned();
    let Some(account) = cx.state.find(&codec::key(core("ServiceAccount"), cx.namespace, &name))? else {
        let namespace = cx.namespace;
        return Err(refuse(
            cx,
            pod,
            &format!(
                "error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"
            ),
        ));
    };
    pod.put("spec.serviceAccountName", name.as_str());
    pod.put("spec.serviceAccount", name.as_str());
    if automounts(&account, pod) {
        mount_token(cx, pod);
    }
    if pod.items("spec.imagePullSecrets").is_empty() && !account.items("imagePullSecrets").is_empty() {
        pod.put("spec.imagePullSecrets", account.items("imagePullSecrets").to_vec());
    }
    limit_secrets(cx, &account, pod)
}

fn refuse(cx: &Cx<'_>, pod: &Value, why: &str) -> Failure {
    Failure::forbidden(cx.kind, object::called(pod), why)
}

/// The name of the Pod's ServiceAccount; the older field still counts where the newer one is empty.
fn account_name(pod: &Value) -> &str {
    let named = ["spec.serviceAccountName", "spec.serviceAccount"].map(|field| pod.text(field));
    named.into_iter().find(|name| !name.is_empty()).unwrap_or(DEFAULT)
}

fn check_mirror(cx: &Cx<'_>, pod: &Value) -> Result<(), Failure> {
    if !pod.text("spec.serviceAccountName").is_empty() {
        return Err(refuse(cx, pod, "a mirror pod may not reference service accounts"));
    }
    if !secret_references(pod).is_empty() || !pod.items("spec.imagePullSecrets").is_empty() {
        return Err(refuse(cx, pod, "a mirror pod may not reference secrets"));
    }
    let mut sources = pod.items("spec.volumes").iter().flat_map(|volume| volume.items("projected.sources"));
    if sources.any(|source| source.has("serviceAccountToken")) {
        return Err(refuse(cx, pod, "a mirror pod may not use ServiceAccountToken volume projections"));
    }
    Ok(())
}

/// Whether the Pod gets the token: what it says itself counts, then what its ServiceAccount says.
fn automounts(account: &Value, pod: &Value) -> bool {
    let said = pod.field("spec.automountServiceAccountToken").and_then(Value::as_bool);
    said.or_else(|| account.field("automountServiceAccountToken").and_then(Value::as_bool)).unwrap_or(true)
}

/// Mounts the volume with the token in every container that has nothing else at its place.
fn mount_token(cx: &Cx<'_>, pod: &mut Value) {
    let given = pod.items("spec.volumes").iter().map(|volume| volume.text("name"));
    let given = given.filter(|name| name.starts_with(VOLUME_PREFIX)).map(str::to_owned).next();
    let has_volume = given.is_some();
    let name = given.unwrap_or_else(|| cx.state.generate_name(VOLUME_PREFIX));
    let mut mounted = false;
    for path in CONTAINERS {
        for container in pod.items_mut(path) {
            mounted |= mount(container, &name);
        }
    }
    if mounted && !has_volume {
        let mut volumes = pod.items("spec.volumes").to_vec();
        volumes.push(token_volume(&name, cx.state.admission));
        pod.put("spec.volumes", volumes);
    }
}

fn mount(container: &mut Value, volume: &str) -> bool {
    let mut mounts = container.items("volumeMounts").to_vec();
    if mounts.iter().any(|mount| mount.text("mountPath") == MOUNT_PATH) {
        return false;
    }
    let mut mount = Value::object();
    mount.put("name", volume);
    mount.put("readOnly", true);
    mount.put("mountPath", MOUNT_PATH);
    mounts.push(mount);
    container.put("volumeMounts", mounts);
    true
}

/// The volume `kube-api-access-...`: the token, the CA to trust, the namespace. With [`Admission::Full`] also the
/// certificates of services; in a cluster of ours nobody publishes them, and Pods would wait for them forever.
fn token_volume(name: &str, admission: Admission) -> Value {
    static BASIC: LazyLock<Value> = LazyLock::new(|| token_sources(Admission::Basic));
    static FULL: LazyLock<Value> = LazyLock::new(|| token_sources(Admission::Full));
    let sources: &Value = match admission {
        Admission::Basic => &BASIC,
        Admission::Full => &FULL,
    };
    let mut volume = Value::object();
    volume.put("name", name);
    volume.put("projected.defaultMode", 0o644);
    volume.put("projected.sources", sources.clone());
    volume
}

fn token_sources(admission: Admission) -> Value {
    let authority = |map: &str, key: &str| json!({ "configMap": { "name": map, "items": [{ "key": key, "path": key }] } });
    let mut sources = vec![
        json!({ "serviceAccountToken": { "expirationSeconds": TOKEN_SECONDS, "path": "token" } }),
        authority("kube-root-ca.crt", "ca.crt"),
        json!({ "downwardAPI": { "items": [
            { "path": "namespace", "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" } },
        ] } }),
    ];
    if admission == Admission::Full {
        sources.push(authority("openshift-service-ca.crt", "service-ca.crt"));
    }
    Value::from_json(json!(sources).to_string().as_bytes()).expect("JSON that was just written can be read")
}

/// A place where a Pod names a Secret: what it is, as refusals begin, and the Secret's name.
type SecretReference = (String, String);

/// The Secrets the Pod's volumes and variables name.
fn secret_references(pod: &Value) -> Vec<SecretReference> {
    let mut found = Vec::new();
    for volume in pod.items("spec.volumes") {
        let name = volume.text("secret.secretName");
        if !name.is_empty() {
            found.push((format!("volume with secret.secretName={name:?}"), name.to_owned()));
        }
    }
    for (path, what) in [("spec.initContainers", "init container"), ("spec.containers", "container")] {
        for container in pod.items(path) {
            container_secrets(container, what, &mut found);
        }
    }
    found
}

fn container_secrets(container: &Value, what: &str, found: &mut Vec<SecretReference>) {
    let owner = container.text("name");
    for variable in container.items("env") {
        let name = variable.text("valueFrom.secretKeyRef.name");
        if !name.is_empty() {
            let variable = variable.text("name");
            let place =
                format!("{what} {owner} with envVar {variable} referencing secret.secretName={name:?}");
            found.push((place, name.to_owned()));
        }
    }
    for source in container.items("envFrom") {
        let name = source.text("secretRef.name");
        if !name.is_empty() {
            let place = format!("{what} {owner} with envFrom referencing secret.secretName={name:?}");
            found.push((place, name.to_owned()));
        }
    }
}

/// A ServiceAccount may limit its Pods to the Secrets it lists itself.
fn limit_secrets(cx: &Cx<'_>, account: &Value, pod: &Value) -> Result<(), Failure> {
    let enforced =
        account.map("metadata.annotations").and_then(|annotations| annotations.get(ENFORCE_SECRETS));
    if enforced.and_then(Value::as_str) != Some("true") {
        return Ok(());
    }
    let owner = object::name(account);
    let lists = |path: &str, name: &str| account.items(path).iter().any(|listed| listed.text("name") == name);
    for (place, name) in secret_references(pod) {
        if !lists("secrets", &name) {
            let why = format!(
                "{place} is not allowed because service account {owner} does not reference that secret"
            );
            return Err(refuse(cx, pod, &why));
        }
    }
    for (index, secret) in pod.items("spec.imagePullSecrets").iter().enumerate() {
        let name = secret.text("name");
        if !lists("imagePullSecrets", name) {
            let why = format!(
                "imagePullSecrets[{index}].name={name:?} is not allowed because service account {owner} does not \
                 reference that imagePullSecret"
            );
            return Err(refuse(cx, pod, &why));
        }
    }
    Ok(())
}
