//! Where registries keep the signatures of an image: in an image of its own beside it, whose tag is made of the digest.

use futures::StreamExt;
use oci_client::Reference;
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::OciDescriptor;
use sha2::{Digest, Sha256};

use super::super::manifest::{ACCEPTED, Descriptor, Manifest};
use super::super::pull::{MAX_DOCUMENT, PullError};
use super::super::registries::Endpoint;
use super::Signature;

/// The type of a document that was signed.
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation that has the signature.
pub(in super::super) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// How many signatures of an image are looked at.
pub(in super::super) const MAX_SIGNATURES: usize = 32;
/// The largest document that is looked at.
pub(in super::super) const MAX_PAYLOAD: u64 = 64 << 10;

/// Whether this is no image but the signatures of one.
pub(in super::super) fn is_signatures(manifest: &Manifest) -> bool {
    !manifest.layers.is_empty() && manifest.layers.iter().all(|layer| layer.media_type == SIMPLE_SIGNING)
}

/// The signatures of what has this digest; none if there are none.
pub(in super::super) async fn fetch(
    client: &oci_client::Client,
    endpoint: &Endpoint,
    digest: &str,
) -> Result<Vec<Signature>, PullError> {
    let of = &endpoint.reference;
    let tag = format!("{}.sig", digest.replace(':', "-"));
    let place = Reference::with_tag(of.registry().to_owned(), of.repository().to_owned(), tag);
    let bytes = match client.pull_manifest_raw(&place, &endpoint.auth, ACCEPTED).await {
        Ok((bytes, _)) => bytes,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(source) => {
            return Err(PullError::Resolve { reference: place.whole(), source: Box::new(source) });
        }
    };
    let (what, size) = ("the manifest of signatures", bytes.len() as u64);
    if size > MAX_DOCUMENT {
        return Err(PullError::TooLarge { what, size });
    }
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|source| PullError::Parse { what, source })?;
    let mut signatures = Vec::new();
    let signed = manifest.layers.iter().filter(|layer| layer.media_type == SIMPLE_SIGNING);
    for layer in signed.take(MAX_SIGNATURES) {
        let Some(signature) = layer.annotations.get(SIGNATURE) else { continue };
        let bytes = payload(client, &place, layer).await?;
        // What is no text is nothing that cosign signs.
        if let Ok(payload) = String::from_utf8(bytes) {
            signatures.push(Signature { payload, signature: signature.clone() });
        }
    }
    Ok(signatures)
}

fn is_absent(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::ImageManifestNotFoundError(_)
        | OciDistributionError::ServerError { code: 404, .. } => true,
        OciDistributionError::RegistryError { envelope, .. } => envelope.errors.iter().any(|error| {
            matches!(
                error.code,
                OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound
            )
        }),
        _ => false,
    }
}

async fn payload(
    client: &oci_client::Client,
    place: &Reference,
    layer: &Descriptor,
) -> Result<Vec<u8>, PullError> {
    let digest = || layer.digest.clone();
    let failed = |source| PullError::Fetch { digest: digest(), source: Box::new(source) };
    let request = OciDescriptor {
        media_type: layer.media_type.clone(),
        digest: digest(),
        size: i64::try_from(layer.size).unwrap_or(i64::MAX),
        ..OciDescriptor::default()
    };
    let mut stream = client.pull_blob_stream(place, &request).await.map_err(failed)?.stream;
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend(chunk.map_err(|source| PullError::Transfer { digest: digest(), source })?);
        if bytes.len() as u64 > MAX_PAYLOAD {
            return Err(PullError::Longer { digest: digest(), size: MAX_PAYLOAD });
        }
    }
    let found = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
    if found != layer.digest {
        return Err(PullError::ManifestDigest { expected: digest(), found });
    }
    Ok(bytes)
}
