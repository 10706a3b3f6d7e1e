//! What the command line says of images: where they come from, and when they go.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{ArgAction, Args};
use wherry_node::{CredentialProviders, ImageLimits, Registries, SignaturePolicy};

#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    /// Mirrors of registries, their credentials and certificates, in a file as k3s' registries.yaml.
    #[arg(long)]
    registries: Option<PathBuf>,
    /// Ask only mirrors for images of registries that have some.
    #[arg(long, requires = "registries")]
    disable_default_registry_endpoint: bool,
    /// Which images may run by whom they are signed: a policy.json as containers/image's, with keys of cosign.
    #[arg(long)]
    image_signature_policy: Option<PathBuf>,
    /// Programs that know accounts of registries: a CredentialProviderConfig, as kubelet's.
    #[arg(long, requires = "image_credential_provider_bin_dir")]
    image_credential_provider_config: Option<PathBuf>,
    /// The directory of these programs.
    #[arg(long, requires = "image_credential_provider_config")]
    image_credential_provider_bin_dir: Option<PathBuf>,
    /// How full the disk is, in percent, when images go that nothing uses; 100 is never.
    #[arg(long, default_value_t = 85)]
    image_gc_high_threshold: u8,
    /// How full it may be, in percent, when no more images go.
    #[arg(long, default_value_t = 80)]
    image_gc_low_threshold: u8,
    /// How long an image stays at least, as in 90s, 2m or 1h.
    #[arg(long, default_value = "2m", value_parser = crate::audit::duration)]
    minimum_image_ttl_duration: Duration,
    /// How long an image stays that nothing uses; 0s is for ever.
    #[arg(long, default_value = "0s", value_parser = crate::audit::duration)]
    image_maximum_gc_age: Duration,
    /// Whether WebAssembly is compiled here. Else only code is run that was compiled here before, or brought by wherry code import.
    #[arg(long, action = ArgAction::Set, default_value_t = true)]
    pub(crate) compile_wasm: bool,
}

impl ImageArgs {
    /// Where images come from.
    pub(crate) fn registries(&self) -> anyhow::Result<Arc<Registries>> {
        let Some(path) = &self.registries else { return Ok(Arc::default()) };
        let read = Registries::read(path, self.disable_default_registry_endpoint);
        Ok(Arc::new(read.context("--registries cannot be used")?))
    }

    /// Which of them may run.
    pub(crate) fn signature_policy(&self) -> anyhow::Result<Arc<SignaturePolicy>> {
        let Some(path) = &self.image_signature_policy else { return Ok(Arc::default()) };
        let read = SignaturePolicy::read(path);
        Ok(Arc::new(read.context("--image-signature-policy cannot be used")?))
    }

    /// Who knows accounts there.
    pub(crate) fn credential_providers(&self) -> anyhow::Result<Arc<CredentialProviders>> {
        let paths = (&self.image_credential_provider_config, &self.image_credential_provider_bin_dir);
        let (Some(file), Some(programs)) = paths else { return Ok(Arc::default()) };
        let read = CredentialProviders::read(file, programs);
        Ok(Arc::new(read.context("--image-credential-provider-config cannot be used")?))
    }

    /// When they go.
    pub(crate) fn limits(&self) -> anyhow::Result<ImageLimits> {
        let thresholds = (self.image_gc_high_threshold, self.image_gc_low_threshold);
        Ok(ImageLimits::new(thresholds, self.minimum_image_ttl_duration, self.image_maximum_gc_age)?)
    }
}
