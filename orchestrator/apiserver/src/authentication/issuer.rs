//! [`Issuer`]: takes the tokens that another server made.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use wherry_api::clock::Clock;
use wherry_schema::Value;

use super::document::Authenticator;
use super::provider::{Fetched, Provider};
use super::rules::Rules;
use crate::auth::UserInfo;
use crate::jose::{Algorithm, Compact};
use crate::outbound::tls;
use crate::state::State;

/// How far clocks may be apart where a token is not valid yet.
const LEEWAY_SECONDS: i64 = 60;
/// The issuer that leaves its scheme out.
const GOOGLE: (&str, &str) = ("accounts.google.com", "https://accounts.google.com");

/// Upper bounds of the classes of durations, in microseconds.
pub(crate) const BOUNDS: [u64; 12] = [
    1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];

/// How long tokens took that were taken, or refused.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    classes: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

impl Latency {
    fn record(&self, took: SignedDuration) {
        let took = u64::try_from(took.as_micros()).unwrap_or_default();
        let class = BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(BOUNDS.len());
        self.classes[class].fetch_add(1, Ordering::Relaxed);
        self.microseconds.fetch_add(took, Ordering::Relaxed);
    }

    /// How many took at most as long as each bound and longer, and how many microseconds all took together.
    pub(crate) fn counts(&self) -> ([u64; BOUNDS.len() + 1], u64) {
        let mut sum = 0;
        let cumulated = self.classes.each_ref().map(|count| {
            sum += count.load(Ordering::Relaxed);
            sum
        });
        (cumulated, self.microseconds.load(Ordering::Relaxed))
    }
}

/// Takes the tokens of one issuer.
pub(crate) struct Issuer {
    config: Authenticator,
    algorithms: Vec<Algorithm>,
    rules: Rules,
    provider: Provider,
    /// Of tokens that were taken, and of those that were not.
    latency: [Latency; 2],
}

impl Issuer {
    /// An issuer as it is configured.
    pub(super) fn new(
        config: &Authenticator,
        rules: Rules,
        algorithms: &[Algorithm],
    ) -> Result<Self, String> {
        let issuer = &config.issuer;
        let tls = tls::connector(&STANDARD.encode(&issuer.certificate_authority))?;
        let provider = Provider::new(&issuer.url, &issuer.discovery_url, tls);
        let (config, algorithms) = (config.clone(), algorithms.to_vec());
        Ok(Self { config, algorithms, rules, provider, latency: Default::default() })
    }

    /// Whether it would be the same by this configuration.
    pub(super) fn is_same(&self, config: &Authenticator, algorithms: &[Algorithm]) -> bool {
        self.config == *config && self.algorithms == algorithms
    }

    /// Its name.
    pub(crate) fn url(&self) -> &str {
        &self.config.issuer.url
    }

    /// Whether tokens name it so.
    pub(super) fn is_called(&self, url: &str) -> bool {
        self.url() == if url == GOOGLE.0 { GOOGLE.1 } else { url }
    }

    /// How long tokens took that were taken, and how long others.
    pub(crate) fn latency(&self) -> &[Latency; 2] {
        &self.latency
    }

    /// How its keys were fetched.
    pub(crate) fn fetched(&self) -> Fetched {
        self.provider.fetched()
    }

    /// The user whom a token of this issuer is about.
    pub(super) async fn user(&self, state: &State, token: &str) -> Result<UserInfo, String> {
        let started = state.clock.now();
        let user = self.read(&*state.clock, token).await;
        let took = state.clock.now().duration_since(started);
        self.latency[usize::from(user.is_err())].record(took);
        user
    }

    async fn read(&self, clock: &dyn Clock, token: &str) -> Result<UserInfo, String> {
        let malformed = || "oidc: verify token: oidc: malformed jwt".to_owned();
        let token = Compact::parse(token).ok_or_else(malformed)?;
        let claims = Value::from_json(&token.payload).map_err(|_| malformed())?;
        let told = |why: String| format!("oidc: verify token: oidc: {why}");
        self.check_audience(&claims).map_err(told)?;
        check_time(&claims, clock.now().as_second()).map_err(told)?;
        let algorithm = Algorithm::named(&token.algorithm).filter(|one| self.algorithms.contains(one));
        let algorithm = algorithm.ok_or_else(|| {
            let names: Vec<&str> = self.algorithms.iter().map(|one| one.name()).collect();
            let (expected, got) = (names.join(" "), &token.algorithm);
            told(format!("id token signed with unsupported algorithm, expected [{expected:?}] got {got:?}"))
        })?;
        self.provider.verify(clock, &token, algorithm).await?;
        self.rules.user(&claims)
    }

    fn check_audience(&self, claims: &Value) -> Result<(), String> {
        let found: Vec<&str> = match claims.get("aud") {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            Some(one) => one.as_str().into_iter().collect(),
            None => Vec::new(),
        };
        let wanted = &self.config.issuer.audiences;
        if found.iter().any(|one| wanted.iter().any(|audience| audience == one)) {
            return Ok(());
        }
        Err(format!("expected audience in {wanted:?} got {found:?}"))
    }
}

/// A moment that a claim names, which may have a fraction.
fn moment(claims: &Value, name: &str) -> Option<i64> {
    let value = claims.get(name)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is no time of this world is the nearest end of time"
    )]
    value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64))
}

fn check_time(claims: &Value, now: i64) -> Result<(), String> {
    let expiry = moment(claims, "exp").unwrap_or(i64::MIN);
    if expiry < now {
        let shown =
            jiff::Timestamp::from_second(expiry).map_or_else(|_| "none".to_owned(), |it| it.to_string());
        return Err(format!("token is expired (Token Expiry: {shown})"));
    }
    match moment(claims, "nbf") {
        Some(start) if now.saturating_add(LEEWAY_SECONDS) < start => {
            Err("current time before the nbf (not before) time".to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_counts_from_its_beginning_to_its_end() {
        let at = |claims: serde_json::Value, now: i64| check_time(&claims.into(), now).is_ok();
        assert!(at(json!({"exp": 10}), 10));
        assert!(!at(json!({"exp": 10}), 11));
        assert!(!at(json!({}), 0));
        assert!(at(json!({"exp": 1e3, "nbf": 70}), 10));
        assert!(!at(json!({"exp": 1e3, "nbf": 71}), 10));
    }

    #[test]
    fn durations_are_counted_in_classes() {
        let latency = Latency::default();
        latency.record(SignedDuration::from_millis(3));
        latency.record(SignedDuration::from_secs(60));
        let (classes, sum) = latency.counts();
        assert_eq!((classes[0], classes[1], classes[BOUNDS.len()], sum), (0, 1, 2, 60_003_000));
    }

    proptest! {
        #[test]
        fn any_times_are_judged(exp: f64, nbf: i64, now: i64) {
            let _ = check_time(&json!({"exp": exp, "nbf": nbf}).into(), now);
        }
    }
}
