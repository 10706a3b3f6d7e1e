//! From a token to the user it names.
//!
//! # Guarantees
//! A token counts only while its ServiceAccount and the Pod, Secret or Node that it is bound to are there with the uid
//! they had when it was made: deleting any of them makes the token worthless, whatever its expiry says.

use std::sync::atomic::Ordering;

use jiff::Timestamp;

use super::claims::{Claims, Objects, Reference, user_groups, user_name};
use super::{Said, TokenIssuer, legacy};
use crate::auth::{Bearer, Refused, UserInfo, credential};
use crate::codec;
use crate::object::Fields;
use crate::state::State;

/// How far clocks may be apart, and how long what is being deleted still counts.
const LEEWAY_SECONDS: i64 = 60;

/// Who has a token that is meant for one of these audiences.
pub(crate) fn bearer(
    state: &State,
    issuer: &TokenIssuer,
    token: &str,
    asked: &[String],
) -> Result<Bearer, Refused> {
    let claims = match issuer.read(token)? {
        Said::Bound(claims) => claims,
        Said::Legacy(claims) => return legacy::bearer(state, token, &claims, (asked, issuer.audiences())),
    };
    let audiences: Vec<String> = asked.iter().filter(|one| claims.aud.contains(one)).cloned().collect();
    if audiences.is_empty() {
        return Err(Refused::Audience { of: claims.aud, asked: asked.to_vec() });
    }
    check_time(&claims, state.clock.now())?;
    check_objects(state, &claims)?;
    let stale = count(state, &claims);
    Ok(Bearer { stale, ..Bearer::new(user(*claims), audiences) })
}

/// Counts the use of a token that outlives what its holder was told, and says by how many seconds it is too old.
fn count(state: &State, claims: &Claims) -> Option<i64> {
    let after = state.clock.now().as_second() - claims.objects.warnafter.filter(|at| *at != 0)?;
    let counts = &state.metrics.accounts;
    if after > 0 { &counts.stale } else { &counts.valid }.fetch_add(1, Ordering::Relaxed);
    (after > 0).then_some(after)
}

/// The user that claims are about.
fn user(claims: Claims) -> UserInfo {
    let Objects { namespace, node, pod, serviceaccount: account, .. } = claims.objects;
    let mut extra = credential(format!("JTI={}", claims.jti));
    for (kind, reference) in [("pod", pod), ("node", node)] {
        let Some(Reference { name, uid }) = reference else { continue };
        extra.insert(format!("authentication.kubernetes.io/{kind}-name"), vec![name]);
        if !uid.is_empty() {
            extra.insert(format!("authentication.kubernetes.io/{kind}-uid"), vec![uid]);
        }
    }
    UserInfo {
        name: user_name(&namespace, &account.name),
        uid: account.uid,
        groups: user_groups(&namespace),
        extra,
    }
}

fn check_time(claims: &Claims, now: Timestamp) -> Result<(), Refused> {
    let now = now.as_second();
    if now.saturating_add(LEEWAY_SECONDS) < claims.nbf.max(claims.iat) {
        return Err(Refused::Early);
    }
    if now.saturating_sub(LEEWAY_SECONDS) > claims.exp { Err(Refused::Expired) } else { Ok(()) }
}

fn check_objects(state: &State, claims: &Claims) -> Result<(), Refused> {
    let objects = &claims.objects;
    let namespace = &objects.namespace;
    let live = |kind: &str, namespace: &str, reference: &Reference| {
        if is_live(state, kind, namespace, reference) { Ok(()) } else { Err(Refused::Gone) }
    };
    live("ServiceAccount", namespace, &objects.serviceaccount)?;
    if let Some(secret) = &objects.secret {
        live("Secret", namespace, secret)?;
    }
    if let Some(pod) = &objects.pod {
        return live("Pod", namespace, pod);
    }
    // Of a Pod's token the node only tells where the Pod runs; the Pod goes with its node.
    objects.node.as_ref().map_or(Ok(()), |node| live("Node", "", node))
}

/// Whether the object is there, is the same one, and is not being deleted for longer than clocks may differ.
fn is_live(state: &State, kind: &str, namespace: &str, reference: &Reference) -> bool {
    let kind =
        wherry_api::kinds::by_kind("", "v1", kind).expect("the kinds table has what tokens are bound to");
    let Ok(Some(object)) = state.find(&codec::key(kind, namespace, &reference.name)) else { return false };
    let deleted: Option<Timestamp> = object.text("metadata.deletionTimestamp").parse().ok();
    let now = state.clock.now().as_second();
    object.text("metadata.uid") == reference.uid
        && deleted.is_none_or(|at| at.as_second() >= now.saturating_sub(LEEWAY_SECONDS))
}
