//! `lifecycle.preStop`: what happens before a container is stopped.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod, Probe};

use super::jobs::{field_path, find_container};
use crate::context::Context;
use crate::events::{Happening, Severity};
use crate::probes::{Probe as Parsed, ProbeKind};

/// The least a container gets to end after its hook.
const LEFT_AT_LEAST: Duration = Duration::from_secs(2);

/// Runs the container's hook within its grace; returns what is left of the grace.
pub(super) async fn pre_stop(ctx: &Context, pod: &Pod, name: &str, grace: Duration) -> Duration {
    let container = find_container(pod, name);
    let hook = container.and_then(|c| c.lifecycle.as_ref()).and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    let (Some(container), Some(hook), false) = (container, hook, grace.is_zero()) else { return grace };
    let began = ctx.clock.now();
    let result = match tokio::time::timeout(grace, run(pod, container, hook)).await {
        Ok(result) => result,
        Err(_) => Err("it did not end within the pod's termination grace period".to_owned()),
    };
    if let Err(reason) = result {
        let message = format!("PreStopHook failed: {reason}");
        let field_path = field_path(pod, name);
        let happening =
            Happening { field_path, severity: Severity::Warning, reason: "FailedPreStopHook", message };
        ctx.events.pod(pod, happening);
    }
    let spent = ctx.clock.now().duration_since(began).unsigned_abs();
    grace.saturating_sub(spent).max(LEFT_AT_LEAST.min(grace))
}

async fn run(pod: &Pod, container: &Container, hook: &LifecycleHandler) -> Result<(), String> {
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    // A hook's request is that of a probe.
    let request =
        Probe { http_get: hook.http_get.clone(), tcp_socket: hook.tcp_socket.clone(), ..Probe::default() };
    let stand_in = Container { liveness_probe: Some(request), ..container.clone() };
    let parsed = Parsed::parse(&stand_in, ProbeKind::Liveness).map_err(|error| error.to_string())?;
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
    let ip: Option<IpAddr> = ip.and_then(|ip| ip.parse().ok());
    match (parsed, ip) {
        (Some(probe), Some(ip)) => probe.check.run(ip, Duration::from_secs(30)).await,
        _ => Err("the pod has no address".to_owned()),
    }
}
