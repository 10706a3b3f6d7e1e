//! Huge pages: what Pods ask for, and which pages a volume of theirs is made of.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use wherry_api::quantity::Quantity;
use wherry_runtime_api::huge_pages::HugePages;

use crate::pods::at_once;

/// The resources of huge pages begin with it, and go on with the size of a page.
const RESOURCE: &str = "hugepages-";
/// The media of volumes of huge pages begin with it; a size may follow.
const MEDIUM: &str = "HugePages";

/// A volume of huge pages that nothing can be made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MediumError {
    /// The medium names no size.
    #[error("medium {0:?} is none: name HugePages, or a size of pages as HugePages-2Mi")]
    Unknown(String),
    /// Nothing of the Pod may have such pages.
    #[error(
        "medium {0}: no container of the Pod asks for huge pages of this size: add them to its resources"
    )]
    NotAsked(String),
    /// It could be any of them.
    #[error(
        "medium HugePages cannot be used where containers ask for several sizes of pages: name the size, as HugePages-2Mi"
    )]
    SeveralSizes,
}

/// The resource of pages of this size.
pub(crate) fn resource(size: u64) -> String {
    format!("{RESOURCE}{}", amount(size))
}

/// Bytes, as quantities are written.
pub(crate) fn amount(bytes: u64) -> Quantity {
    Quantity::from_bytes(i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// What a container may have: what it says, and the Pod's where it says nothing.
pub(crate) fn of_container(
    own: Option<&ResourceRequirements>,
    of_pod: Option<&ResourceRequirements>,
) -> HugePages {
    let mut all = of_pod.map(limits).unwrap_or_default();
    all.extend(own.map(limits).unwrap_or_default());
    all
}

/// What the containers of a Pod may have together: what it says of itself, and else what they may have at the worst moment.
pub(crate) fn of_pod(pod: &Pod) -> HugePages {
    let of = |container: &Container| container.resources.as_ref().map(limits).unwrap_or_default();
    let sizes: BTreeSet<u64> = containers(pod).flat_map(|container| of(container).into_keys()).collect();
    let most = |size: u64| at_once(pod, |container| Some(of(container).get(&size).copied().unwrap_or(0)));
    let mut all: HugePages = sizes.into_iter().filter_map(|size| Some((size, most(size)?))).collect();
    all.extend(own(pod).map(limits).unwrap_or_default());
    all
}

/// The size of the pages of a volume of this medium.
pub(crate) fn page_size(medium: &str, pod: &Pod) -> Result<u64, MediumError> {
    let asked =
        containers(pod).filter_map(|container| container.resources.as_ref()).chain(own(pod)).flat_map(limits);
    let asked: BTreeSet<u64> = asked.filter(|(_, bytes)| *bytes > 0).map(|(size, _)| size).collect();
    let unknown = || MediumError::Unknown(medium.to_owned());
    let size = match medium.strip_prefix(MEDIUM).ok_or_else(unknown)? {
        "" if asked.len() > 1 => return Err(MediumError::SeveralSizes),
        "" => asked.first().copied(),
        named => {
            let size = bytes(named.strip_prefix('-').ok_or_else(unknown)?).ok_or_else(unknown)?;
            asked.contains(&size).then_some(size)
        }
    };
    size.ok_or_else(|| MediumError::NotAsked(medium.to_owned()))
}

fn own(pod: &Pod) -> Option<&ResourceRequirements> {
    pod.spec.as_ref()?.resources.as_ref()
}

fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
}

/// Requests of huge pages are equal to their limits.
fn limits(resources: &ResourceRequirements) -> HugePages {
    let all = resources.limits.iter().flatten();
    all.filter_map(|(name, limit)| Some((bytes(name.strip_prefix(RESOURCE)?)?, bytes(&limit.0)?))).collect()
}

fn bytes(quantity: &str) -> Option<u64> {
    u64::try_from(quantity.parse::<Quantity>().ok()?.value()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap()
    }

    fn container(limits: Value) -> Value {
        json!({ "name": "c", "resources": { "limits": limits } })
    }

    #[test]
    fn resources_are_named_by_size() {
        assert_eq!(
            [2 * MIB, 1 << 30, 64 << 10].map(resource),
            ["hugepages-2Mi", "hugepages-1Gi", "hugepages-64Ki"]
        );
    }

    #[test]
    fn a_pod_may_have_what_its_containers_have_at_once_or_what_it_says() {
        let (small, large) =
            (json!({ "hugepages-2Mi": "4Mi" }), json!({ "hugepages-2Mi": "6Mi", "hugepages-1Gi": "1Gi" }));
        let spec = json!({ "containers": [container(small.clone()), container(small.clone())], "initContainers": [container(large)] });
        assert_eq!(of_pod(&pod(spec)), HugePages::from([(2 * MIB, 8 * MIB), (1 << 30, 1 << 30)]));
        let whole = json!({ "limits": { "hugepages-2Mi": "10Mi", "cpu": "1" } });
        let whole_pod = pod(json!({ "containers": [container(small), { "name": "d" }], "resources": whole }));
        assert_eq!(of_pod(&whole_pod), HugePages::from([(2 * MIB, 10 * MIB)]));
        let whole = own(&whole_pod);
        let of = |index: usize| {
            of_container(whole_pod.spec.as_ref().unwrap().containers[index].resources.as_ref(), whole)
        };
        assert_eq!([of(0), of(1)].map(|pages| pages[&(2 * MIB)]), [4 * MIB, 10 * MIB]);
    }

    #[rstest]
    #[case::the_only_one("HugePages", json!({ "hugepages-2Mi": "4Mi" }), Ok(2 * MIB))]
    #[case::the_named_one("HugePages-1Gi", json!({ "hugepages-2Mi": "4Mi", "hugepages-1Gi": "1Gi" }), Ok(1 << 30))]
    #[case::written_otherwise("HugePages-2048Ki", json!({ "hugepages-2Mi": "4Mi" }), Ok(2 * MIB))]
    #[case::any_of_two("HugePages", json!({ "hugepages-2Mi": "4Mi", "hugepages-1Gi": "1Gi" }), Err("several sizes"))]
    #[case::none("HugePages", json!({ "memory": "4Mi" }), Err("no container of the Pod asks"))]
    #[case::another("HugePages-1Gi", json!({ "hugepages-2Mi": "4Mi" }), Err("medium HugePages-1Gi: no container"))]
    #[case::nothing_of_it("HugePages-2Mi", json!({ "hugepages-2Mi": "0" }), Err("no container of the Pod asks"))]
    #[case::no_size("HugePages-many", json!({ "hugepages-2Mi": "4Mi" }), Err("\"HugePages-many\" is none"))]
    #[case::no_medium("Disk", json!({}), Err("\"Disk\" is none"))]
    fn the_pages_of_a_volume_are_those_that_are_asked_for(
        #[case] medium: &str,
        #[case] limits: Value,
        #[case] expected: Result<u64, &str>,
    ) {
        let found = page_size(medium, &pod(json!({ "containers": [container(limits)] })));
        match (found, expected) {
            (Ok(size), Ok(expected)) => assert_eq!(size, expected),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (found, _) => panic!("{found:?}"),
        }
    }

    proptest! {
        #[test]
        fn any_medium_is_a_size_that_is_asked_for_or_refused(medium in "(HugePages)?-?[0-9.]{0,25}[KMGTPEi]{0,2}") {
            let pod = pod(json!({ "containers": [container(json!({ "hugepages-2Mi": "4Mi" }))] }));
            if let Ok(size) = page_size(&medium, &pod) {
                prop_assert_eq!(size, 2 * MIB);
            }
        }
    }
}
