//! Asks the API for a certificate.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::wait::{self, await_condition};
use kube::{Api, Client};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

use super::identity::Identity;

/// How long a request is waited for; then another one is made.
const PATIENCE: Duration = Duration::from_mins(15);

/// A certificate a node wants to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) signer: &'static str,
    pub(super) usage: &'static str,
    pub(super) common_name: String,
    pub(super) names: Vec<String>,
    pub(super) addresses: Vec<IpAddr>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("cannot make a key and a request of it")]
    Make(#[from] rcgen::Error),
    #[error("cannot ask for a certificate")]
    Ask(#[source] kube::Error),
    #[error("cannot wait for the certificate")]
    Wait(#[from] wait::Error),
    #[error("nobody signed the request {0:?} in time")]
    Late(String),
    #[error("the request {name:?} was refused: {why}")]
    Refused { name: String, why: String },
}

impl Wanted {
    /// With what a node calls the API.
    pub(super) fn client(node: &str) -> Self {
        Self {
            signer: "kubernetes.io/kube-apiserver-client-kubelet",
            usage: "client auth",
            common_name: format!("system:node:{node}"),
            names: Vec::new(),
            addresses: Vec::new(),
        }
    }

    /// With what a node is called.
    pub(super) fn serving(node: &str, address: IpAddr) -> Self {
        Self {
            signer: "kubernetes.io/kubelet-serving",
            usage: "server auth",
            names: vec![node.to_owned()],
            addresses: vec![address],
            ..Self::client(node)
        }
    }

    /// Asks for a certificate of a new key, and waits until it is signed or refused.
    pub(super) async fn obtain(&self, client: &Client) -> Result<Identity, RequestError> {
        let key = KeyPair::generate()?;
        let requests = Api::<CertificateSigningRequest>::all(client.clone());
        let made = requests.create(&PostParams::default(), &self.request(&key)?).await;
        let name = made.map_err(RequestError::Ask)?.metadata.name.unwrap_or_default();
        let decided = |found: Option<&CertificateSigningRequest>| {
            found.is_none_or(|request| certificate(request).is_some() || refusal(request).is_some())
        };
        let waiting = tokio::time::timeout(PATIENCE, await_condition(requests, &name, decided)).await;
        let Ok(found) = waiting else { return Err(RequestError::Late(name)) };
        let Some(request) = found? else {
            return Err(RequestError::Refused { name, why: "it was deleted".to_owned() });
        };
        if let Some(why) = refusal(&request) {
            return Err(RequestError::Refused { name, why });
        }
        let cert = certificate(&request).unwrap_or_default();
        Ok(Identity { cert, key: key.serialize_pem() })
    }

    fn request(&self, key: &KeyPair) -> Result<CertificateSigningRequest, rcgen::Error> {
        let mut params = CertificateParams::new(self.names.clone())?;
        params.subject_alt_names.extend(self.addresses.iter().map(|address| SanType::IpAddress(*address)));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(DnType::CommonName, self.common_name.as_str());
        let pem = params.serialize_request(key)?.pem()?;
        let spec = CertificateSigningRequestSpec {
            request: ByteString(pem.into_bytes()),
            signer_name: self.signer.to_owned(),
            usages: Some(vec!["digital signature".to_owned(), self.usage.to_owned()]),
            ..CertificateSigningRequestSpec::default()
        };
        let metadata = ObjectMeta { generate_name: Some("csr-".to_owned()), ..ObjectMeta::default() };
        Ok(CertificateSigningRequest { metadata, spec, status: None })
    }
}

fn certificate(request: &CertificateSigningRequest) -> Option<String> {
    let certificate = request.status.as_ref()?.certificate.as_ref()?;
    String::from_utf8(certificate.0.clone()).ok().filter(|text| !text.is_empty())
}

/// Why the request will never be signed.
fn refusal(request: &CertificateSigningRequest) -> Option<String> {
    let mut conditions = request.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let refused = conditions.find(|condition| matches!(condition.type_.as_str(), "Denied" | "Failed"))?;
    let (reason, message) = (refused.reason.as_deref(), refused.message.as_deref());
    Some(format!("{}: {}", reason.unwrap_or(&refused.type_), message.unwrap_or_default()))
}
