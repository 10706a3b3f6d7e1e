//! Sources of volumes that Pods and PersistentVolumes have in common: disks and file servers.

use wherry_schema::{Object, Value};

use super::mounts::{check_local_path, check_no_backsteps};
use crate::object::Fields;
use crate::validation::values::{choice, in_range, required};
use crate::validation::{Errors, Path, names};

/// Who names the disk: its secrets are beside a Pod, or in a namespace that the volume names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disks {
    /// A volume of a Pod.
    OfPod,
    /// A volume that exists beside Pods.
    Persistent,
}

const HOST_PATHS: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const BAD_IQN: &str = "must be valid format";
const HOST_PORT: &str = "must be a host:port pair or multiple pairs separated by commas";

/// The rules of a source of this kind.
pub(crate) fn check_disk(kind: &str, source: &Value, of: Disks, path: &Path, errors: &mut Errors) {
    let need: &[&str] = match kind {
        "hostPath" => return check_host_path(source, path, errors),
        "iscsi" => return check_iscsi(source, of, path, errors),
        "flocker" => return check_flocker(source, path, errors),
        "quobyte" => return check_quobyte(source, path, errors),
        "fc" => return check_fc(source, path, errors),
        "azureDisk" => return check_azure_disk(source, path, errors),
        "storageos" => return check_storageos(source, of, path, errors),
        "csi" => return check_csi(source, of, path, errors),
        "gcePersistentDisk" => &["pdName"],
        "awsElasticBlockStore" | "cinder" | "portworxVolume" => &["volumeID"],
        "nfs" => &["server", "path"],
        "glusterfs" => &["endpoints", "path"],
        "rbd" | "cephfs" => return check_ceph(kind, source, path, errors),
        "flexVolume" => &["driver"],
        "azureFile" => &["secretName", "shareName"],
        "vsphereVolume" => &["volumePath"],
        "photonPersistentDisk" => &["pdID"],
        "scaleIO" => &["gateway", "system", "volumeName"],
        _ => return,
    };
    for field in need {
        required(source, field, path, errors);
    }
    check_more(kind, source, of, path, errors);
}

/// What a kind keeps besides having its fields.
fn check_more(kind: &str, source: &Value, of: Disks, path: &Path, errors: &mut Errors) {
    match kind {
        "gcePersistentDisk" | "awsElasticBlockStore" => {
            let partition = source.int("partition").unwrap_or(0);
            if !(0..=255).contains(&partition) {
                errors.invalid(&path.child("partition"), partition, "must be between 1 and 255, inclusive");
            }
        }
        "nfs" if !source.text("path").starts_with('/') => {
            errors.invalid(&path.child("path"), source.text("path"), "must be an absolute path");
        }
        "flexVolume" => check_options(source.map("options"), &path.child("options"), errors),
        "cinder" => check_secret(source, of, path, errors),
        "glusterfs" => match source.field("endpointsNamespace").and_then(Value::as_str) {
            Some("") => {
                let detail = "if the endpointnamespace is set, it must be a valid namespace name";
                errors.invalid(&path.child("endpointsNamespace"), "", detail);
            }
            Some(name) => errors.problems(&path.child("endpointsNamespace"), name, names::label(name)),
            None => {}
        },
        "azureFile" if source.field("secretNamespace").and_then(Value::as_str) == Some("") => {
            errors.required(&path.child("secretNamespace"), "");
        }
        _ => {}
    }
}

fn check_options(options: Option<&Object>, path: &Path, errors: &mut Errors) {
    for key in options.into_iter().flat_map(Object::keys) {
        let namespace = key.split_once('/').map_or(key.as_str(), |(namespace, _)| namespace);
        let namespace = format!(".{}", namespace.to_lowercase());
        if namespace.ends_with(".kubernetes.io") || namespace.ends_with(".k8s.io") {
            let detail = "kubernetes.io and k8s.io namespaces are reserved";
            errors.invalid(&path.key(key), key.as_str(), detail);
        }
    }
}

fn check_secret(source: &Value, of: Disks, path: &Path, errors: &mut Errors) {
    let Some(secret) = source.field("secretRef") else { return };
    let path = path.child("secretRef");
    required(secret, "name", &path, errors);
    if of == Disks::Persistent {
        required(secret, "namespace", &path, errors);
    }
}

