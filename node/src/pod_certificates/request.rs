//! Asks a signer for a certificate, by a PodCertificateRequest.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1beta1::{PodCertificateRequest, PodCertificateRequestSpec};
use k8s_openapi::api::core::v1::{Node, Pod, PodCertificateProjection, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference};
use kube::api::{ObjectMeta, PostParams};
use kube::core::Status;
use kube::runtime::wait::{self, await_condition};
use kube::{Api, Client, ResourceExt};
use pem::Pem;
use ring::digest;

use super::PodCertificateError;
use super::kept::Kept;
use super::keys::{Key, KeyError};
use crate::trust_bundles::encode;

/// How long a request is waited for; then another one is made.
const WAIT: Duration = Duration::from_mins(15);
/// Renewals of many pods are spread over so many seconds.
const JITTER: u64 = 300;

/// Why a request led to no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("cannot read the ServiceAccount {0:?}")]
    Account(String, #[source] kube::Error),
    #[error("cannot read the Node {0:?}")]
    Node(String, #[source] kube::Error),
    #[error(
        "the API server does not serve PodCertificateRequests: it does with \
         --runtime-config=certificates.k8s.io/v1beta1=true"
    )]
    NotServed,
    #[error("cannot create a PodCertificateRequest")]
    Create(#[source] kube::Error),
    #[error("cannot wait for the PodCertificateRequest")]
    Wait(#[from] wait::Error),
    #[error("nobody answered the PodCertificateRequest {0:?} in time")]
    Late(String),
    #[error("the PodCertificateRequest {0:?} was deleted before it was answered")]
    Deleted(String),
    #[error("the PodCertificateRequest {0:?} was issued without what belongs to it")]
    Incomplete(String),
    #[error(transparent)]
    Refused(PodCertificateError),
}

/// What is asked for.
pub(super) struct Asked<'a> {
    pub(super) client: &'a Client,
    pub(super) node: &'a str,
    pub(super) pod: &'a Pod,
    pub(super) wanted: &'a PodCertificateProjection,
}

impl Asked<'_> {
    /// Makes a key and asks for a certificate of it; `asked` is called once somebody may answer.
    pub(super) async fn ask(&self, asked: impl FnOnce()) -> Result<Kept, AskError> {
        // Keys take a while to make.
        let key_type = self.wanted.key_type.clone();
        let key = tokio::task::spawn_blocking(move || Key::generate(&key_type)).await;
        let key = key.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        let request = self.request(&key).await?;
        let namespace = self.pod.namespace().unwrap_or_default();
        let requests = Api::<PodCertificateRequest>::namespaced(self.client.clone(), &namespace);
        let name = match requests.create(&PostParams::default(), &request).await {
            Err(kube::Error::Api(status)) if is_unserved(&status) => {
                return Err(AskError::NotServed);
            }
            made => made.map_err(AskError::Create)?.name_any(),
        };
        asked();
        let answered = |found: Option<&PodCertificateRequest>| {
            found.is_none_or(|request| conditions(request).any(is_outcome))
        };
        let answer = tokio::time::timeout(WAIT, await_condition(requests, &name, answered)).await;
        let Ok(answer) = answer else { return Err(AskError::Late(name)) };
        let Some(answer) = answer? else { return Err(AskError::Deleted(name)) };
        outcome(&answer, key.pem)
    }

    async fn request(&self, key: &Key) -> Result<PodCertificateRequest, AskError> {
        let spec = self.pod.spec.as_ref();
        let account = spec.and_then(|spec| spec.service_account_name.clone());
        let account = account.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned());
        let namespace = self.pod.namespace().unwrap_or_default();
        let accounts = Api::<ServiceAccount>::namespaced(self.client.clone(), &namespace);
        let found = accounts.get(&account).await;
        let account_uid = found.map_err(|error| AskError::Account(account.clone(), error))?.uid();
        let node = Api::<Node>::all(self.client.clone()).get(self.node).await;
        let node_uid = node.map_err(|error| AskError::Node(self.node.to_owned(), error))?.uid();
        let (pod, uid) = (self.pod.name_any(), self.pod.uid().unwrap_or_default());
        let owner = OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: pod.clone(),
            uid: uid.clone(),
            ..OwnerReference::default()
        };
        let spec = PodCertificateRequestSpec {
            signer_name: self.wanted.signer_name.clone(),
            pod_name: pod.clone(),
            pod_uid: uid,
            service_account_name: account,
            service_account_uid: account_uid.unwrap_or_default(),
            node_name: self.node.to_owned(),
            node_uid: node_uid.unwrap_or_default(),
            max_expiration_seconds: self.wanted.max_expiration_seconds,
            stub_pkc_s10_request: ByteString(key.request.clone()),
            unverified_user_annotations: self.wanted.user_annotations.clone(),
            ..PodCertificateRequestSpec::default()
        };
        let metadata = ObjectMeta {
            generate_name: Some(format!("req-{pod}-")),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        };
        Ok(PodCertificateRequest { metadata, spec, status: None })
    }
}

