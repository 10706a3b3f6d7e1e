//! What a driver is told about the pod it gives a volume to, if its CSIDriver asks for it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::storage::v1::CSIDriverSpec;
use serde_json::json;

use crate::tokens::{TokenError, Tokens};

const TOKENS: &str = "csi.storage.k8s.io/serviceAccount.tokens";

/// The pod, in the words of `podInfoOnMount`.
pub(super) fn of_pod(pod: &Pod, is_ephemeral: bool) -> BTreeMap<String, String> {
    let meta = &pod.metadata;
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
    let told = [
        ("pod.name", meta.name.clone()),
        ("pod.namespace", meta.namespace.clone()),
        ("pod.uid", meta.uid.clone()),
        ("serviceAccount.name", account),
        ("ephemeral", Some(is_ephemeral.to_string())),
    ];
    told.map(|(name, value)| (format!("csi.storage.k8s.io/{name}"), value.unwrap_or_default())).into()
}

/// Tokens of the pod's ServiceAccount for the audiences that the driver asks for; empty if it asks for none.
pub(super) async fn tokens(
    pod: &Pod,
    driver: &CSIDriverSpec,
    tokens: &Tokens,
) -> Result<BTreeMap<String, String>, TokenError> {
    let mut by_audience = serde_json::Map::new();
    for request in driver.token_requests.iter().flatten() {
        let token = tokens.get(pod, &request.audience, request.expiration_seconds).await?;
        let told = json!({ "token": token.text, "expirationTimestamp": token.expires_at });
        by_audience.insert(request.audience.clone(), told);
    }
    if by_audience.is_empty() {
        return Ok(BTreeMap::new());
    }
    Ok(BTreeMap::from([(TOKENS.to_owned(), serde_json::Value::Object(by_audience).to_string())]))
}
