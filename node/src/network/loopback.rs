//! The network without privileges: Pods get addresses of 127.0.0.0/8, which every process may bind.
//!
//! Nothing in the kernel has to change, so attaching is an entry in the journal. What it cannot give is a
//! network namespace.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::ipam::{Ipam, Pool, host_addresses};
use super::{NetworkConfig, NetworkError, PodAddress, PodNetwork};

/// See the module.
pub(super) struct LoopbackNetwork {
    ipam: Ipam,
}

impl LoopbackNetwork {
    /// Reads the journal and drops addresses outside the configured range.
    pub(super) fn open(config: &NetworkConfig) -> Result<Self, NetworkError> {
        let cidr = config.pod_cidr.primary();
        let reason = if !cidr.addr().is_ipv4() || !cidr.addr().is_loopback() {
            Some("the loopback network needs a part of 127.0.0.0/8")
        } else if cidr.prefix_len() > 28 {
            Some("a node needs at least a /28")
        } else {
            None
        };
        if let Some(reason) = reason {
            return Err(NetworkError::Cidr { cidr, reason });
        }
        // The first address is the gateway's, at which Pods find the API server of this machine.
        let mut hosts = host_addresses(cidr);
        hosts.start += 1;
        let pool = Pool::new(cidr, hosts);
        let ipam = Ipam::open(&config.data_dir.join("network"), Pool::empty(cidr), pool)?;
        Ok(Self { ipam })
    }
}

#[async_trait]
impl PodNetwork for LoopbackNetwork {
    async fn attach(&self, pod_uid: &str, needs_netns: bool) -> Result<PodAddress, NetworkError> {
        if needs_netns {
            return Err(NetworkError::Unsupported);
        }
        let lease = self.ipam.allocate(pod_uid, false)?;
        Ok(PodAddress { ip: lease.ip, ip6: None, netns: None })
    }

    async fn attach_made(&self, _: &str, _: &Path) -> Result<PodAddress, NetworkError> {
        Err(NetworkError::Unsupported)
    }

    async fn detach(&self, pod_uid: &str) -> Result<(), NetworkError> {
        self.ipam.release(pod_uid)
    }

    fn namespace(&self, _: &str) -> Option<PathBuf> {
        None
    }

    async fn known(&self) -> Vec<String> {
        self.ipam.known()
    }
}
