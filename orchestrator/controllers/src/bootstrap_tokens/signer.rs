//! Signs `kube-public/cluster-info` with each bootstrap token that is meant for it.
//!
//! A signature `jws-kubeconfig-ID` is a JSON Web Signature (RFC 7515) by HS256, without what it signs: the kubeconfig
//! in the same ConfigMap.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use ring::hmac;
use wherry_api::clock::Clock;

use super::{End, PREFIX, end, text};
use crate::context::{Caches, Context};
use crate::objects::meta::Key;
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

const NAMESPACE: &str = "kube-public";
const NAME: &str = "cluster-info";
const CONTENT: &str = "kubeconfig";
const SIGNATURE: &str = "jws-kubeconfig-";

/// There is one key: everything.
pub(crate) struct SignerController {
    client: Client,
    caches: Arc<Caches>,
    clock: Arc<dyn Clock>,
}

/// Id and secret of a token that may sign.
fn signs(secret: &Secret, now: Timestamp) -> Option<(&str, &str)> {
    let (id, key) = (text(secret, "token-id"), text(secret, "token-secret"));
    let meant = text(secret, "usage-bootstrap-signing") == "true";
    let named = !id.is_empty()
        && secret.metadata.name.as_deref().and_then(|name| name.strip_prefix(PREFIX)) == Some(id);
    let counts = match end(secret) {
        End::Never => true,
        End::At(at) => at > now,
        End::Unknown => false,
    };
    (meant && named && counts && !key.is_empty()).then_some((id, key))
}

/// The signature of a text by a token, without the text.
fn sign(content: &str, (id, secret): (&str, &str)) -> String {
    let header = serde_json::json!({"alg": "HS256", "kid": id}).to_string();
    let header = URL_SAFE_NO_PAD.encode(header);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())))
}

/// The ConfigMap as it should be, if it is not.
fn plan(info: &ConfigMap, secrets: &[Arc<Secret>], now: Timestamp) -> Option<ConfigMap> {
    let data = info.data.as_ref()?;
    let content = data.get(CONTENT)?;
    let others = data.iter().filter(|(name, _)| !name.starts_with(SIGNATURE));
    let mut wanted: BTreeMap<String, String> = others.map(|(k, v)| (k.clone(), v.clone())).collect();
    for token in secrets.iter().filter_map(|secret| signs(secret, now)) {
        wanted.insert(format!("{SIGNATURE}{}", token.0), sign(content, token));
    }
    (wanted != *data).then(|| ConfigMap { data: Some(wanted), ..info.clone() })
}

impl Controller for SignerController {
    const NAME: &'static str = "bootstrap-signer-controller";
    type Key = ();

    fn new(context: &Context, queue: &Arc<Queue<()>>) -> Self {
        let wake = queue.clone();
        context.caches.bootstrap_secrets.on_change(move |_| wake.add(()));
        let wake = queue.clone();
        context.caches.cluster_infos.on_change(move |_| wake.add(()));
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            clock: context.config.clock.clone(),
        }
    }

    async fn reconcile(&self, (): &()) -> Result<Next, ReconcileError> {
        let Some(info) = self.caches.cluster_infos.get(&Key::new(NAMESPACE, NAME)) else {
            return Ok(Next::OnChange);
        };
        let secrets = self.caches.bootstrap_secrets.all();
        if let Some(wanted) = plan(&info, &secrets, self.clock.now()) {
            let api = Api::<ConfigMap>::namespaced(self.client.clone(), NAMESPACE);
            match api.replace(&wanted.name_any(), &PostParams::default(), &wanted).await {
                Err(error) if is_not_found(&error) => {}
                written => self.caches.cluster_infos.note(written.step("signing cluster-info")?),
            }
        }
        // Tokens that expire are deleted, which wakes this controller.
        Ok(Next::OnChange)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn token(id: &str, change: &[(&str, &str)]) -> Arc<Secret> {
        let mut data: BTreeMap<String, ByteString> = BTreeMap::new();
        let own =
            [("token-id", id), ("token-secret", "0123456789abcdef"), ("usage-bootstrap-signing", "true")];
        for (name, value) in own.iter().chain(change) {
            data.insert((*name).to_owned(), ByteString(value.as_bytes().to_vec()));
        }
        let mut secret = Secret { data: Some(data), ..Secret::default() };
        secret.metadata.name = Some(format!("{PREFIX}{id}"));
        Arc::new(secret)
    }

    fn info(data: &[(&str, &str)]) -> ConfigMap {
        let data = data.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        ConfigMap { data: Some(data), ..ConfigMap::default() }
    }

    fn now() -> Timestamp {
        "2024-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_info_has_one_signature_of_each_token_that_may_sign() {
        let info = info(&[("kubeconfig", "k"), ("jws-kubeconfig-gone00", "x"), ("other", "o")]);
        let secrets = [
            token("abcdef", &[]),
            token("expire", &[("expiration", "2023-01-01T00:00:00Z")]),
            token("others", &[("usage-bootstrap-signing", "false")]),
            token("wrongs", &[("token-id", "abcdef")]),
        ];
        let signed = plan(&info, &secrets, now()).unwrap();
        let names: Vec<&str> = signed.data.as_ref().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["jws-kubeconfig-abcdef", "kubeconfig", "other"]);
        assert_eq!(plan(&signed, &secrets, now()), None);
        assert_eq!(plan(&super::tests::info(&[]), &secrets, now()), None);
    }

    #[test]
    fn a_signature_is_that_of_kubeadm() {
        let content = "Hello from the other side. I must have called a thousand times.";
        let wanted = "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8";
        assert_eq!(sign(content, ("joshua", "my voice is my passcode")), wanted);
    }
}
