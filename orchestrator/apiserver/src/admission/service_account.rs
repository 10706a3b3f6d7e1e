//! Who Pods run as, and the volume with which their programs prove it.

use wherry_schema::Value;

use super::kind;
use crate::codec;
use crate::config::Admission;
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::verbs::Cx;

const VOLUME: &str = "kube-api-access-";
const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How long a token is good for; the odd seconds tell that nobody asked for it.
const SECONDS: i64 = 3607;
/// ConfigMaps with certificates of those whom programs talk to.
const AUTHORITIES: &[(&str, &str)] =
    &[("kube-root-ca.crt", "ca.crt"), ("openshift-service-ca.crt", "service-ca.crt")];

/// Gives a Pod an account, and a volume with a token of it.
pub(super) fn admit(cx: &Cx<'_>, pod: &mut Value) -> Result<(), Failure> {
    let full = cx.state.admission == Admission::Full;
    let named = ["spec.serviceAccountName", "spec.serviceAccount"].map(|f| pod.text(f).to_owned());
    let name = named.into_iter().find(|n| !n.is_empty());
    if full && pod.at(&["metadata", "annotations", "kubernetes.io/config.mirror"]).is_some() {
        return check_mirror(cx, pod, name.as_deref());
    }
    let name = name.unwrap_or_else(|| "default".to_owned());
    pod.put("spec.serviceAccountName", name.as_str());
    pod.put("spec.serviceAccount", name.as_str());
    if !full {
        return Ok(());
    }
    let key = codec::key(kind("", "ServiceAccount"), cx.namespace, &name);
    let Some(account) = cx.state.find(&key)? else {
        let why = format!(
            "error looking up service account {}/{name}: serviceaccount {name:?} not found",
            cx.namespace
        );
        return Err(Failure::forbidden(cx.kind, object::name(pod), &why));
    };
    let wanted = |object: &Value, field: &str| object.field(field).and_then(Value::as_bool);
    let mount = wanted(pod, "spec.automountServiceAccountToken")
        .or_else(|| wanted(&account, "automountServiceAccountToken"));
    if mount.unwrap_or(true) {
        mount_token(cx, pod);
    }
    if pod.items("spec.imagePullSecrets").is_empty() {
        pod.assign("spec.imagePullSecrets", account.field("imagePullSecrets").cloned());
    }
    Ok(())
}

/// A Pod that stands for one a node runs by itself has nothing of the API.
fn check_mirror(cx: &Cx<'_>, pod: &Value, account: Option<&str>) -> Result<(), Failure> {
    let volumes = pod.items("spec.volumes");
    let tokens = volumes.iter().flat_map(|v| v.items("projected.sources"));
    let why = if account.is_some() {
        "a mirror pod may not reference service accounts"
    } else if volumes.iter().any(|volume| volume.has("secret")) {
        "a mirror pod may not reference secrets"
    } else if tokens.into_iter().any(|source| source.has("serviceAccountToken")) {
        "a mirror pod may not use ServiceAccountToken volume projections"
    } else {
        return Ok(());
    };
    Err(Failure::forbidden(cx.kind, object::name(pod), why))
}

fn mount_token(cx: &Cx<'_>, pod: &mut Value) {
    let volumes = pod.items("spec.volumes").iter().map(|volume| volume.text("name"));
    let existing = volumes.filter(|name| name.starts_with(VOLUME)).map(str::to_owned).next();
    let name = existing.clone().unwrap_or_else(|| cx.state.generate_name(VOLUME));
    let mut needed = false;
    for list in ["spec.initContainers", "spec.containers"] {
        for container in pod.items_mut(list) {
            if container.items("volumeMounts").iter().any(|mount| mount.text("mountPath") == MOUNT) {
                continue;
            }
            let mut mounts = container.items("volumeMounts").to_vec();
            let mut mount = Value::object();
            mount.put("name", name.as_str());
            mount.put("readOnly", true);
            mount.put("mountPath", MOUNT);
            mounts.push(mount);
            container.put("volumeMounts", mounts);
            needed = true;
        }
    }
    if existing.is_none() && needed {
        let mut volumes = pod.items("spec.volumes").to_vec();
        volumes.push(token_volume(&name));
        pod.put("spec.volumes", volumes);
    }
}

/// A volume with a token, the certificates of the API server and the name of the namespace.
fn token_volume(name: &str) -> Value {
    let mut token = Value::object();
    token.put("serviceAccountToken.expirationSeconds", SECONDS);
    token.put("serviceAccountToken.path", "token");
    let mut namespace = Value::object();
    namespace.put("fieldRef.apiVersion", "v1");
    namespace.put("fieldRef.fieldPath", "metadata.namespace");
    namespace.put("path", "namespace");
    let mut downward = Value::object();
    downward.put("downwardAPI.items", vec![namespace]);
    let [root, service] = [AUTHORITIES[0], AUTHORITIES[1]].map(|(map, key)| {
        let mut item = Value::object();
        item.put("key", key);
        item.put("path", key);
        let mut source = Value::object();
        source.put("configMap.name", map);
        source.put("configMap.items", vec![item]);
        source
    });
    let mut volume = Value::object();
    volume.put("name", name);
    volume.put("projected.defaultMode", 420);
    volume.put("projected.sources", vec![token, root, downward, service]);
    volume
}
