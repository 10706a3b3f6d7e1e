//! What is counted of tokens: of ServiceAccounts, and of those that others made, and of the file that says whose count.

use std::sync::atomic::Ordering;

use sha2::{Digest, Sha256};

use super::AccountTokens;
use super::render::Text;
use crate::authentication::{Authentication, BOUNDS, Issuer};
use crate::hex::hex;

const LATENCY: &str = "apiserver_authentication_jwt_authenticator_latency_seconds";
const FETCHED: &str = "apiserver_authentication_jwt_authenticator_jwks_fetch_last_timestamp_seconds";
const KEY_SET: &str = "apiserver_authentication_jwt_authenticator_jwks_fetch_last_key_set_info";
const RELOADS: &str = "apiserver_authentication_config_controller_automatic_reloads_total";
const RELOADED: &str = "apiserver_authentication_config_controller_automatic_reload_last_timestamp_seconds";

const RESULTS: [&str; 2] = ["success", "failure"];

/// Writes how tokens of ServiceAccounts were used.
pub(super) fn accounts(text: &mut Text, counts: &AccountTokens) {
    for (name, count, help) in [
        ("legacy_auto_token_uses", &counts.automatic, "auto-generated legacy tokens used"),
        ("invalid_legacy_auto_token_uses", &counts.invalid, "invalid auto-generated legacy tokens used"),
        ("legacy_manual_token_uses", &counts.manual, "manually created legacy tokens used"),
        ("legacy_tokens", &counts.legacy, "legacy service account tokens used"),
        ("stale_tokens", &counts.stale, "stale projected service account tokens used"),
        ("valid_tokens", &counts.valid, "valid projected service account tokens used"),
    ] {
        let (name, help) = (format!("serviceaccount_{name}_total"), format!("[ALPHA] Cumulative {help}"));
        text.single(&name, "counter", &help, count.load(Ordering::Relaxed));
    }
}

/// Writes what there is to say of tokens that others made.
pub(super) fn render(text: &mut Text, authentication: &Authentication) {
    let issuers = authentication.issuers();
    if !issuers.is_empty() {
        latency(text, &issuers);
        fetches(text, &issuers);
    }
    let Some(reloads) = authentication.reloads() else { return };
    text.family(
        RELOADS,
        "counter",
        "[BETA] Total number of automatic reloads of authentication configuration split by status.",
    );
    for (status, count) in RESULTS.iter().zip([reloads.succeeded, reloads.failed]) {
        text.sample(RELOADS, &format!("status=\"{status}\""), count);
    }
    text.family(
        RELOADED,
        "gauge",
        "[BETA] Timestamp of the last automatic reload of authentication configuration split by status.",
    );
    for (status, at) in RESULTS.iter().zip(reloads.last) {
        if let Some(at) = at {
            text.sample(RELOADED, &format!("status=\"{status}\""), at);
        }
    }
}

/// What tells apart issuers without naming them.
fn digest(issuer: &Issuer) -> String {
    format!("jwt_issuer_hash=\"sha256:{}\"", hex(&Sha256::digest(issuer.url())))
}

fn latency(text: &mut Text, issuers: &[std::sync::Arc<Issuer>]) {
    text.family(LATENCY, "histogram", "[BETA] Latency of jwt authentication operations in seconds. This is the time spent authenticating a token for cache miss only (i.e. when the token is not found in the cache).");
    for issuer in issuers {
        for (result, latency) in RESULTS.iter().zip(issuer.latency()) {
            let (classes, micros) = latency.counts();
            let labels = format!("{},result=\"{result}\"", digest(issuer));
            let bounds = BOUNDS.iter().map(|bound| seconds(*bound)).chain(["+Inf".to_owned()]);
            for (bound, count) in bounds.zip(classes) {
                text.sample(&format!("{LATENCY}_bucket"), &format!("{labels},le=\"{bound}\""), count);
            }
            text.sample(&format!("{LATENCY}_sum"), &labels, seconds(micros));
            text.sample(&format!("{LATENCY}_count"), &labels, classes[BOUNDS.len()]);
        }
    }
}

fn fetches(text: &mut Text, issuers: &[std::sync::Arc<Issuer>]) {
    text.family(FETCHED, "gauge", "[ALPHA] Timestamp of the last successful or failed JWKS fetch split by result and jwt issuer for the JWT authenticator.");
    for issuer in issuers {
        for (result, at) in RESULTS.iter().zip(issuer.fetched().last) {
            if let Some(at) = at {
                text.sample(FETCHED, &format!("{},result=\"{result}\"", digest(issuer)), at);
            }
        }
    }
    text.family(KEY_SET, "gauge", "[ALPHA] Information about the last JWKS fetched by the JWT authenticator with hash as label, split by jwt issuer.");
    for issuer in issuers {
        let fetched = issuer.fetched();
        if !fetched.digest.is_empty() {
            text.sample(KEY_SET, &format!("hash=\"{}\",{}", fetched.digest, digest(issuer)), 1);
        }
    }
}

/// Microseconds as seconds, without what says nothing.
fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn seconds_have_no_zeros_at_their_end() {
        assert_eq!([1_000, 2_500_000, 10_000_000, 0].map(seconds), ["0.001", "2.5", "10", "0"]);
    }
}
