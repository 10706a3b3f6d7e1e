//! Memory-backed volumes.

use std::ffi::CString;
use std::path::Path;

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod};
use rustix::mount::MountFlags;
use wherry_api::quantity::Quantity;

use super::VolumeError;
use super::mounted::is_other_file_system;
use crate::env::NodeFields;

/// Mounts a tmpfs of at most so many bytes at the directory, unless there is one.
pub(super) fn mount(dir: &Path, size: Option<u64>) -> Result<(), VolumeError> {
    if is_other_file_system(dir) {
        return Ok(());
    }
    let limit = size.map(|bytes| format!(",size={bytes}")).unwrap_or_default();
    let failed = |source| VolumeError::Tmpfs { path: dir.to_owned(), source };
    let options = CString::new(format!("mode=0777{limit}")).map_err(|error| failed(error.into()))?;
    rustix::mount::mount("tmpfs", dir, "tmpfs", MountFlags::NODEV | MountFlags::NOSUID, &*options)
        .map_err(|errno| failed(errno.into()))
}

/// The largest the volume may become: the least of its `sizeLimit`, of what the pod's containers may use together, and of
/// what pods may use of the node.
pub(super) fn size(
    pod: &Pod,
    source: &EmptyDirVolumeSource,
    node: &NodeFields,
) -> Result<Option<u64>, VolumeError> {
    let asked = source.size_limit.as_ref().map(|limit| limit.0.as_str());
    let of_node = node.allocatable.get("memory").map(String::as_str);
    let known = [asked, of_node].into_iter().flatten().map(bytes).collect::<Result<Vec<_>, _>>()?;
    Ok(known.into_iter().flatten().chain(memory_limit(pod)?).min())
}

/// The memory that the pod says it may use, else all its containers together; `None` if one of them has no limit.
fn memory_limit(pod: &Pod) -> Result<Option<u64>, VolumeError> {
    let own = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.limits.as_ref()?.get("memory"));
    if let Some(own) = own {
        return bytes(&own.0);
    }
    let mut sum = 0;
    for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
        let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        let Some(limit) = limits.and_then(|limits| limits.get("memory")) else { return Ok(None) };
        sum += bytes(&limit.0)?.unwrap_or_default();
    }
    Ok(Some(sum).filter(|sum| *sum > 0))
}

/// The number of bytes; `None` for zero, which limits nothing.
pub(super) fn bytes(quantity: &str) -> Result<Option<u64>, VolumeError> {
    let parsed: Quantity = quantity.parse().map_err(|_| VolumeError::Size(quantity.to_owned()))?;
    Ok(u64::try_from(parsed.value()).ok().filter(|bytes| *bytes > 0))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::asked(Some("1Mi"), [Some("64Mi"), Some("64Mi")], Some(1 << 20))]
    #[case::of_containers(Some("1Gi"), [Some("64Mi"), Some("64Mi")], Some(128 << 20))]
    #[case::one_without_limit(None, [Some("64Mi"), None], Some(2 << 30))]
    #[case::zero(Some("0"), [None, None], Some(2 << 30))]
    fn the_least_limit_counts(
        #[case] asked: Option<&str>,
        #[case] limits: [Option<&str>; 2],
        #[case] expected: Option<u64>,
    ) {
        let container = |limit: Option<&str>| match limit {
            Some(limit) => json!({ "name": "c", "resources": { "limits": { "memory": limit } } }),
            None => json!({ "name": "c" }),
        };
        let spec = json!({ "containers": limits.map(container) });
        let mut pod: Pod = serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap();
        let source = serde_json::from_value(json!({ "medium": "Memory", "sizeLimit": asked })).unwrap();
        let allocatable = BTreeMap::from([("memory".to_owned(), "2Gi".to_owned())]);
        let node = NodeFields { allocatable, ..NodeFields::default() };
        assert_eq!(size(&pod, &source, &node).unwrap(), expected);
        let own = json!({ "limits": { "memory": "32Mi" } });
        pod.spec.as_mut().unwrap().resources = serde_json::from_value(own).unwrap();
        assert_eq!(size(&pod, &source, &node).unwrap(), expected.map(|size| size.min(32 << 20)));
    }
}
