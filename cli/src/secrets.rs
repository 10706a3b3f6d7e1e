//! `wherry secrets`: how Secrets are kept.

use std::sync::Arc;

use anyhow::Context as _;
use wherry_api::clock::{Clock, SystemClock};
use wherry_orchestrator::secrets;

use crate::args::RotateSecretsArgs;

/// Seals all Secrets with a new key.
pub(crate) async fn rotate(args: RotateSecretsArgs) -> anyhow::Result<()> {
    let data_dir = args.data_dir.open()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let config = args.encryption_provider_config;
    let count = secrets::rotate(&data_dir, config.as_deref(), &clock)
        .await
        .context("the keys of Secrets are not changed")?;
    tracing::info!(count, "all that is to be sealed is sealed anew");
    Ok(())
}
