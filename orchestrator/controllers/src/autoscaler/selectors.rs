//! Whose Pods are whose: the selectors of all autoscalers' targets, as they were last seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use wherry_api::selector::LabelSelector;

use crate::objects::meta::{Key, labels};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Selectors {
    known: BTreeMap<Key, LabelSelector>,
}

/// Why a selector chooses no Pods.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The reason of the event; it says the error.
    pub(super) event: &'static str,
    pub(super) error: String,
    /// The reason of the condition.
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Selectors {
    pub(super) fn forget(&mut self, key: &Key) {
        self.known.remove(key);
    }

    /// The Pods that the selector of an autoscaler's target finds, none of which may be another autoscaler's.
    pub(super) fn choose(
        &mut self,
        key: &Key,
        text: &str,
        find: impl Fn(&LabelSelector) -> Vec<Arc<Pod>>,
    ) -> Result<Vec<Arc<Pod>>, Refused> {
        if text.is_empty() {
            let (error, message) = (
                "selector is required".to_owned(),
                "the HPA target's scale is missing a selector".to_owned(),
            );
            return Err(Refused { event: "SelectorRequired", error, reason: "InvalidSelector", message });
        }
        let refused =
            |reason, error: String| Refused { event: reason, message: error.clone(), error, reason };
        let selector = LabelSelector::parse(text).map_err(|error| {
            let error =
                format!("couldn't convert selector into a corresponding internal selector object: {error}");
            refused("InvalidSelector", error)
        })?;
        let pods = find(&selector);
        self.known.insert(key.clone(), selector);
        let others = self.known.iter().filter(|(other, _)| other.namespace == key.namespace);
        let choosing =
            others.filter(|(_, other)| pods.iter().any(|pod| matches(other, labels(&pod.metadata))));
        let choosing: BTreeSet<_> =
            choosing.map(|(key, _)| format!("{}/{}", key.namespace, key.name)).collect();
        if choosing.len() > 1 {
            let all = choosing.into_iter().collect::<Vec<_>>().join(" ");
            let error = format!("pods by selector {text} are controlled by multiple HPAs: [{all}]");
            return Err(refused("AmbiguousSelector", error));
        }
        Ok(pods)
    }
}

/// Whether a selector finds an object of these labels.
pub(super) fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    selector.matches(|label| labels.get(label).map(String::as_str))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn choose(selectors: &mut Selectors, name: &str, text: &str) -> Result<usize, (&'static str, String)> {
        let pod = |app: &str| {
            let pod = json!({"metadata": {"name": app, "labels": {"app": app, "tier": "web"}}});
            Arc::new(serde_json::from_value::<Pod>(pod).unwrap())
        };
        let pods = [pod("a"), pod("b")];
        let find = |selector: &LabelSelector| {
            pods.iter().filter(|pod| matches(selector, labels(&pod.metadata))).cloned().collect()
        };
        let chosen = selectors.choose(&Key::new("n", name), text, find);
        chosen.map(|pods| pods.len()).map_err(|refused| (refused.event, refused.error))
    }

    #[test]
    fn pods_of_several_autoscalers_are_nobodys() {
        let mut selectors = Selectors::default();
        assert_eq!(choose(&mut selectors, "one", "app=a"), Ok(1));
        assert_eq!(choose(&mut selectors, "other", "app=b"), Ok(1));
        let both =
            "pods by selector tier=web are controlled by multiple HPAs: [n/all n/one n/other]".to_owned();
        assert_eq!(choose(&mut selectors, "all", "tier=web"), Err(("AmbiguousSelector", both)));
        let one = "pods by selector app=a are controlled by multiple HPAs: [n/all n/one]".to_owned();
        assert_eq!(choose(&mut selectors, "one", "app=a"), Err(("AmbiguousSelector", one)));
        selectors.forget(&Key::new("n", "all"));
        assert_eq!(choose(&mut selectors, "one", "app=a"), Ok(1));
    }

    #[test]
    fn a_target_needs_a_selector_that_can_be_understood() {
        let mut selectors = Selectors::default();
        let missing = choose(&mut selectors, "one", "").unwrap_err();
        assert_eq!(missing, ("SelectorRequired", "selector is required".to_owned()));
        let (event, error) = choose(&mut selectors, "one", "a in").unwrap_err();
        assert_eq!(event, "InvalidSelector");
        assert!(
            error.starts_with("couldn't convert selector into a corresponding internal selector object: ")
        );
    }
}
