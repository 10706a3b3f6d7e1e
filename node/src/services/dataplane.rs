//! The two ways of serving a Service behind one face.

use std::collections::BTreeMap;

use super::model::ObjectKey;
use super::nftables::Nftables;
use super::plan::ServicePort;
use super::proxy::Proxy;
use super::{ServicesConfig, ServicesError};
use crate::network::{NetworkMode, route_services};

/// What brings packets or connections to endpoints.
pub(super) enum Dataplane {
    Kernel(Nftables),
    Userspace(Proxy),
}

impl Dataplane {
    /// Prepares the data plane of the configured mode; rules of an earlier run stay in force.
    pub(super) async fn open(config: &ServicesConfig) -> Result<Self, ServicesError> {
        match config.mode {
            NetworkMode::Bridge => {
                let routed = route_services(config.pod_cidr, config.service_cidr).await;
                routed.map_err(ServicesError::Network)?;
                Ok(Self::Kernel(Nftables::new(config).map_err(ServicesError::Network)?))
            }
            NetworkMode::Loopback => Ok(Self::Userspace(Proxy::new(config.node_port_address))),
        }
    }

    /// Serves these Services with these ports from now on; the others stay as they are. What fails is logged,
    /// and tried again by the next call.
    pub(super) async fn apply(&mut self, changes: BTreeMap<ObjectKey, Vec<ServicePort>>) {
        match self {
            Self::Kernel(nftables) => nftables.apply(changes).await,
            Self::Userspace(proxy) => proxy.apply(changes).await,
        }
    }

    /// Whether something failed that another call of `apply` may repair.
    pub(super) fn wants_retry(&self) -> bool {
        match self {
            Self::Kernel(nftables) => nftables.wants_retry(),
            Self::Userspace(proxy) => proxy.wants_retry(),
        }
    }

    /// Ends what lives in this process.
    pub(super) async fn close(self) {
        match self {
            // The kernel goes on without us.
            Self::Kernel(_) => {}
            Self::Userspace(proxy) => proxy.close().await,
        }
    }
}
