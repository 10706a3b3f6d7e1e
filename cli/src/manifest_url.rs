//! What the command line says of manifests behind a URL.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use wherry_node::ManifestUrl;

#[derive(Debug, Args)]
pub(crate) struct ManifestUrlArgs {
    /// Where manifests are asked for: the node runs the Pods that the answer names, one or a list, until it names others.
    #[arg(long)]
    manifest_url: Option<String>,
    /// A header of these requests, as NAME:VALUE; may be given more than once.
    #[arg(long, requires = "manifest_url")]
    manifest_url_header: Vec<String>,
    /// How often they are asked for, as in 20s or 1m.
    #[arg(long, default_value = "20s", value_parser = crate::audit::duration)]
    http_check_frequency: Duration,
}

impl ManifestUrlArgs {
    /// Where manifests are asked for.
    pub(crate) fn url(&self) -> anyhow::Result<Option<ManifestUrl>> {
        let Some(url) = &self.manifest_url else { return Ok(None) };
        let at = ManifestUrl::new(url, &self.manifest_url_header, self.http_check_frequency);
        Ok(Some(at.context("--manifest-url cannot be used")?))
    }
}
