//! Finalizers that keep storage while it is used: a claim that a Pod mounts, a volume that is bound, a class of attributes
//! that a claim or volume names.
//!
//! Guarantees: what is not being deleted has its finalizer. It is taken off something that is being deleted only when
//! nobody uses it; of Pods, which appear while a cache lags, the server is asked.

mod attributes;
mod claims;
mod volumes;

pub(crate) use attributes::AttributesProtectionController;
pub(crate) use claims::ClaimProtectionController;
pub(crate) use volumes::VolumeProtectionController;

use kube::api::ObjectMeta;

use super::facts::{has_finalizer, is_going};

/// Whether the object's finalizer is not as it should be, unless somebody uses it.
fn is_candidate(meta: &ObjectMeta, finalizer: &str) -> bool {
    is_going(meta) == has_finalizer(meta, finalizer)
}

/// The finalizers the object should have, if they are not those it has.
fn finalizers(meta: &ObjectMeta, finalizer: &str, is_used: bool) -> Option<Vec<String>> {
    let mut finalizers = meta.finalizers.clone().unwrap_or_default();
    match (is_going(meta), has_finalizer(meta, finalizer)) {
        (true, true) if !is_used => finalizers.retain(|one| one != finalizer),
        (false, false) => finalizers.push(finalizer.to_owned()),
        _ => return None,
    }
    Some(finalizers)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::unprotected(false, &["x"], false, Some(&["x", "p"][..]))]
    #[case::protected(false, &["p"], false, None)]
    #[case::used(true, &["p"], true, None)]
    #[case::unused(true, &["x", "p"], false, Some(&["x"][..]))]
    #[case::going_without(true, &["x"], false, None)]
    fn finalizers_follow_use(
        #[case] going: bool,
        #[case] has: &[&str],
        #[case] used: bool,
        #[case] wanted: Option<&[&str]>,
    ) {
        let meta = json!({ "deletionTimestamp": going.then_some("2026-01-01T00:00:00Z"), "finalizers": has });
        let found = finalizers(&serde_json::from_value(meta).unwrap(), "p", used);
        let wanted = wanted.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(found, wanted);
    }
}
