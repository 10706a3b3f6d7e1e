//! Where registries keep the signatures of an image: in an image of its own beside it, whose tag is made of the digest.

use futures::StreamExt;
use sha2::{Digest, Sha256};

use super::super::manifest::{ACCEPTED, Descriptor, Manifest};
use super::super::pull::{MAX_DOCUMENT, PullError};
use super::super::registries::Endpoint;
use super::super::registry::Client;
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
    client: &Client,
    endpoint: &Endpoint,
    digest: &str,
) -> Result<Vec<Signature>, PullError> {
    let (repository, what) = (endpoint.reference.repository(), "the manifest of signatures");
    let tag = format!("{}.sig", digest.replace(':', "-"));
    let bytes = match client.manifest(repository, &tag, (ACCEPTED, MAX_DOCUMENT)).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_absent() => return Ok(Vec::new()),
        Err(source) => {
            let reference = format!("{}/{repository}:{tag}", endpoint.reference.registry());
            return Err(PullError::Resolve { reference, source: Box::new(source) });
        }
    };
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|source| PullError::Parse { what, source })?;
    let mut signatures = Vec::new();
    let signed = manifest.layers.iter().filter(|layer| layer.media_type == SIMPLE_SIGNING);
    for layer in signed.take(MAX_SIGNATURES) {
        let Some(signature) = layer.annotations.get(SIGNATURE) else { continue };
        let bytes = payload(client, repository, layer).await?;
        // What is no text is nothing that cosign signs.
        if let Ok(payload) = String::from_utf8(bytes) {
            signatures.push(Signature { payload, signature: signature.clone() });
        }
    }
    Ok(signatures)
}

async fn payload(client: &Client, repository: &str, layer: &Descriptor) -> Result<Vec<u8>, PullError> {
    let digest = || layer.digest.clone();
    let failed = |source| PullError::Fetch { digest: digest(), source: Box::new(source) };
    let mut stream = client.blob(repository, &layer.digest, 0).await.map_err(failed)?.stream;
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
