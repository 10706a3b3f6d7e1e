//! Lifecycle hooks: what happens once a container has started, and before it is stopped.
//!
//! # Guarantees
//! - A container counts as started when its `postStart` hook is done. If the hook fails, the container is stopped.
//! - `preStop` takes from the grace period; the program still gets a moment of its own.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};
use tracing::info;

use super::launch::Order;
use super::plan::termination_grace;
use super::specs::{field_path, find_container};
use crate::commands::Commands;
use crate::context::{Context, chain};
use crate::events::{Happening, Severity};
use crate::probes::{Place, parse_http};

/// The least a container gets to end after its hook.
const LEFT_AT_LEAST: Duration = Duration::from_secs(2);

/// Runs the hook of a container that was just started, and stops the container if the hook fails.
pub(super) async fn post_start(ctx: &Context, order: &Order, place: &Place) {
    let Some(container) = find_container(&order.pod, &order.container) else { return };
    let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
    let Some(hook) = hook else { return };
    // The end of the pod is the end of the hook: the container is stopped like any other.
    let Some(Err(reason)) = order.ending.run_until_cancelled(run(place, &container, hook)).await else {
        return;
    };
    let id = place.commands.container();
    info!(container = %id, reason, "a postStart hook failed");
    let tell = |severity, reason, message: &str| {
        let field_path = field_path(&order.pod, &id.name);
        ctx.events.pod(&order.pod, Happening { field_path, severity, reason, message: message.to_owned() });
    };
    tell(Severity::Warning, "FailedPostStartHook", "PostStartHook failed");
    tell(Severity::Normal, "Killing", "FailedPostStartHook");
    let grace = Duration::from_secs(u64::try_from(termination_grace(&order.pod)).unwrap_or(0));
    let grace = pre_stop(ctx, &order.pod, place.commands.clone(), grace).await;
    let stopped = ctx.runtimes.get(order.image.handler).stop(id, grace).await;
    if let Err(error) = stopped {
        tracing::warn!(container = %id, error = %chain(&error), "cannot stop container");
    }
}

/// Runs the container's hook within its grace; returns what is left of the grace.
pub(super) async fn pre_stop(ctx: &Context, pod: &Pod, commands: Commands, grace: Duration) -> Duration {
    let name = commands.container().name.clone();
    let container = find_container(pod, &name);
    let lifecycle = container.as_ref().and_then(|container| container.lifecycle.as_ref());
    let hook = lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    let (Some(container), Some(hook), false) = (&container, hook, grace.is_zero()) else { return grace };
    let began = ctx.clock.now();
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).and_then(|ip| ip.parse().ok());
    let ran = async {
        let ip = ip.ok_or("the pod has no address")?;
        run(&Place { ip, commands, listening: ctx.in_process.listening.clone() }, container, hook).await
    };
    match tokio::time::timeout(grace, ran).await {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => {
            info!(container = name, reason, "a preStop hook failed");
            let (field_path, message) = (field_path(pod, &name), "PreStopHook failed".to_owned());
            let (severity, reason) = (Severity::Warning, "FailedPreStopHook");
            ctx.events.pod(pod, Happening { field_path, severity, reason, message });
        }
        Err(_) => info!(container = name, "a preStop hook was not done within the grace period"),
    }
    let spent = ctx.clock.now().duration_since(began).unsigned_abs();
    grace.saturating_sub(spent).max(LEFT_AT_LEAST.min(grace))
}

async fn run(place: &Place, container: &Container, hook: &LifecycleHandler) -> Result<(), String> {
    if let Some(exec) = &hook.exec {
        let outcome = place.commands.run(exec.command.as_deref().unwrap_or_default()).await;
        let outcome = outcome.map_err(|error| chain(&error))?;
        let failed = || format!("exit code {}: {}", outcome.code, outcome.output);
        return if outcome.code == 0 { Ok(()) } else { Err(failed()) };
    }
    if let Some(http) = &hook.http_get {
        let request = parse_http(container, http, "Hook").map_err(|error| error.to_string())?;
        return request.call(place).await;
    }
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    Err("the hook is neither exec, httpGet nor sleep".to_owned())
}
