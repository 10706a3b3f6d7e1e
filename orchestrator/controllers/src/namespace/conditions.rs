//! The conditions of a Namespace that is being deleted, with upstream's reasons and messages.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::NamespaceCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::content::Remaining;

/// The conditions to be written; one whose status and message stand keeps its time.
pub(super) fn conditions(
    before: Option<&[NamespaceCondition]>,
    remaining: &Remaining,
    now: Timestamp,
) -> Vec<NamespaceCondition> {
    let before = before.unwrap_or_default();
    wanted(remaining)
        .into_iter()
        .map(|(type_, is_true, reason, message)| {
            let status = if is_true { "True" } else { "False" };
            let old = before.iter().find(|old| old.type_ == type_ && old.status == status);
            NamespaceCondition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: Some(reason.to_owned()),
                message: Some(message),
                last_transition_time: old
                    .and_then(|old| old.last_transition_time.clone())
                    .or(Some(Time(now))),
            }
        })
        .collect()
}

fn wanted(remaining: &Remaining) -> [(&'static str, bool, &'static str, String); 5] {
    let failures = remaining.failures.join(", ");
    let content_failure = if remaining.failures.is_empty() {
        let message = "All content successfully deleted, may be waiting on finalization".to_owned();
        ("NamespaceDeletionContentFailure", false, "ContentDeleted", message)
    } else {
        let message = format!(
            "Failed to delete all resource types, {} remaining: {failures}",
            remaining.failures.len()
        );
        ("NamespaceDeletionContentFailure", true, "ContentDeletionFailed", message)
    };
    let content = if remaining.objects.is_empty() {
        let message = "All content successfully removed".to_owned();
        ("NamespaceContentRemaining", false, "ContentRemoved", message)
    } else {
        let left = counted(&remaining.objects, "has", "resource instances");
        (
            "NamespaceContentRemaining",
            true,
            "SomeResourcesRemain",
            format!("Some resources are remaining: {left}"),
        )
    };
    let finalizers = if remaining.finalizers.is_empty() {
        let message = "All content-preserving finalizers finished".to_owned();
        ("NamespaceFinalizersRemaining", false, "ContentHasNoFinalizers", message)
    } else {
        let left = counted(&remaining.finalizers, "in", "resource instances");
        let message = format!("Some content in the namespace has finalizers remaining: {left}");
        ("NamespaceFinalizersRemaining", true, "SomeFinalizersRemain", message)
    };
    let parsed = "All legacy kube types successfully parsed".to_owned();
    [
        discovery(&remaining.stale),
        ("NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions", parsed),
        content_failure,
        content,
        finalizers,
    ]
}

fn discovery(stale: &[String]) -> (&'static str, bool, &'static str, String) {
    const TYPE: &str = "NamespaceDeletionDiscoveryFailure";
    if stale.is_empty() {
        return (TYPE, false, "ResourcesDiscovered", "All resources successfully discovered".to_owned());
    }
    let each: Vec<_> =
        stale.iter().map(|version| format!("{version}: stale GroupVersion discovery: {version}")).collect();
    let message = format!(
        "Discovery failed for some groups, {} failing: unable to retrieve the complete list of server APIs: {}",
        stale.len(),
        each.join(", ")
    );
    (TYPE, true, "DiscoveryFailed", message)
}

fn counted(counts: &BTreeMap<String, usize>, verb: &str, noun: &str) -> String {
    let texts: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {verb} {count} {noun}")).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_remains_and_keeps_the_time_of_what_stands() {
        let remaining = Remaining {
            objects: BTreeMap::from([("pods.".to_owned(), 2)]),
            finalizers: BTreeMap::from([("example.com/hold".to_owned(), 1)]),
            failures: Vec::new(),
            stale: vec!["example.com/v1".to_owned()],
        };
        let first = conditions(None, &remaining, Timestamp::UNIX_EPOCH);
        let later = Timestamp::from_second(60).unwrap();
        assert_eq!(conditions(Some(&first), &remaining, later), first);
        let messages: Vec<_> = first.iter().map(|condition| condition.message.clone().unwrap()).collect();
        assert_eq!(
            (first[0].status.as_str(), &*messages[0]),
            (
                "True",
                "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: \
                 example.com/v1: stale GroupVersion discovery: example.com/v1"
            )
        );
        assert_eq!(messages[3], "Some resources are remaining: pods. has 2 resource instances");
        assert_eq!(
            messages[4],
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
        );
        let done = conditions(Some(&first), &Remaining::default(), later);
        assert_eq!(
            (done[3].status.as_str(), done[3].last_transition_time.clone()),
            ("False", Some(Time(later)))
        );
    }
}
