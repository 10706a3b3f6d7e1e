//! How HorizontalPodAutoscalers are followed.

use std::time::Duration;

/// Settings of the controller, under the names of kube-controller-manager's flags `--horizontal-pod-autoscaler-…`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Autoscaling {
    /// How long to wait between two looks at an autoscaler.
    pub sync_period: Duration,
    /// For how long the highest recommendation counts where an autoscaler does not say.
    pub downscale_stabilization: Duration,
    /// How far a metric may be from its target, as a part of it.
    pub tolerance: f64,
    /// For how long after its start a Pod's use of processors may be that of its start.
    pub cpu_initialization_period: Duration,
    /// Within what time after its start a Pod that is not ready never was.
    pub initial_readiness_delay: Duration,
}

impl Default for Autoscaling {
    fn default() -> Self {
        Self {
            sync_period: Duration::from_secs(15),
            downscale_stabilization: Duration::from_mins(5),
            tolerance: 0.1,
            cpu_initialization_period: Duration::from_mins(5),
            initial_readiness_delay: Duration::from_secs(30),
        }
    }
}
