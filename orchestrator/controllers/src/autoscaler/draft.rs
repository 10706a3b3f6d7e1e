//! The status that is to be written, and the events to be told, as they come together.

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerStatus, MetricStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::runtime::recorder::Severity;

pub(super) const ABLE_TO_SCALE: &str = "AbleToScale";
pub(super) const SCALING_ACTIVE: &str = "ScalingActive";
pub(super) const SCALING_LIMITED: &str = "ScalingLimited";

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) status: HorizontalPodAutoscalerStatus,
    pub(super) events: Vec<(Severity, &'static str, String)>,
    now: Timestamp,
}

impl Draft {
    /// The status as it is.
    pub(super) fn of(autoscaler: &HorizontalPodAutoscaler, now: Timestamp) -> Self {
        Self { status: autoscaler.status.clone().unwrap_or_default(), events: Vec::new(), now }
    }

    pub(super) fn tell(&mut self, severity: Severity, reason: &'static str, message: impl Into<String>) {
        self.events.push((severity, reason, message.into()));
    }

    pub(super) fn warn(&mut self, reason: &'static str, message: impl Into<String>) {
        self.tell(Severity::Warning, reason, message);
    }

    /// Sets a condition; its time is that of the last change between true and false.
    pub(super) fn set(&mut self, type_: &str, is: bool, reason: &str, message: impl Into<String>) {
        let conditions = self.status.conditions.get_or_insert_default();
        let at = conditions.iter().position(|condition| condition.type_ == type_).unwrap_or_else(|| {
            let type_ = type_.to_owned();
            conditions.push(HorizontalPodAutoscalerCondition { type_, ..Default::default() });
            conditions.len() - 1
        });
        let condition = &mut conditions[at];
        let status = if is { "True" } else { "False" };
        if condition.status != status {
            condition.last_transition_time = Some(Time(self.now));
        }
        status.clone_into(&mut condition.status);
        condition.reason = Some(reason.to_owned());
        condition.message = Some(message.into());
    }

    /// Sets what was counted and measured. What is desired stays where nothing is said of it.
    pub(super) fn count(&mut self, current: i32, desired: Option<i32>, metrics: Option<Vec<MetricStatus>>) {
        self.status.current_replicas = Some(current);
        self.status.desired_replicas = desired.unwrap_or(self.status.desired_replicas);
        self.status.current_metrics = metrics;
        self.status.observed_generation = None;
    }

    /// Notes that the target was scaled now.
    pub(super) fn scaled(&mut self) {
        self.status.last_scale_time = Some(Time(self.now));
    }
}
