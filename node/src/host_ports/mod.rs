//! Ports of this node that lead to its Pods (`hostPort`).
//!
//! - bridge mode: `kernel`, an nftables table of its own; packets are translated however they reach the node;
//! - loopback mode: `listeners` in this process, for TCP.
//!
//! Guarantees:
//! - When [`HostPorts::lead`] returns, connections to the ports reach the Pod; when [`HostPorts::withdraw`] does, new ones do not.
//! - What the kernel was told is written down first, so an agent that starts again knows it, and puts it right.
//! - Of two Pods with the same port the later one has it. The scheduler keeps such Pods apart, but one that has ended may not
//!   be gone yet.

mod kernel;
mod listeners;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{ContainerPort, Pod};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use wherry_api::ranges::IpFamily;

use crate::network::nft::NftError;
use crate::network::{NetworkConfig, NetworkError, NetworkMode, PodAddress, Protocol};
use kernel::Kernel;
use listeners::Listeners;

/// A port of the node that a container asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HostPort {
    /// The address of the node at which it is; without one it is at all of them.
    address: Option<IpAddr>,
    protocol: Protocol,
    number: u16,
    /// The container's port.
    to: u16,
}

/// Why the ports of a Pod do not lead to it.
#[derive(Debug, thiserror::Error)]
pub enum HostPortError {
    /// The address is none that ports can be at.
    #[error("hostPort {port}: hostIP {address:?} is no IP address; name one of the node, or none")]
    Address {
        /// The port.
        port: i32,
        /// What was asked for.
        address: String,
    },
    /// The Pod has no address that a port at this one could lead to.
    #[error("hostPort {port}: hostIP {address} leads to no Pod, as Pods of this node have no {} addresses", IpFamily::of(*address))]
    Family {
        /// The port.
        port: u16,
        /// What was asked for.
        address: IpAddr,
    },
    /// The transport is not translated.
    #[error("hostPort {port}: protocol {protocol} is not supported, only TCP and UDP are")]
    Protocol {
        /// The port.
        port: i32,
        /// What was asked for.
        protocol: String,
    },
    /// Nobody would hear it.
    #[error("hostPort {port}: UDP needs a node started as root with --network bridge")]
    Datagrams {
        /// The port.
        port: u16,
    },
    /// The node's port is taken.
    #[error("cannot listen at {address} for a hostPort")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// What leads where cannot be written down or read.
    #[error("cannot {step} the ports that lead to Pods, {}", path.display())]
    Journal {
        /// What was tried.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The rules were refused.
    #[error("cannot set the rules of hostPorts")]
    Rules(#[source] NftError),
    /// The range of Pods is none.
    #[error("cannot tell which Pods are on the bridge")]
    Network(#[source] NetworkError),
}

impl HostPort {
    /// All that the Pod's containers ask for. A Pod on the node's own network has them by itself.
    pub(crate) fn of(pod: &Pod) -> Result<Vec<Self>, HostPortError> {
        let Some(spec) = pod.spec.as_ref().filter(|spec| spec.host_network != Some(true)) else {
            return Ok(Vec::new());
        };
        let sidecars = spec.init_containers.iter().flatten();
        let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
        let containers = spec.containers.iter().chain(sidecars);
        let ports = containers.flat_map(|container| container.ports.iter().flatten());
        ports.filter_map(|port| Self::parse(port).transpose()).collect()
    }

    /// The port as plugins of the Pod network are told of it.
    pub(crate) fn mapping(&self) -> Value {
        let address = self.address.map(|address| address.to_string()).unwrap_or_default();
        let (to, protocol) = (self.to, self.protocol.as_str());
        json!({ "hostPort": self.number, "containerPort": to, "protocol": protocol, "hostIP": address })
    }

    fn parse(port: &ContainerPort) -> Result<Option<Self>, HostPortError> {
        let asked = port.host_port.unwrap_or(0);
        let (Ok(number), Ok(to)) = (u16::try_from(asked), u16::try_from(port.container_port)) else {
            return Ok(None);
        };
        if number == 0 {
            return Ok(None);
        }
        let protocol = Protocol::parse(port.protocol.as_deref()).ok_or_else(|| HostPortError::Protocol {
            port: asked,
            protocol: port.protocol.clone().unwrap_or_default(),
        })?;
        let address = match port.host_ip.as_deref().unwrap_or_default() {
            "" | "0.0.0.0" | "::" => None,
            address => Some(
                address
                    .parse()
                    .map_err(|_| HostPortError::Address { port: asked, address: address.to_owned() })?,
            ),
        };
        Ok(Some(Self { address, protocol, number, to }))
    }
}

/// The ports of this node that lead to Pods.
pub(crate) struct HostPorts {
    plane: Plane,
}

enum Plane {
    Kernel(Mutex<Kernel>),
    Userspace(Mutex<Listeners>),
}

impl HostPorts {
    /// Leads to Pods what led to them before, on a node with these addresses.
    pub(crate) async fn open(config: &NetworkConfig, node: Vec<IpAddr>) -> Result<Self, HostPortError> {
        Ok(match config.mode {
            NetworkMode::Bridge => {
                Self { plane: Plane::Kernel(Mutex::new(Kernel::open(config, node).await?)) }
            }
            NetworkMode::Loopback => {
                Self::listening(node.first().copied().unwrap_or(Ipv4Addr::LOCALHOST.into()))
            }
        })
    }

    /// Listens for Pods at this address, unless their ports name another.
    pub(crate) fn listening(node: IpAddr) -> Self {
        Self { plane: Plane::Userspace(Mutex::new(Listeners::new(node))) }
    }

    /// Leads these ports to the Pod at these addresses, and no others. Ports that already do stay as they are.
    pub(crate) async fn lead(
        &self,
        pod_uid: &str,
        pod: &PodAddress,
        ports: Vec<HostPort>,
    ) -> Result<(), HostPortError> {
        match &self.plane {
            Plane::Kernel(kernel) => kernel.lock().await.lead(pod_uid, pod, ports).await,
            Plane::Userspace(listeners) => listeners.lock().await.lead(pod_uid, pod.ip, &ports).await,
        }
    }

    /// No port leads to the Pod any more; one to which none did is no error.
    pub(crate) async fn withdraw(&self, pod_uid: &str) -> Result<(), HostPortError> {
        match &self.plane {
            Plane::Kernel(kernel) => kernel.lock().await.withdraw(pod_uid).await,
            Plane::Userspace(listeners) => {
                listeners.lock().await.withdraw(pod_uid);
                Ok(())
            }
        }
    }

    /// Ends what lives in this process.
    pub(crate) async fn close(&self) {
        match &self.plane {
            // The kernel goes on without us.
            Plane::Kernel(_) => {}
            Plane::Userspace(listeners) => listeners.lock().await.close().await,
        }
    }
}