fn check_host_path(source: &Value, path: &Path, errors: &mut Errors) {
    if !required(source, "path", path, errors) {
        return;
    }
    check_no_backsteps(source.text("path"), &path.child("path"), errors);
    choice(source, "type", HOST_PATHS, path, errors);
}

fn check_ceph(kind: &str, source: &Value, path: &Path, errors: &mut Errors) {
    if source.items("monitors").is_empty() {
        errors.required(&path.child("monitors"), "");
    }
    if kind == "rbd" {
        required(source, "image", path, errors);
    }
}

/// What is wrong with the qualified name of an initiator or target, if anything.
fn iqn_problem(name: &str) -> Option<&'static str> {
    let valid = if let Some(rest) = name.strip_prefix("iqn") {
        is_iqn(rest)
    } else if let Some(rest) = name.strip_prefix("eui") {
        is_digits(rest, 16)
    } else if let Some(rest) = name.strip_prefix("naa") {
        is_digits(rest, 32)
    } else {
        return Some("must be valid format starting with iqn, eui, or naa");
    };
    (!valid).then_some(BAD_IQN)
}

/// `.2001-04.com.example:storage`.
fn is_iqn(rest: &str) -> bool {
    let Some((naming, unique)) = rest.split_once(':') else { return false };
    let date = naming.get(1..8).unwrap_or_default().as_bytes();
    let dated = naming.starts_with('.')
        && date.len() == 7
        && date.iter().enumerate().all(|(at, b)| if at == 4 { *b == b'-' } else { b.is_ascii_digit() });
    let authority = naming.get(9..).unwrap_or_default();
    dated
        && naming.get(8..9) == Some(".")
        && !authority.is_empty()
        && authority.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
        && !unique.is_empty()
        && !unique.contains([',', ';', '*', '&', '$', '|'])
        && !unique.contains(char::is_whitespace)
}

