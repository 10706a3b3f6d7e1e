//! One term of a Pod's affinity to other Pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodAffinityTerm;
use k8s_openapi::apimachinery::pkg::apis::meta::v1;
use wherry_api::selector::{LabelRequirement, LabelSelector, Operator};

/// The labels of an object.
pub(crate) type Labels = BTreeMap<String, String>;

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PodTerm {
    /// Absent: selects nothing.
    selector: Option<LabelSelector>,
    namespaces: Vec<String>,
    /// Further namespaces, by their labels.
    namespace_selector: Option<LabelSelector>,
    pub(crate) topology_key: String,
}

impl PodTerm {
    /// Parses a term of a Pod in this namespace with these labels.
    pub(super) fn parse(term: &PodAffinityTerm, namespace: &str, labels: &Labels) -> Self {
        let mut selector = term.label_selector.as_ref().map(requirements).and_then(Result::ok);
        if let Some(selector) = &mut selector {
            merge(selector, term.match_label_keys.as_deref(), labels, |value| Operator::In(vec![value]));
            merge(selector, term.mismatch_label_keys.as_deref(), labels, |value| {
                Operator::NotIn(vec![value])
            });
        }
        let mut namespaces = term.namespaces.clone().unwrap_or_default();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.push(namespace.to_owned());
        }
        Self {
            selector: selector.map(LabelSelector::from_requirements),
            namespaces,
            namespace_selector: term.namespace_selector.as_ref().and_then(parse_selector),
            topology_key: term.topology_key.clone(),
        }
    }

    /// Whether the term speaks of Pods with these labels in this namespace, which has `of_namespace` as its labels.
    pub(crate) fn matches(&self, namespace: &str, labels: &Labels, of_namespace: Option<&Labels>) -> bool {
        let is_listed = self.namespaces.iter().any(|listed| listed == namespace);
        (is_listed || self.namespace_selector.as_ref().is_some_and(|selector| holds(selector, of_namespace)))
            && self.selector.as_ref().is_some_and(|selector| holds(selector, Some(labels)))
    }

    /// Whether labels of namespaces matter.
    pub(crate) fn asks_for_namespaces(&self) -> bool {
        self.namespace_selector.is_some()
    }
}

/// Whether labels satisfy a selector; what has no labels may still do so.
pub(crate) fn holds(selector: &LabelSelector, labels: Option<&Labels>) -> bool {
    selector.matches(|key| labels?.get(key).map(String::as_str))
}

/// Parses a selector; nothing if it is none.
pub(crate) fn parse_selector(selector: &v1::LabelSelector) -> Option<LabelSelector> {
    requirements(selector).ok().map(LabelSelector::from_requirements)
}

/// The clauses of a selector; the operator that nobody knows if there is one.
pub(super) fn requirements(selector: &v1::LabelSelector) -> Result<Vec<LabelRequirement>, String> {
    let mut clauses = Vec::new();
    for (key, value) in selector.match_labels.iter().flatten() {
        clauses.push(LabelRequirement { key: key.clone(), operator: Operator::In(vec![value.clone()]) });
    }
    for expression in selector.match_expressions.iter().flatten() {
        let values = expression.values.clone().unwrap_or_default();
        let operator = match expression.operator.as_str() {
            "In" => Operator::In(values),
            "NotIn" => Operator::NotIn(values),
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            other => return Err(other.to_owned()),
        };
        clauses.push(LabelRequirement { key: expression.key.clone(), operator });
    }
    Ok(clauses)
}

/// Adds a clause for each of the keys that is among the labels, unless it is there already.
pub(super) fn merge(
    clauses: &mut Vec<LabelRequirement>,
    keys: Option<&[String]>,
    labels: &Labels,
    operator: fn(String) -> Operator,
) {
    for key in keys.into_iter().flatten() {
        let Some(value) = labels.get(key) else { continue };
        let clause = LabelRequirement { key: key.clone(), operator: operator(value.clone()) };
        if !clauses.contains(&clause) {
            clauses.push(clause);
        }
    }
}
