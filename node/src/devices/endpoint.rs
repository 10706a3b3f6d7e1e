//! One plugin: follows its devices until it goes.

use std::sync::Arc;

use tracing::{info, warn};
use wherry_plugin_api::device::{Devices as Listed, LIST_AND_WATCH};
use wherry_plugin_api::grpc::{self, CallError};
use wherry_plugin_api::registration::Empty;

use super::Devices;
use super::state::Offer;
use crate::context::chain;

/// Follows the plugin behind the offer's socket; afterwards nothing is offered.
pub(super) async fn follow(devices: Arc<Devices>, resource: String, offer: Offer) {
    let ended = listen(&devices, &resource, &offer).await;
    match ended {
        Ok(()) => info!(resource, "device plugin ended"),
        Err(error) => warn!(resource, error = %chain(&error), "device plugin lost"),
    }
    keep(&devices, &resource, None);
}

async fn listen(devices: &Devices, resource: &str, offer: &Offer) -> Result<(), CallError> {
    let mut lists = grpc::stream::<_, Listed>(&offer.socket, LIST_AND_WATCH, &Empty {}).await?;
    while let Some(listed) = lists.next().await? {
        keep(devices, resource, Some(offer.with(listed)));
    }
    Ok(())
}

fn keep(devices: &Devices, resource: &str, offer: Option<Offer>) {
    if let Err(error) = devices.offer(resource, offer) {
        warn!(resource, error = %chain(&error), "cannot write down which devices there are");
    }
}
