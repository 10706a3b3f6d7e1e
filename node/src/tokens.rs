//! Tokens of ServiceAccounts for the pods of this node: asked of the API server, kept, and renewed in time.
//!
//! # Guarantees
//! - A token is bound to its pod, and asked for once however often its volume is written.
//! - It is renewed when four fifths of its life or a day are over; while the API server does not give another, the one
//!   there is stays in use until it expires.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;
use wherry_api::clock::Clock;

/// However long a token lives, it is renewed after a day.
const LONGEST: Duration = Duration::from_hours(24);
/// When a renewal that failed is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// What the API gives a token that asks for no lifetime.
const DEFAULT_SECONDS: i64 = 3600;

/// A token could not be had.
#[derive(Clone, Debug, thiserror::Error)]
#[error("failed to fetch token: {reason}")]
pub(crate) struct TokenError {
    reason: String,
}

/// A token, and when its holder should ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// The token.
    pub(crate) text: String,
    /// When to ask again.
    pub(crate) renew_at: Timestamp,
    /// When nobody takes it any more.
    pub(crate) expires_at: Timestamp,
}

/// What a pod's tokens are told apart by: the pod's uid, the audience, the lifetime.
type Key = (String, String, i64);

/// The tokens of all pods.
pub(crate) struct Tokens {
    client: Client,
    clock: Arc<dyn Clock>,
    held: Mutex<BTreeMap<Key, Token>>,
}

impl Tokens {
    /// Holds none yet.
    pub(crate) fn new(client: &Client, clock: &Arc<dyn Clock>) -> Self {
        Self { client: client.clone(), clock: clock.clone(), held: Mutex::default() }
    }

    /// A token of the pod's ServiceAccount for this audience; an empty one means the API server itself.
    pub(crate) async fn get(
        &self,
        pod: &Pod,
        audience: &str,
        seconds: Option<i64>,
    ) -> Result<Token, TokenError> {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let key = (uid, audience.to_owned(), seconds.unwrap_or(DEFAULT_SECONDS));
        let held = self.held.lock().get(&key).cloned();
        let now = self.clock.now();
        if let Some(held) = held.as_ref().filter(|held| now < held.renew_at) {
            return Ok(held.clone());
        }
        match self.request(pod, audience, key.2).await {
            Ok(fresh) => {
                self.held.lock().insert(key, fresh.clone());
                Ok(fresh)
            }
            Err(error) => {
                let Some(held) = held.filter(|held| now < held.expires_at) else { return Err(error) };
                tracing::warn!(pod = %key.0, error = %error, "a token cannot be renewed yet");
                Ok(Token { renew_at: after(now, RETRY), ..held })
            }
        }
    }

    /// The pod's ServiceAccount, as it is now.
    pub(crate) async fn account(&self, pod: &Pod) -> Result<ServiceAccount, kube::Error> {
        let (api, name) = self.accounts(pod);
        api.get(name).await
    }

    /// Forgets the tokens of the pod.
    pub(crate) fn release(&self, uid: &str) {
        let mut held = self.held.lock();
        let from = (uid.to_owned(), String::new(), i64::MIN);
        let own = held.range(from..).map(|(key, _)| key).take_while(|(of, _, _)| of == uid);
        for key in own.cloned().collect::<Vec<_>>() {
            held.remove(&key);
        }
    }

    /// The accounts of the pod's namespace, and the name of its own.
    fn accounts<'p>(&self, pod: &'p Pod) -> (Api<ServiceAccount>, &'p str) {
        let name = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let api = Api::namespaced(self.client.clone(), namespace);
        (api, name.filter(|name| !name.is_empty()).unwrap_or("default"))
    }

    async fn request(&self, pod: &Pod, audience: &str, seconds: i64) -> Result<Token, TokenError> {
        let (api, account) = self.accounts(pod);
        let request = request_for(pod, audience, seconds);
        let answer = api.create_token_request(account, &PostParams::default(), &request).await;
        let answer = answer.map_err(|error| TokenError { reason: error.to_string() })?;
        let granted = answer.spec.and_then(|spec| spec.expiration_seconds).unwrap_or(seconds);
        let status = answer.status.unwrap_or_default();
        let (Some(text), Some(expires_at)) = (status.token, status.expiration_timestamp) else {
            return Err(TokenError { reason: "the answer has no token".to_owned() });
        };
        Ok(Token { text, renew_at: renewal(expires_at.0, granted), expires_at: expires_at.0 })
    }
}

fn request_for(pod: &Pod, audience: &str, seconds: i64) -> TokenRequest {
    let audiences = (!audience.is_empty()).then(|| vec![audience.to_owned()]);
    let bound_object_ref = Some(BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
    });
    let spec = TokenRequestSpec { audiences, bound_object_ref, expiration_seconds: Some(seconds) };
    TokenRequest { spec: Some(spec), ..TokenRequest::default() }
}

/// When a token of this lifetime is renewed.
fn renewal(expires_at: Timestamp, seconds: i64) -> Timestamp {
    let life = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let begin = expires_at.saturating_sub(life).unwrap_or(Timestamp::MIN);
    after(begin, (life * 4 / 5).min(LONGEST))
}

fn after(time: Timestamp, wait: Duration) -> Timestamp {
    time.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::testing::FakeApi;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[tokio::test]
    async fn a_pod_that_goes_takes_its_own_tokens_with_it() {
        let clock: Arc<dyn Clock> = Arc::new(wherry_api::clock::SystemClock);
        let tokens = Tokens::new(&FakeApi::new().client(), &clock);
        let token = Token { text: String::new(), renew_at: at(1), expires_at: at(2) };
        let keys = [("u1", "", 1), ("u1", "a", -2), ("u1", "z", 3), ("u10", "", 1), ("u0", "z", 1)];
        let keys = keys.map(|(uid, audience, seconds)| (uid.to_owned(), audience.to_owned(), seconds));
        tokens.held.lock().extend(keys.clone().map(|key| (key, token.clone())));
        tokens.release("u1");
        let left: Vec<_> = tokens.held.lock().keys().cloned().collect();
        assert_eq!(left, [keys[4].clone(), keys[3].clone()]);
    }

    #[rstest]
    #[case::an_hour(3600, 2880)]
    #[case::ten_minutes(600, 480)]
    #[case::a_year(365 * 86_400, 86_400)]
    fn a_token_is_renewed_after_four_fifths_of_its_life_or_a_day(#[case] life: i64, #[case] renewed: i64) {
        assert_eq!(renewal(at(1_000_000 + life), life), at(1_000_000 + renewed));
    }
}
