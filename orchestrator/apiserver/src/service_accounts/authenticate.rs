//! From a token to the user it names.
//!
//! # Guarantees
//! A token counts only while its ServiceAccount and the Pod, Secret or Node that it is bound to are there with the uid
//! they had when it was made: deleting any of them makes the token worthless, whatever its expiry says.

use jiff::Timestamp;

use super::TokenIssuer;
use super::claims::{Claims, Reference, user_name};
use super::jwt::Refused;
use crate::auth::{SERVICE_ACCOUNTS, UserInfo};
use crate::codec;
use crate::object::Fields;
use crate::state::State;

/// How far clocks may be apart, and how long what is being deleted still counts.
const LEEWAY_SECONDS: i64 = 60;

/// The user of a token for this API.
pub(crate) fn user(state: &State, issuer: &TokenIssuer, token: &str) -> Result<UserInfo, Refused> {
    let claims = issuer.read(token)?;
    if !claims.aud.iter().any(|audience| audience == issuer.url()) {
        return Err(Refused::Audience);
    }
    check_time(&claims, state.clock.now())?;
    check_objects(state, &claims)?;
    let account = claims.objects.serviceaccount;
    let namespace = claims.objects.namespace;
    Ok(UserInfo {
        name: user_name(&namespace, &account.name),
        uid: account.uid,
        groups: vec![
            SERVICE_ACCOUNTS.to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ],
    })
}

fn check_time(claims: &Claims, now: Timestamp) -> Result<(), Refused> {
    let now = now.as_second();
    let begun = now.saturating_add(LEEWAY_SECONDS) >= claims.nbf.max(claims.iat);
    let over = now.saturating_sub(LEEWAY_SECONDS) > claims.exp;
    if begun && !over { Ok(()) } else { Err(Refused::Time) }
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
