//! One term of a node selector: what a node's labels and its name must be.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};
use wherry_api::selector::{LabelRequirement, LabelSelector, Operator};

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NodeTerm {
    pub(crate) labels: LabelSelector,
    /// Requirements of `metadata.name`.
    pub(crate) names: Vec<NameRequirement>,
}

/// A requirement of a node's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NameRequirement {
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl NodeTerm {
    /// Parses a term; nothing if it matches no node: one that asks for nothing, or for what nobody understands.
    pub(crate) fn parse(term: &NodeSelectorTerm) -> Option<Self> {
        let expressions = term.match_expressions.as_deref().unwrap_or_default();
        let fields = term.match_fields.as_deref().unwrap_or_default();
        if expressions.is_empty() && fields.is_empty() {
            return None;
        }
        let labels = expressions.iter().map(requirement).collect::<Option<Vec<_>>>()?;
        let names = fields.iter().map(name_requirement).collect::<Option<Vec<_>>>()?;
        Some(Self { labels: LabelSelector::from_requirements(labels), names })
    }

    /// Whether a node of this name may match.
    pub(crate) fn admits(&self, name: &str) -> bool {
        self.names.iter().all(|requirement| match requirement {
            NameRequirement::In(names) => names.iter().any(|listed| listed == name),
            NameRequirement::NotIn(names) => names.iter().all(|listed| listed != name),
        })
    }

    /// The only names that may match; nothing if any may.
    pub(crate) fn names(&self) -> Option<BTreeSet<&str>> {
        let lists = self.names.iter().filter_map(|requirement| match requirement {
            NameRequirement::In(names) => Some(names.iter().map(String::as_str).collect::<BTreeSet<_>>()),
            NameRequirement::NotIn(_) => None,
        });
        lists.reduce(|both, list| both.intersection(&list).copied().collect())
    }
}

fn requirement(requirement: &NodeSelectorRequirement) -> Option<LabelRequirement> {
    let values = requirement.values.clone().unwrap_or_default();
    let number = || values.first()?.parse::<i64>().ok();
    let operator = match requirement.operator.as_str() {
        "In" => Operator::In(values),
        "NotIn" => Operator::NotIn(values),
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan(number()?),
        "Lt" => Operator::LessThan(number()?),
        _ => return None,
    };
    Some(LabelRequirement { key: requirement.key.clone(), operator })
}

fn name_requirement(requirement: &NodeSelectorRequirement) -> Option<NameRequirement> {
    let values = requirement.values.clone().unwrap_or_default();
    match (requirement.key.as_str(), requirement.operator.as_str()) {
        ("metadata.name", "In") => Some(NameRequirement::In(values)),
        ("metadata.name", "NotIn") => Some(NameRequirement::NotIn(values)),
        _ => None,
    }
}