/// Whether there is no such kind; what else may not be there has a name.
fn is_unserved(status: &Status) -> bool {
    status.code == 404 && status.details.as_ref().is_none_or(|details| details.name.is_empty())
}

fn conditions(request: &PodCertificateRequest) -> impl Iterator<Item = &Condition> {
    request.status.iter().flat_map(|status| status.conditions.iter().flatten())
}

fn is_outcome(condition: &Condition) -> bool {
    matches!(condition.type_.as_str(), "Issued" | "Denied" | "Failed") && condition.status == "True"
}

/// What an answered request says, with the key that it was made with.
pub(super) fn outcome(request: &PodCertificateRequest, key: String) -> Result<Kept, AskError> {
    let incomplete = || AskError::Incomplete(request.name_any());
    let condition = conditions(request).find(|condition| is_outcome(condition)).ok_or_else(incomplete)?;
    let outcome = match condition.type_.as_str() {
        "Denied" => "denied",
        "Failed" => "failed",
        _ => {
            let status = request.status.as_ref().ok_or_else(incomplete)?;
            let chain = clean(status.certificate_chain.as_deref().unwrap_or_default());
            let refresh = status.begin_refresh_at.as_ref().ok_or_else(incomplete)?.0;
            return Ok(Kept {
                key,
                chain: chain.ok_or_else(incomplete)?,
                refresh_at: later(refresh, jitter(&request.uid().unwrap_or_default())),
                not_after: status.not_after.as_ref().ok_or_else(incomplete)?.0,
            });
        }
    };
    let (reason, message) = (condition.reason.clone(), condition.message.clone());
    Err(AskError::Refused(PodCertificateError::Refused { outcome, reason, message }))
}

/// The certificates of a chain without what else is in its text.
fn clean(chain: &str) -> Option<String> {
    let blocks = pem::parse_many(chain).ok().filter(|blocks| !blocks.is_empty())?;
    let blocks: Vec<Pem> =
        blocks.into_iter().map(|block| Pem::new(block.tag().to_owned(), block.into_contents())).collect();
    Some(encode(&blocks))
}

/// How much later than it may a certificate is renewed, as its request says by chance.
fn jitter(uid: &str) -> Duration {
    let digest = digest::digest(&digest::SHA256, uid.as_bytes());
    let number = digest.as_ref().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Duration::from_secs(number % JITTER)
}

fn later(time: Timestamp, wait: Duration) -> Timestamp {
    time.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_between_certificates_is_left_out() {
        let block = encode(&[Pem::new("CERTIFICATE", b"abc".to_vec())]);
        assert_eq!(clean(&format!("note\n{block}more\n{block}")), Some(format!("{block}{block}")));
        assert_eq!(clean("note"), None);
    }

    proptest! {
        #[test]
        fn any_chain_is_cleaned_or_refused(text in r"((-----(BEGIN|END) [A-Z]{0,3}-----\n)|[A-Za-z0-9+/=:\n]|\PC){0,80}") {
            if let Some(cleaned) = clean(&text) {
                prop_assert_eq!(clean(&cleaned), Some(cleaned.clone()));
            }
        }

        #[test]
        fn renewals_are_spread(uid in r"\PC{0,40}") {
            prop_assert!(jitter(&uid) < Duration::from_secs(JITTER));
        }
    }
}
