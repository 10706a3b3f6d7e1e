//! Deletes bootstrap tokens that have expired.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use kube::{Api, Client};
use wherry_api::clock::Clock;

use super::{End, end};
use crate::context::{Caches, Context};
use crate::objects::meta::Key;
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

/// Keys are those of Secrets.
pub(crate) struct CleanerController {
    client: Client,
    caches: Arc<Caches>,
    clock: Arc<dyn Clock>,
}

/// How long a token still counts; none if it has ended.
fn left(secret: &Secret, now: Timestamp) -> Option<Next> {
    match end(secret) {
        End::Never => Some(Next::OnChange),
        End::Unknown => None,
        End::At(at) => {
            let left = Duration::try_from(at.duration_since(now)).ok()?;
            (!left.is_zero()).then_some(Next::After(left))
        }
    }
}

impl Controller for CleanerController {
    const NAME: &'static str = "token-cleaner-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let wake = queue.clone();
        context.caches.bootstrap_secrets.on_change(move |change| {
            if let Some(secret) = change.new {
                wake.add(Key::of(&**secret));
            }
        });
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            clock: context.config.clock.clone(),
        }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(secret) = self.caches.bootstrap_secrets.get(key) else { return Ok(Next::OnChange) };
        if let Some(next) = left(&secret, self.clock.now()) {
            return Ok(next);
        }
        let api = Api::<Secret>::namespaced(self.client.clone(), &key.namespace);
        let deleted = delete(&api, &secret.metadata, Only::Unchanged, DeleteParams::default()).await;
        deleted.step("deleting an expired bootstrap token").map(|_| Next::OnChange)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", Some(Next::OnChange))]
    #[case("2024-01-01T00:01:00Z", Some(Next::After(Duration::from_mins(1))))]
    #[case("2024-01-01T02:01:00+02:00", Some(Next::After(Duration::from_mins(1))))]
    #[case("2024-01-01T00:00:00Z", None)]
    #[case("2023-01-01T00:00:00Z", None)]
    #[case("tomorrow", None)]
    fn a_token_lasts_until_it_expires(#[case] expiration: &str, #[case] wanted: Option<Next>) {
        let data = [("expiration".to_owned(), ByteString(expiration.as_bytes().to_vec()))].into();
        let secret = Secret { data: Some(data), ..Secret::default() };
        assert_eq!(left(&secret, "2024-01-01T00:00:00Z".parse().unwrap()), wanted);
    }
}
