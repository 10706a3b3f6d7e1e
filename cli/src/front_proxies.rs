//! The flags about proxies that know users already.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use wherry_orchestrator::RequestHeaders;

/// The flags about proxies that know users already, and say by headers who they are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Front proxies")]
pub(crate) struct FrontProxyArgs {
    /// Who signs the certificates of proxies that may say who the user is (PEM).
    #[arg(long = "requestheader-client-ca-file")]
    client_ca: Option<PathBuf>,
    /// The common names that their certificates may have [default: any].
    #[arg(long = "requestheader-allowed-names", value_delimiter = ',')]
    allowed_names: Vec<String>,
    /// Headers with the user's name [default: x-remote-user].
    #[arg(long = "requestheader-username-headers", value_delimiter = ',')]
    username_headers: Vec<String>,
    /// Headers with the user's uid.
    #[arg(long = "requestheader-uid-headers", value_delimiter = ',')]
    uid_headers: Vec<String>,
    /// Headers with the user's groups [default: x-remote-group].
    #[arg(long = "requestheader-group-headers", value_delimiter = ',')]
    group_headers: Vec<String>,
    /// How the names of headers with other values begin [default: x-remote-extra-].
    #[arg(long = "requestheader-extra-headers-prefix", value_delimiter = ',')]
    extra_prefixes: Vec<String>,
}

impl FrontProxyArgs {
    /// What the flags say.
    pub(crate) fn headers(&self) -> anyhow::Result<Option<RequestHeaders>> {
        let others = [&self.allowed_names, &self.username_headers, &self.uid_headers, &self.group_headers]
            .into_iter()
            .chain([&self.extra_prefixes]);
        let Some(path) = &self.client_ca else {
            if others.into_iter().any(|names| !names.is_empty()) {
                bail!("--requestheader-* flags need --requestheader-client-ca-file");
            }
            return Ok(None);
        };
        let ca = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut headers = RequestHeaders::new(ca);
        headers.allowed_names.clone_from(&self.allowed_names);
        headers.uid_headers.clone_from(&self.uid_headers);
        for (given, customary) in [
            (&self.username_headers, &mut headers.username_headers),
            (&self.group_headers, &mut headers.group_headers),
            (&self.extra_prefixes, &mut headers.extra_prefixes),
        ] {
            if !given.is_empty() {
                customary.clone_from(given);
            }
        }
        Ok(Some(headers))
    }
}
