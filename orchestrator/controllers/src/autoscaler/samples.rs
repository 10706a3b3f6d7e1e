//! What sources of metrics say, in thousandths.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use wherry_api::quantity;

/// What was measured of one Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// When the measurement ended.
    pub(super) at: Timestamp,
    /// How long it took.
    pub(super) window: SignedDuration,
    pub(super) milli: i64,
}

/// By the names of Pods.
pub(super) type Samples = BTreeMap<String, Sample>;

/// What a source said of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Measured {
    /// Of each Pod.
    Pods(Samples),
    /// Of one object, or of something outside the cluster.
    Whole(i64),
}

/// A quantity in thousandths, rounded up; what is none counts as nothing.
pub(super) fn milli(quantity: &Quantity) -> i64 {
    let parsed = quantity.0.parse::<quantity::Quantity>().unwrap_or_default();
    let most = i128::from(i64::MAX);
    i64::try_from(parsed.as_milli().clamp(-most, most)).expect("it was clamped")
}

/// Thousandths as a quantity.
pub(super) fn quantity(milli: i64) -> Quantity {
    Quantity(quantity::Quantity::from_milli(milli).to_string())
}
