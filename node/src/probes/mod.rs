//! Probes: whether a container has started, is ready, is alive.
//!
//! # Flow
//! One task per probe of a running container: wait `initialDelaySeconds`, look, tell the worker when the verdict
//! changes, wait `periodSeconds`, look again. Readiness and liveness begin when the startup probe has succeeded.
//!
//! # Guarantees
//! - A verdict is told once per change; every failed look tells an `Unhealthy` happening.
//! - Until a container is first found started or ready it is looked at more often than its period says, beginning
//!   at once. Such an additional look can only succeed: its failure is neither told nor counted. A container that
//!   is ready within milliseconds is seen to be ready within milliseconds.

mod check;
mod grpc;
mod tally;
mod task;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{self as core, Container};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

pub(crate) use check::{Check, HttpCheck, Miss, Place};
use grpc::GrpcCheck;
pub(crate) use tally::{Tallies, Tally};
pub(crate) use task::{Finding, Target, watch};

/// What a probe decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ProbeKind {
    /// Whether the container has started.
    Startup,
    /// Whether it serves.
    Readiness,
    /// Whether it is to be restarted.
    Liveness,
}

impl ProbeKind {
    /// All kinds.
    pub(crate) const ALL: [Self; 3] = [Self::Startup, Self::Readiness, Self::Liveness];

    /// The word that begins an event's message.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }

    /// The container's probe of this kind.
    pub(crate) fn of(self, container: &Container) -> Option<&core::Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
        }
    }
}

/// A probe this node cannot carry out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProbeError {
    /// It looks at nothing.
    #[error("{kind} probe of container {container:?}: it has neither exec, httpGet, tcpSocket nor grpc")]
    Empty {
        /// Which probe.
        kind: &'static str,
        /// The container.
        container: String,
    },
    /// The port does not exist.
    #[error("{kind} probe of container {container:?}: it has no port {port:?}")]
    Port {
        /// Which probe.
        kind: &'static str,
        /// The container.
        container: String,
        /// The port as it was named.
        port: String,
    },
    /// The host is no address.
    #[error("{kind} probe of container {container:?}: host {host:?} is not an IP address")]
    Host {
        /// Which probe.
        kind: &'static str,
        /// The container.
        container: String,
        /// The host as it was named.
        host: String,
    },
}

/// A probe, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    /// What it decides.
    pub(crate) kind: ProbeKind,
    /// What it looks at.
    pub(crate) check: Check,
    /// From the container's start to the first look.
    pub(crate) initial_delay: Duration,
    /// Between looks.
    pub(crate) period: Duration,
    /// How long a look may take.
    pub(crate) timeout: Duration,
    /// Successes in a row that make a success.
    pub(crate) success_threshold: u32,
    /// Failures in a row that make a failure.
    pub(crate) failure_threshold: u32,
}

impl Probe {
    /// The container's probe of this kind, if it has one.
    pub(crate) fn parse(container: &Container, kind: ProbeKind) -> Result<Option<Self>, ProbeError> {
        let Some(probe) = kind.of(container) else { return Ok(None) };
        let seconds = |value: Option<i32>, default: u64| {
            Duration::from_secs(value.and_then(|v| u64::try_from(v).ok()).unwrap_or(default))
        };
        let count = |value: Option<i32>, default: u32| {
            value.and_then(|v| u32::try_from(v).ok()).unwrap_or(default).max(1)
        };
        Ok(Some(Self {
            kind,
            check: parse_check(container, probe, kind)?,
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10).max(Duration::from_secs(1)),
            timeout: seconds(probe.timeout_seconds, 1).max(Duration::from_secs(1)),
            success_threshold: count(probe.success_threshold, 1),
            failure_threshold: count(probe.failure_threshold, 3),
        }))
    }
}

fn parse_check(container: &Container, probe: &core::Probe, kind: ProbeKind) -> Result<Check, ProbeError> {
    if let Some(exec) = &probe.exec {
        return Ok(Check::Exec(exec.command.clone().unwrap_or_default()));
    }
    if let Some(http) = &probe.http_get {
        return parse_http(container, http, kind.title()).map(Check::Http);
    }
    let context = Context { container, kind: kind.title() };
    if let Some(tcp) = &probe.tcp_socket {
        return Ok(Check::Tcp { host: context.host(tcp.host.as_deref())?, port: context.port(&tcp.port)? });
    }
    if let Some(grpc) = &probe.grpc {
        let port = context.port(&IntOrString::Int(grpc.port))?;
        return Ok(Check::Grpc(GrpcCheck { port, service: grpc.service.clone().unwrap_or_default() }));
    }
    Err(ProbeError::Empty { kind: kind.title(), container: container.name.clone() })
}

/// The request of a probe or a hook; `kind` is what an error calls it.
pub(crate) fn parse_http(
    container: &Container,
    http: &core::HTTPGetAction,
    kind: &'static str,
) -> Result<HttpCheck, ProbeError> {
    let context = Context { container, kind };
    let path = http.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let headers = http.http_headers.iter().flatten().map(|h| (h.name.clone(), h.value.clone())).collect();
    Ok(HttpCheck {
        tls: http.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
        host: context.host(http.host.as_deref())?,
        port: context.port(&http.port)?,
        path: format!("{slash}{path}"),
        headers,
    })
}

struct Context<'a> {
    container: &'a Container,
    kind: &'static str,
}

impl Context<'_> {
    fn host(&self, host: Option<&str>) -> Result<Option<IpAddr>, ProbeError> {
        let Some(host) = host.filter(|host| !host.is_empty()) else { return Ok(None) };
        host.parse().map(Some).map_err(|_| ProbeError::Host {
            kind: self.kind,
            container: self.container.name.clone(),
            host: host.to_owned(),
        })
    }

    fn port(&self, port: &IntOrString) -> Result<u16, ProbeError> {
        let (found, shown) = match port {
            IntOrString::Int(number) => (u16::try_from(*number).ok(), number.to_string()),
            IntOrString::String(name) => {
                let named =
                    self.container.ports.iter().flatten().find(|p| p.name.as_deref() == Some(name.as_str()));
                let number = named.and_then(|p| u16::try_from(p.container_port).ok());
                (number.or_else(|| name.parse().ok()), name.clone())
            }
        };
        found.filter(|port| *port != 0).ok_or_else(|| ProbeError::Port {
            kind: self.kind,
            container: self.container.name.clone(),
            port: shown,
        })
    }
}
