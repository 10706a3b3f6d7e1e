//! Waits until a volume is attached to this node, which controllers see to.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::{Api, Client};

use super::CsiError;

/// A node may read an attachment, and not watch it.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LONGEST_LOOK: Duration = Duration::from_secs(1);
/// After that the pod is told what it waits for, and waits on.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the driver told when it attached the volume.
pub(super) async fn wait(client: &Client, name: &str) -> Result<BTreeMap<String, String>, CsiError> {
    let attachments: Api<VolumeAttachment> = Api::all(client.clone());
    let failed =
        |source| CsiError::Api { what: format!("VolumeAttachment {name}"), source: Box::new(source) };
    let started = tokio::time::Instant::now();
    let mut pause = FIRST_LOOK;
    loop {
        let found = match attachments.get_opt(name).await {
            Ok(found) => found,
            // It is not there yet, and a node may read those of its own volumes alone.
            Err(kube::Error::Api(status)) if status.code == 403 => None,
            Err(error) => return Err(failed(error)),
        };
        let is_going = found.as_ref().is_some_and(|found| found.metadata.deletion_timestamp.is_some());
        let status = found.and_then(|found| found.status).unwrap_or_default();
        if status.attached && !is_going {
            return Ok(status.attachment_metadata.unwrap_or_default());
        }
        if started.elapsed() >= PATIENCE {
            let reason = status.attach_error.and_then(|error| error.message);
            return Err(CsiError::NotAttached {
                attachment: name.to_owned(),
                reason: reason.unwrap_or_default(),
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_LOOK);
    }
}
