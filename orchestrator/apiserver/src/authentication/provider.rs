//! [`Provider`]: the keys of an issuer, fetched when they are needed.
//!
//! ```text
//! (nothing) --- a token ---> (discovered, keys) --- a token that no key verifies ---> fetched again
//! ```
//!
//! # Guarantees
//! Whoever sends tokens that no key verifies makes the keys be fetched, but seldom: each time that did not help doubles
//! the time until the next. One fetch is under way at a time, and all who wait for keys share it. Nobody fetches
//! anything while no tokens come.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsConnector;
use wherry_api::clock::Clock;
use wherry_schema::Value;

use crate::hex::hex;
use crate::jose::{Algorithm, Compact, PublicKey};
use crate::object::Fields;
use crate::outbound::fetch;

const WELL_KNOWN: &str = "/.well-known/openid-configuration";
/// Seconds until keys may be fetched again: at first, and at most.
const FIRST: i64 = 1;
const LONGEST: i64 = 60;

type Keys = Arc<Vec<PublicKey>>;

/// The keys of an issuer.
pub(super) struct Provider {
    issuer: String,
    discovery: String,
    tls: TlsConnector,
    keys: RwLock<Option<Keys>>,
    schedule: tokio::sync::Mutex<Schedule>,
    fetched: Mutex<Fetched>,
}

/// When keys may be fetched next, and from where.
#[derive(Default)]
struct Schedule {
    keys_at: Option<String>,
    next: Option<Timestamp>,
    pause: i64,
}

/// What is known of the last fetches.
#[derive(Debug, Default, Clone)]
pub(crate) struct Fetched {
    /// Seconds of the epoch of the last that brought keys, and of the last that did not.
    pub(crate) last: [Option<i64>; 2],
    /// The digest of the last key set.
    pub(crate) digest: String,
}

impl Provider {
    /// The keys of the issuer of this URL, which may be discovered elsewhere.
    pub(super) fn new(issuer: &str, discovery: &str, tls: TlsConnector) -> Self {
        let discovery = match discovery {
            "" => format!("{}{WELL_KNOWN}", issuer.strip_suffix('/').unwrap_or(issuer)),
            elsewhere => elsewhere.to_owned(),
        };
        Self {
            issuer: issuer.to_owned(),
            discovery,
            tls,
            keys: RwLock::default(),
            schedule: tokio::sync::Mutex::default(),
            fetched: Mutex::default(),
        }
    }

    /// What is known of the last fetches.
    pub(super) fn fetched(&self) -> Fetched {
        self.fetched.lock().clone()
    }

    /// Checks who signed a token.
    pub(super) async fn verify(
        &self,
        clock: &dyn Clock,
        token: &Compact<'_>,
        algorithm: Algorithm,
    ) -> Result<(), String> {
        let known = self.keys.read().clone();
        if is_signed(known.as_ref(), token, algorithm) {
            return Ok(());
        }
        let mut schedule = self.schedule.lock().await;
        // Whoever was first may have brought the key.
        let current = self.keys.read().clone();
        if is_signed(current.as_ref(), token, algorithm) {
            return Ok(());
        }
        let now = clock.now();
        if schedule.next.is_none_or(|next| now >= next) {
            let outcome = self.fetch(&mut schedule).await;
            let helped = outcome.as_ref().is_ok_and(|keys| is_signed(Some(keys), token, algorithm));
            schedule.after(clock.now(), helped);
            self.note(clock.now(), outcome);
            if helped {
                return Ok(());
            }
        }
        Err(match self.keys.read().as_ref() {
            Some(_) => "oidc: verify token: failed to verify signature: failed to verify id token signature",
            None => "oidc: authenticator not initialized",
        }
        .to_owned())
    }

    async fn fetch(&self, schedule: &mut Schedule) -> Result<Keys, String> {
        if schedule.keys_at.is_none() {
            schedule.keys_at = Some(self.discover().await?);
        }
        let url = schedule.keys_at.as_deref().unwrap_or_default();
        let text = fetch::get(url, &self.tls).await?;
        let set = Value::from_json(&text).map_err(|error| format!("oidc: failed to decode keys: {error}"))?;
        self.fetched.lock().digest = format!("sha256:{}", hex(&Sha256::digest(&text)));
        Ok(Arc::new(set.items("keys").iter().filter_map(PublicKey::from_jwk).collect()))
    }

    /// Asks where the keys are.
    async fn discover(&self) -> Result<String, String> {
        let text = fetch::get(&self.discovery, &self.tls).await?;
        let document = Value::from_json(&text);
        let document =
            document.map_err(|error| format!("oidc: failed to decode provider discovery object: {error}"))?;
        let told = document.text("issuer");
        if told != self.issuer {
            return Err(format!(
                "oidc: issuer did not match the issuer returned by provider, expected {:?} got {told:?}",
                self.issuer
            ));
        }
        Ok(document.text("jwks_uri").to_owned())
    }

    fn note(&self, now: Timestamp, outcome: Result<Keys, String>) {
        let failed = usize::from(outcome.is_err());
        self.fetched.lock().last[failed] = Some(now.as_second());
        match outcome {
            Ok(keys) => *self.keys.write() = Some(keys),
            Err(why) => tracing::warn!(issuer = self.issuer, why, "the keys of an issuer cannot be fetched"),
        }
    }
}

impl Schedule {
    /// A fetch ended that brought the key that was looked for, or did not.
    fn after(&mut self, now: Timestamp, helped: bool) {
        self.pause = if helped { FIRST } else { (self.pause * 2).clamp(FIRST, LONGEST) };
        self.next = now.checked_add(SignedDuration::from_secs(self.pause)).ok();
    }
}

fn is_signed(keys: Option<&Keys>, token: &Compact<'_>, algorithm: Algorithm) -> bool {
    let mut named = keys
        .into_iter()
        .flat_map(|keys| keys.iter())
        .filter(|key| token.key.is_empty() || token.key == key.id);
    named.any(|key| key.verifies(token, algorithm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_help_is_tried_ever_more_seldom() {
        let mut schedule = Schedule::default();
        let start = Timestamp::UNIX_EPOCH;
        let mut pauses = Vec::new();
        for helped in [false, false, false, true, false] {
            schedule.after(start, helped);
            pauses.push(schedule.next.unwrap().as_second());
        }
        assert_eq!(pauses, [1, 2, 4, 1, 2]);
        (0..10).for_each(|_| schedule.after(start, false));
        assert_eq!(schedule.next.unwrap().as_second(), LONGEST);
    }
}
