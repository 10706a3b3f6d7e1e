//! Tokens that Secrets hold (`kubernetes.io/service-account-token`).
//!
//! # Guarantees
//! Such a token counts only while its Secret holds it and its ServiceAccount is there with the same uid. Its Secret
//! tells by a label on which day it was last used, whether it counted or not.

use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::tz::TimeZone;
use wherry_api::kinds::{Kind, by_kind};
use wherry_schema::Value;

use super::claims::{LegacyClaims, user_groups, user_name};
use crate::auth::{Bearer, Refused, UserInfo};
use crate::codec;
use crate::error::Failure;
use crate::notes::Notes;
use crate::object::{self, Fields};
use crate::request::query::WriteOptions;
use crate::state::State;
use crate::verbs::Cx;
use crate::verbs::update::{Part, Wanted, update};

/// Since when a token does not count any more because nobody used it.
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
/// The day on which a token was last used.
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const WARNING: &str = "Use tokens from the TokenRequest API or manually created secret-based tokens instead of \
                       auto-generated secret-based tokens.";
const MANAGER: &str = "kube-apiserver";

/// A token of a Secret that somebody used.
#[derive(Debug)]
pub(crate) struct Used {
    namespace: String,
    secret: String,
    uid: String,
    account: String,
    /// The day that the Secret tells of.
    last: String,
    /// Whether the ServiceAccount lists the Secret, as those do that once got one made for them.
    automatic: bool,
    /// Why it does not count any more.
    pub(crate) invalid: Option<String>,
}

/// Who has the token of a Secret. It is for this API, and for nobody else.
pub(super) fn bearer(
    state: &State,
    token: &str,
    claims: &LegacyClaims,
    (asked, own): (&[String], &[String]),
) -> Result<Bearer, Refused> {
    let audiences: Vec<String> = asked.iter().filter(|one| own.contains(one)).cloned().collect();
    if audiences.is_empty() && !asked.is_empty() {
        return Err(Refused::Audience { of: own.to_vec(), asked: asked.to_vec() });
    }
    let used = check(state, token, claims).map_err(|why| why.map_or(Refused::Gone, Refused::Told))?;
    let user = UserInfo {
        name: user_name(&claims.namespace, &claims.account),
        uid: claims.uid.clone(),
        groups: user_groups(&claims.namespace),
        ..UserInfo::default()
    };
    Ok(Bearer { legacy: Some(Box::new(used)), ..Bearer::new(user, audiences) })
}

/// Whether the token is still there; the error has words where there are any.
fn check(state: &State, token: &str, claims: &LegacyClaims) -> Result<Used, Option<String>> {
    let LegacyClaims { namespace, secret, account, uid, sub, .. } = claims;
    if *sub != user_name(namespace, account) {
        return Err(Some("sub claim is invalid".to_owned()));
    }
    let found = find(state, "Secret", namespace, secret);
    let found = found.filter(|found| !object::terminating(found)).ok_or(None)?;
    let data =
        found.get("data").and_then(|data| data.get("token")).and_then(Value::as_str).unwrap_or_default();
    if STANDARD.decode(data).ok().as_deref() != Some(token.as_bytes()) {
        return Err(Some("token does not match server's copy".to_owned()));
    }
    let owner = find(state, "ServiceAccount", namespace, account).ok_or(None)?;
    if object::terminating(&owner) {
        return Err(Some(format!("service account {namespace}/{account} has been deleted")));
    }
    let current = owner.text("metadata.uid");
    if current != uid {
        return Err(Some(format!("service account UID ({current}) does not match claim ({uid})")));
    }
    Ok(used(claims, &found, &owner))
}

fn used(claims: &LegacyClaims, secret: &Value, owner: &Value) -> Used {
    let label = |name: &str| {
        let labels = secret.map("metadata.labels");
        labels.and_then(|labels| labels.get(name)).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let (namespace, name, account) = (&claims.namespace, &claims.secret, &claims.account);
    let invalid = !label(INVALID_SINCE).is_empty();
    let invalid = invalid.then(|| {
        format!(
            "the token in secret {namespace}/{name} for service account {namespace}/{account} has been marked invalid. \
             Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the \
             '{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
        )
    });
    Used {
        namespace: namespace.clone(),
        secret: name.clone(),
        uid: secret.text("metadata.uid").to_owned(),
        account: account.clone(),
        last: label(LAST_USED),
        automatic: owner.items("secrets").iter().any(|one| one.text("name") == name),
        invalid,
    }
}

fn find(state: &State, kind: &str, namespace: &str, name: &str) -> Option<Value> {
    state.find(&codec::key(core(kind), namespace, name)).ok().flatten()
}

fn core(kind: &str) -> &'static Kind {
    by_kind("", "v1", kind).expect("the kinds table has what tokens are made of")
}

impl Used {
    /// Tells whoever used it what to use instead, and the audit log whose it is.
    pub(crate) fn tell(&self, notes: &Notes) {
        let annotate =
            |name: &str, value: String| notes.annotate(format!("authentication.k8s.io/{name}"), value);
        annotate("legacy-token", user_name(&self.namespace, &self.account));
        if self.automatic {
            notes.warn(WARNING);
            annotate("legacy-token-autogenerated-secret", self.secret.clone());
        } else {
            annotate("legacy-token-manual-secret", self.secret.clone());
        }
    }

    /// Counts the use, and lets the Secret tell of the day; once a day, because it is written then.
    pub(crate) async fn note(&self, state: &State) {
        let counts = &state.metrics.accounts;
        counts.legacy.fetch_add(1, Ordering::Relaxed);
        match (&self.invalid, self.automatic) {
            (Some(_), _) => &counts.invalid,
            (None, true) => &counts.automatic,
            (None, false) => &counts.manual,
        }
        .fetch_add(1, Ordering::Relaxed);
        let today = state.clock.now().to_zoned(TimeZone::UTC).date();
        // Clocks of servers differ: it may be tomorrow already for another one.
        let tomorrow = today.tomorrow().unwrap_or(today);
        if [today, tomorrow].iter().any(|day| day.to_string() == self.last) {
            return;
        }
        match self.write(state, &today.to_string()).await {
            Ok(()) | Err(Failure::NotFound { .. }) => {}
            Err(error) => {
                let (namespace, secret) = (&*self.namespace, &*self.secret);
                tracing::warn!(namespace, secret, %error, "the use of a token cannot be noted");
            }
        }
    }

    async fn write(&self, state: &State, day: &str) -> Result<(), Failure> {
        let options = WriteOptions::own(MANAGER);
        let change = &mut |live: &Value| {
            let mut live = live.clone();
            // Another Secret of this name is not the one that was used.
            live.put("metadata.uid", &*self.uid);
            live.set(&["metadata", "labels", LAST_USED], day);
            Ok(Wanted::Put(live))
        };
        let cx = Cx::new(state, core("Secret"), &self.namespace);
        update(&cx, &self.secret, Part::Whole, &options, change).await.map(drop)
    }
}
