//! `wherry secrets`: how Secrets are kept.

use std::sync::Arc;

use anyhow::Context as _;
use wherry_api::clock::{Clock, SystemClock};
use wherry_orchestrator::secrets;

use crate::apiserver::data_dir;
use crate::args::DataDirArgs;

/// Seals all Secrets with a new key.
pub(crate) async fn rotate(args: DataDirArgs) -> anyhow::Result<()> {
    let data_dir = data_dir(args.data_dir)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let count = secrets::rotate(&data_dir, &clock).await.context("the keys of Secrets are not changed")?;
    tracing::info!(count, "all Secrets are sealed with a new key");
    Ok(())
}
