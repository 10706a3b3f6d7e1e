//! Which objects a quota is about.

use super::read::{at, items, string, text};
use crate::data::Data;

/// One condition on objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// What is looked at.
    pub name: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub values: Vec<String>,
}

/// How a scope compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// It is one of the values.
    In,
    /// It is none of the values, or there is none.
    NotIn,
    /// There is one.
    Exists,
    /// There is none.
    DoesNotExist,
}

impl Operator {
    fn parse(text: &str) -> Self {
        match text {
            "In" => Self::In,
            "NotIn" => Self::NotIn,
            "DoesNotExist" => Self::DoesNotExist,
            _ => Self::Exists,
        }
    }
}

impl Scope {
    /// All scopes of a ResourceQuota.
    pub(super) fn all(quota: &dyn Data) -> Vec<Self> {
        let plain = items(quota, "spec.scopes").map(|scope| Self {
            name: string(scope).to_owned(),
            operator: Operator::Exists,
            values: Vec::new(),
        });
        let selected = items(quota, "spec.scopeSelector.matchExpressions").map(|expression| Self {
            name: text(expression, "scopeName").to_owned(),
            operator: Operator::parse(text(expression, "operator")),
            values: items(expression, "values").map(|value| string(value).to_owned()).collect(),
        });
        plain.chain(selected).collect()
    }

    /// Whether the condition holds of an object that has these names; empty ones count for nothing.
    pub(super) fn holds_of(&self, names: &[&str]) -> bool {
        let mut names = names.iter().filter(|name| !name.is_empty()).peekable();
        let absent = names.peek().is_none();
        let known = |name: &str| self.values.iter().any(|value| value == name);
        match self.operator {
            Operator::Exists => !absent,
            Operator::DoesNotExist => absent,
            Operator::In => names.any(|name| known(name)),
            Operator::NotIn => absent || names.any(|name| !known(name)),
        }
    }
}

/// Whether a Pod looks for others beyond its own namespace.
pub(super) fn crosses_namespaces(pod: &dyn Data) -> bool {
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let list = |rule: &str| format!("spec.affinity.{kind}.{rule}DuringSchedulingIgnoredDuringExecution");
        items(pod, &list("required")).any(crosses)
            || items(pod, &list("preferred")).any(|term| at(term, "podAffinityTerm").is_some_and(crosses))
    })
}

fn crosses(term: &dyn Data) -> bool {
    items(term, "namespaces").next().is_some() || at(term, "namespaceSelector").is_some()
}
