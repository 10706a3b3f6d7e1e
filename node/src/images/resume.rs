//! The rest of a blob of which a part is here already: a request of its own, because the registry client tells nobody how such a
//! request was answered.

use futures::StreamExt;
use futures::stream::BoxStream;
use oci_client::RegistryOperation;
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use reqwest::StatusCode;
use reqwest::header::RANGE;

use super::registries::Endpoint;

/// What a registry answers to a request for the rest.
pub(super) struct Rest {
    /// Whether it begins where it was asked to, and not with the first byte.
    pub(super) is_partial: bool,
    /// The bytes.
    pub(super) stream: BoxStream<'static, std::io::Result<bytes::Bytes>>,
}

/// Asks for a blob from a byte on; `client` knows how to be let in.
pub(super) async fn rest(
    client: &oci_client::Client,
    endpoint: &Endpoint,
    digest: &str,
    from: u64,
) -> Result<Rest, OciDistributionError> {
    let Endpoint { server, reference, auth, tls, .. } = endpoint;
    let token = client.auth(reference, auth, RegistryOperation::Pull).await?;
    let certificates = tls.authorities.iter().map(|data| reqwest::Certificate::from_der(data));
    let plain = reqwest::Client::builder()
        .danger_accept_invalid_certs(tls.insecure)
        .tls_certs_merge(certificates.collect::<Result<Vec<_>, _>>()?)
        .user_agent(super::pull::USER_AGENT)
        .build()?;
    let scheme = if server.encrypted { "https" } else { "http" };
    let url = format!("{scheme}://{}/v2/{}/blobs/{digest}", server.host, reference.repository());
    let request = plain.get(&url).header(RANGE, format!("bytes={from}-"));
    let request = match (token, auth) {
        (Some(token), _) => request.bearer_auth(token),
        (None, RegistryAuth::Basic(user, password)) => request.basic_auth(user, Some(password)),
        (None, RegistryAuth::Anonymous | RegistryAuth::Bearer(_)) => request,
    };
    let response = request.send().await?;
    let is_partial = match response.status() {
        StatusCode::PARTIAL_CONTENT => true,
        StatusCode::OK => false,
        status => {
            let message = format!("it does not send the rest of a blob from byte {from} on");
            return Err(OciDistributionError::ServerError { code: status.as_u16(), url, message });
        }
    };
    let stream = response.bytes_stream().map(|chunk| chunk.map_err(std::io::Error::other)).boxed();
    Ok(Rest { is_partial, stream })
}
