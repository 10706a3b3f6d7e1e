//! Taints of nodes and the tolerations of Pods.

use std::cmp::Ordering;

use k8s_openapi::api::core::v1;

/// What a taint does to Pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Effect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

/// A node's wish to be left alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Taint {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) effect: Effect,
}

impl Taint {
    /// Parses a taint; one with an unknown effect has none.
    pub(crate) fn parse(taint: &v1::Taint) -> Option<Self> {
        let value = taint.value.clone().unwrap_or_default();
        Some(Self { key: taint.key.clone(), value, effect: effect(&taint.effect)? })
    }

    /// Whether it keeps Pods away, rather than only asking them to stay away.
    pub(crate) fn is_hard(&self) -> bool {
        self.effect != Effect::PreferNoSchedule
    }
}

/// How a toleration looks at a taint's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operator {
    Exists,
    Equal,
    Less,
    Greater,
    Unknown,
}

/// A Pod's readiness to bear taints.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Toleration {
    /// Absent: every key.
    key: Option<String>,
    operator: Operator,
    value: String,
    /// Absent: every effect.
    effect: Option<Effect>,
}

impl Toleration {
    /// Parses a toleration; one for an unknown effect tolerates nothing.
    pub(crate) fn parse(toleration: &v1::Toleration) -> Option<Self> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let operator = match toleration.operator.as_deref().unwrap_or_default() {
            "Exists" => Operator::Exists,
            "Equal" | "" => Operator::Equal,
            "Lt" => Operator::Less,
            "Gt" => Operator::Greater,
            _ => Operator::Unknown,
        };
        let effect = match given(&toleration.effect) {
            None => None,
            Some(text) => Some(effect(&text)?),
        };
        let value = toleration.value.clone().unwrap_or_default();
        Some(Self { key: given(&toleration.key), operator, value, effect })
    }

    /// Whether it speaks of taints with this effect.
    pub(crate) fn concerns(&self, effect: Effect) -> bool {
        self.effect.is_none_or(|own| own == effect)
    }

    /// Whether the toleration covers the taint.
    pub(crate) fn tolerates(&self, taint: &Taint) -> bool {
        if !self.concerns(taint.effect) || self.key.as_ref().is_some_and(|key| *key != taint.key) {
            return false;
        }
        match self.operator {
            Operator::Exists => true,
            Operator::Equal => self.key.is_some() && self.value == taint.value,
            Operator::Less => compare(&taint.value, &self.value).is_some_and(Ordering::is_lt),
            Operator::Greater => compare(&taint.value, &self.value).is_some_and(Ordering::is_gt),
            Operator::Unknown => false,
        }
    }
}

fn effect(text: &str) -> Option<Effect> {
    match text {
        "NoSchedule" => Some(Effect::NoSchedule),
        "PreferNoSchedule" => Some(Effect::PreferNoSchedule),
        "NoExecute" => Some(Effect::NoExecute),
        _ => None,
    }
}

fn compare(taint: &str, toleration: &str) -> Option<Ordering> {
    Some(taint.parse::<i64>().ok()?.cmp(&toleration.parse::<i64>().ok()?))
}
