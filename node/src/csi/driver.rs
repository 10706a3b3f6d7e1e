//! A driver of volumes that is registered with this node, and the calls it is asked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use wherry_plugin_api::csi::{
    self, Capabilities, Capability, ExpandRequest, ExpandResponse, NodeInfo, PublishRequest, StageRequest,
    UnpublishRequest, UnstageRequest, VolumeStats, VolumeStatsRequest,
};
use wherry_plugin_api::grpc::{self, CallError, Message};
use wherry_plugin_api::registration::Empty;

/// How long a driver may take for an answer, as kubelet has it.
const PATIENCE: Duration = Duration::from_mins(2);

/// Why a driver did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriverError {
    /// It refused, or cannot be reached.
    #[error("{call} of driver {driver} failed")]
    Call {
        /// What it was asked.
        call: &'static str,
        /// The driver.
        driver: String,
        /// The cause.
        source: CallError,
    },
    /// It does not answer.
    #[error("{call} of driver {driver} failed: no answer within {} s", PATIENCE.as_secs())]
    Late {
        /// What it was asked.
        call: &'static str,
        /// The driver.
        driver: String,
    },
}

/// A driver.
#[derive(Clone, Debug)]
pub(crate) struct Driver {
    name: String,
    socket: PathBuf,
    capabilities: Capabilities,
}

impl Driver {
    /// Asks the driver behind the socket what it can do and how it calls this node.
    pub(crate) async fn meet(name: &str, socket: &Path) -> Result<(Self, NodeInfo), DriverError> {
        let (name, socket) = (name.to_owned(), socket.to_owned());
        let mut driver = Self { name, socket, capabilities: Capabilities::default() };
        let info = driver.ask("NodeGetInfo", csi::GET_INFO, &Empty {}).await?;
        driver.capabilities = driver.ask("NodeGetCapabilities", csi::GET_CAPABILITIES, &Empty {}).await?;
        Ok((driver, info))
    }

    /// Whether it can do this.
    pub(super) fn can(&self, wanted: Capability) -> bool {
        self.capabilities.has(wanted)
    }

    /// Makes a volume ready on this node.
    pub(super) async fn stage(&self, request: &StageRequest) -> Result<(), DriverError> {
        self.ask("NodeStageVolume", csi::STAGE, request).await.map(|Empty {}| ())
    }

    /// Undoes that.
    pub(super) async fn unstage(&self, request: &UnstageRequest) -> Result<(), DriverError> {
        self.ask("NodeUnstageVolume", csi::UNSTAGE, request).await.map(|Empty {}| ())
    }

    /// Gives a volume to a pod.
    pub(super) async fn publish(&self, request: &PublishRequest) -> Result<(), DriverError> {
        self.ask("NodePublishVolume", csi::PUBLISH, request).await.map(|Empty {}| ())
    }

    /// Undoes that.
    pub(super) async fn unpublish(&self, request: &UnpublishRequest) -> Result<(), DriverError> {
        self.ask("NodeUnpublishVolume", csi::UNPUBLISH, request).await.map(|Empty {}| ())
    }

    /// Lets what is on a volume grow.
    pub(super) async fn expand(&self, request: &ExpandRequest) -> Result<ExpandResponse, DriverError> {
        self.ask("NodeExpandVolume", csi::EXPAND, request).await
    }

    /// How full a volume is.
    pub(super) async fn volume_stats(
        &self,
        request: &VolumeStatsRequest,
    ) -> Result<VolumeStats, DriverError> {
        self.ask("NodeGetVolumeStats", csi::VOLUME_STATS, request).await
    }

    async fn ask<Q: Message, A: Message + Default>(
        &self,
        call: &'static str,
        method: &str,
        question: &Q,
    ) -> Result<A, DriverError> {
        let asking = grpc::call(&self.socket, method, question);
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(answer) => {
                answer.map_err(|source| DriverError::Call { call, driver: self.name.clone(), source })
            }
            Err(_) => Err(DriverError::Late { call, driver: self.name.clone() }),
        }
    }
}
