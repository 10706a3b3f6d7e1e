//! Which other objects Pods and PersistentVolumes refer to by name, as the fields of their specs say.

use wherry_schema::Value;

use crate::object::{self, Fields};

/// Where a Pod has containers.
const CONTAINERS: [&str; 3] = ["spec.initContainers", "spec.containers", "spec.ephemeralContainers"];

/// Where a volume of a Pod names a Secret.
const VOLUME_SECRETS: [&str; 9] = [
    "azureFile.secretName",
    "cephfs.secretRef.name",
    "csi.nodePublishSecretRef.name",
    "flexVolume.secretRef.name",
    "iscsi.secretRef.name",
    "rbd.secretRef.name",
    "scaleIO.secretRef.name",
    "secret.secretName",
    "storageos.secretRef.name",
];

/// Where a PersistentVolume refers to a Secret that nodes need.
const PERSISTENT_SECRETS: [&str; 10] = [
    "cephfs.secretRef",
    "cinder.secretRef",
    "csi.nodeExpandSecretRef",
    "csi.nodePublishSecretRef",
    "csi.nodeStageSecretRef",
    "flexVolume.secretRef",
    "iscsi.secretRef",
    "rbd.secretRef",
    "scaleIO.secretRef",
    "storageos.secretRef",
];

const MIRROR: &str = "kubernetes.io/config.mirror";

/// Whether a Pod shows what runs on a node already.
pub(crate) fn is_mirror(pod: &Value) -> bool {
    pod.map("metadata.annotations").is_some_and(|annotations| annotations.contains(MIRROR))
}

/// The Secrets that a Pod names; one may come up several times.
pub(crate) fn secrets(pod: &Value) -> Vec<&str> {
    let pull = pod.items("spec.imagePullSecrets").iter().map(|secret| secret.text("name"));
    let volumes = pod.items("spec.volumes").iter();
    let volumes = volumes.flat_map(|volume| VOLUME_SECRETS.map(|path| volume.text(path)));
    let variables = in_containers(pod, "secretKeyRef", "secretRef");
    named(pull.chain(volumes).chain(projected(pod, "secret.name")).chain(variables))
}

/// The ConfigMaps that a Pod names; one may come up several times.
pub(crate) fn config_maps(pod: &Value) -> Vec<&str> {
    let volumes = pod.items("spec.volumes").iter().map(|volume| volume.text("configMap.name"));
    let variables = in_containers(pod, "configMapKeyRef", "configMapRef");
    named(volumes.chain(projected(pod, "configMap.name")).chain(variables))
}

/// The PersistentVolumeClaims that a Pod mounts, with those that are made for it.
pub(crate) fn claims(pod: &Value) -> Vec<String> {
    let volumes = pod.items("spec.volumes").iter();
    volumes.filter_map(|volume| claim(pod, volume)).collect()
}

/// The PersistentVolumeClaim of a volume of a Pod.
pub(crate) fn claim(pod: &Value, volume: &Value) -> Option<String> {
    match volume.text("persistentVolumeClaim.claimName") {
        "" if volume.has("ephemeral") => Some(format!("{}-{}", object::name(pod), volume.text("name"))),
        "" => None,
        name => Some(name.to_owned()),
    }
}

/// The ResourceClaims of a Pod that exist: those it names, and those that were made for it.
pub(crate) fn resource_claims(pod: &Value) -> Vec<&str> {
    let made = |name: &str| {
        let all = pod.items("status.resourceClaimStatuses").iter();
        all.filter(|status| status.text("name") == name).map(|status| status.text("resourceClaimName")).next()
    };
    let claims = pod.items("spec.resourceClaims").iter();
    let claims = claims.filter_map(|claim| match claim.text("resourceClaimName") {
        "" => made(claim.text("name")),
        name => Some(name),
    });
    named(claims.chain([pod.text("status.extendedResourceClaimStatus.resourceClaimName")]))
}

/// The Secrets that a node needs for a PersistentVolume, with their namespaces: that of the claim where none is named.
pub(crate) fn persistent_secrets(volume: &Value) -> Vec<(&str, &str)> {
    let place = |namespace| match namespace {
        "" => volume.text("spec.claimRef.namespace"),
        namespace => namespace,
    };
    let references = PERSISTENT_SECRETS.iter().filter_map(|path| volume.field("spec")?.field(path));
    let references = references.map(|secret| (place(secret.text("namespace")), secret.text("name")));
    let file =
        (place(volume.text("spec.azureFile.secretNamespace")), volume.text("spec.azureFile.secretName"));
    references.chain([file]).filter(|(_, name)| !name.is_empty()).collect()
}

/// What the projected volumes of a Pod name.
fn projected<'a>(pod: &'a Value, path: &'static str) -> impl Iterator<Item = &'a str> {
    let volumes = pod.items("spec.volumes").iter();
    volumes.flat_map(|volume| volume.items("projected.sources")).map(move |source| source.text(path))
}

/// What the variables of all containers of a Pod are taken from: keys, or whole objects.
fn in_containers<'a>(pod: &'a Value, key: &str, whole: &str) -> impl Iterator<Item = &'a str> {
    let (key, whole) = (format!("valueFrom.{key}.name"), format!("{whole}.name"));
    CONTAINERS.iter().flat_map(|list| pod.items(list)).flat_map(move |container| {
        let keys = container.items("env").iter().map(|variable| variable.text(&key));
        let wholes = container.items("envFrom").iter().map(|source| source.text(&whole));
        keys.chain(wholes).collect::<Vec<_>>()
    })
}

fn named<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names.filter(|name| !name.is_empty()).collect()
}