fn is_digits(rest: &str, count: usize) -> bool {
    let digits = rest.get(1..).unwrap_or_default();
    digits.len() == count && digits.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn check_iscsi(source: &Value, of: Disks, path: &Path, errors: &mut Errors) {
    required(source, "targetPortal", path, errors);
    let problem = |name: &str| iqn_problem(name).map(|told| if of == Disks::OfPod { told } else { BAD_IQN });
    if required(source, "iqn", path, errors)
        && let Some(problem) = problem(source.text("iqn"))
    {
        errors.invalid(&path.child("iqn"), source.text("iqn"), problem);
    }
    in_range(source.int("lun").unwrap_or(0), (0, 255), &path.child("lun"), errors);
    let secured = source.flag("chapAuthDiscovery") || source.flag("chapAuthSession");
    if secured && !source.has("secretRef") {
        errors.required(&path.child("secretRef"), "");
    }
    if of == Disks::Persistent && source.has("secretRef") {
        let secret = source.field("secretRef").unwrap_or(&Value::Null);
        required(secret, "name", &path.child("secretRef"), errors);
    }
    if let Some(name) = source.field("initiatorName").and_then(Value::as_str)
        && let Some(problem) = problem(name)
    {
        errors.invalid(&path.child("initiatorname"), name, problem);
    }
}

fn check_flocker(source: &Value, path: &Path, errors: &mut Errors) {
    let (name, uuid) = (source.text("datasetName"), source.text("datasetUUID"));
    if name.is_empty() && uuid.is_empty() {
        errors.required(path, "one of datasetName and datasetUUID is required");
    }
    if !name.is_empty() && !uuid.is_empty() {
        errors.invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously");
    }
    if name.contains('/') {
        errors.invalid(&path.child("datasetName"), name, "must not contain '/'");
    }
}

fn check_quobyte(source: &Value, path: &Path, errors: &mut Errors) {
    let registry = source.text("registry");
    if registry.is_empty() {
        errors.required(&path.child("registry"), HOST_PORT);
    } else if source.text("tenant").len() >= 65 {
        let detail = "must be a UUID and may not exceed a length of 64 characters";
        errors.required(&path.child("tenant"), detail);
    } else {
        for _ in registry.split(',').filter(|pair| !pair.contains(':')) {
            errors.invalid(&path.child("registry"), registry, HOST_PORT);
        }
    }
    required(source, "volume", path, errors);
}

fn check_fc(source: &Value, path: &Path, errors: &mut Errors) {
    let (names, ids) = (source.items("targetWWNs"), source.items("wwids"));
    let at = path.child("targetWWNs");
    if names.is_empty() && ids.is_empty() {
        errors.required(&at, "must specify either targetWWNs or wwids, but not both");
    }
    if !names.is_empty() && !ids.is_empty() {
        let shown = Value::Array(names.to_vec());
        errors.invalid(&at, &shown, "targetWWNs and wwids can not be specified simultaneously");
    }
    if !names.is_empty() {
        match source.int("lun") {
            None => errors.required(&path.child("lun"), "lun is required if targetWWNs is specified"),
            Some(lun) => in_range(lun, (0, 255), &path.child("lun"), errors),
        }
    }
}

fn check_azure_disk(source: &Value, path: &Path, errors: &mut Errors) {
    const MANAGED: &str =
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
    const BLOB: &str = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
    required(source, "diskName", path, errors);
    required(source, "diskURI", path, errors);
    choice(source, "cachingMode", &["None", "ReadOnly", "ReadWrite"], path, errors);
    choice(source, "kind", &["Dedicated", "Managed", "Shared"], path, errors);
    let uri = source.text("diskURI");
    match source.text("kind") {
        "Managed" if !uri.starts_with("/subscriptions/") => {
            errors.unsupported(&path.child("diskURI"), uri, &[MANAGED]);
        }
        "Dedicated" | "Shared" if !uri.starts_with("https://") => {
            errors.unsupported(&path.child("diskURI"), uri, &[BLOB]);
        }
        _ => {}
    }
}

fn check_storageos(source: &Value, of: Disks, path: &Path, errors: &mut Errors) {
    if required(source, "volumeName", path, errors) {
        let name = source.text("volumeName");
        errors.problems(&path.child("volumeName"), name, names::label(name));
    }
    let namespace = source.text("volumeNamespace");
    if !namespace.is_empty() {
        errors.problems(&path.child("volumeNamespace"), namespace, names::label(namespace));
    }
    check_secret(source, of, path, errors);
}

/// The rules of the name of a driver.
pub(crate) fn check_driver(driver: &str, path: &Path, errors: &mut Errors) {
    if driver.is_empty() {
        errors.required(path, "");
        return;
    }
    if driver.len() > 63 {
        errors.too_long(path, 63);
    }
    errors.problems(path, driver, names::subdomain(&driver.to_lowercase()));
}

fn check_csi(source: &Value, of: Disks, path: &Path, errors: &mut Errors) {
    check_driver(source.text("driver"), &path.child("driver"), errors);
    if of == Disks::OfPod {
        if let Some(secret) = source.field("nodePublishSecretRef") {
            let path = path.child("nodePublishSecretRef");
            if required(secret, "name", &path, errors) {
                let name = secret.text("name");
                errors.problems(&path.child("name"), name, names::subdomain(name));
            }
        }
        return;
    }
    required(source, "volumeHandle", path, errors);
    let secrets = [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ];
    for name in secrets {
        let Some(secret) = source.field(name) else { continue };
        let path = path.child(name);
        for field in ["name", "namespace"] {
            if required(secret, field, &path, errors) {
                let rule = if field == "name" { names::subdomain } else { names::label };
                errors.problems(&path.child(field), secret.text(field), rule(secret.text(field)));
            }
        }
    }
}

/// The rules of a volume on the disk of one machine.
pub(crate) fn check_local(source: &Value, path: &Path, errors: &mut Errors) {
    if required(source, "path", path, errors) {
        check_no_backsteps(source.text("path"), &path.child("path"), errors);
    }
}

/// The rules of a volume made from a repository.
pub(super) fn check_git(source: &Value, path: &Path, errors: &mut Errors) {
    required(source, "repository", path, errors);
    check_local_path(source.text("directory"), &path.child("directory"), errors);
}

#[cfg(test)]
mod tests {
    use super::iqn_problem;
    use proptest::prelude::*;

    #[test]
    fn names_of_targets_have_a_date() {
        assert_eq!(iqn_problem("iqn.2001-04.com.example:storage.disk1"), None);
        assert_eq!(iqn_problem("eui.0123456789abcdef"), None);
        assert_eq!(iqn_problem("iqn.2001.com"), Some("must be valid format"));
        assert!(iqn_problem("bad").is_some_and(|problem| problem.contains("naa")));
    }

    proptest! {
        #[test]
        fn any_text_is_told_good_or_bad(text in "(iqn|eui|naa)?\\PC{0,40}") {
            let _ = iqn_problem(&text);
        }
    }
}
