//! A probe by gRPC: `grpc.health.v1.Health/Check`, as kubelet asks it.

use std::net::SocketAddr;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use wherry_plugin_api::grpc::{self, CallError, UNIMPLEMENTED};
use wherry_plugin_api::health::{self, HealthRequest, HealthResponse, Serving};

use super::check::connect_error;
use crate::context::chain;

/// Who kubelet says that it is.
const AGENT: &str = "kube-probe/1.36";

/// Asks for the health of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrpcCheck {
    /// The port.
    pub(crate) port: u16,
    /// The service, empty for the server as a whole.
    pub(crate) service: String,
}

impl GrpcCheck {
    /// Asks; an error is a sentence in kubelet's words.
    pub(super) async fn run(&self, address: SocketAddr, timeout: Duration) -> Result<(), String> {
        let asking = async {
            let stream = TcpStream::connect(address).await.map_err(|error| {
                let reason = connect_error(&error);
                format!("error: connection error: desc = \"transport: Error while dialing: dial tcp {address}: {reason}\"")
            })?;
            let question = HealthRequest { service: self.service.clone() };
            let method = (health::CHECK, AGENT);
            let answer = grpc::ask(TokioIo::new(stream), &address.to_string(), method, &question).await;
            verdict(answer)
        };
        let late = || {
            let within = timeout.as_secs();
            format!(
                "timeout: failed to connect service {:?} within {within}s: context deadline exceeded",
                address.to_string()
            )
        };
        tokio::time::timeout(timeout, asking).await.unwrap_or_else(|_| Err(late()))
    }
}

fn verdict(answer: Result<HealthResponse, CallError>) -> Result<(), String> {
    match answer {
        Ok(health) if health.status == Serving::Serving as i32 => Ok(()),
        Ok(health) => Err(format!("service unhealthy (responded with {:?})", name(health.status))),
        Err(CallError::Status(status)) if status.code == UNIMPLEMENTED => {
            Err("error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
                .to_owned())
        }
        Err(CallError::Status(status)) => {
            Err(format!("error: health rpc failed: code = {} desc = {}", status.code, status.message))
        }
        Err(error) => Err(format!("error: health rpc failed: {}", chain(&error))),
    }
}

fn name(status: i32) -> String {
    match Serving::try_from(status) {
        Ok(Serving::Unknown) => "UNKNOWN".to_owned(),
        Ok(Serving::Serving) => "SERVING".to_owned(),
        Ok(Serving::NotServing) => "NOT_SERVING".to_owned(),
        Ok(Serving::ServiceUnknown) => "SERVICE_UNKNOWN".to_owned(),
        Err(_) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_serves_is_healthy() {
        let told = |status: i32| verdict(Ok(HealthResponse { status }));
        assert_eq!(told(1), Ok(()));
        let unhealthy = |name: &str| Err(format!("service unhealthy (responded with {name:?})"));
        assert_eq!([told(0), told(2), told(9)], ["UNKNOWN", "NOT_SERVING", "9"].map(unhealthy));
    }
}
