//! What a write takes of quotas, or why it is refused. Pure: quotas in, charged quotas out.

use wherry_api::quota::amounts::{add, beyond, only, show};
use wherry_api::quota::{Amounts, Quota, Resource};
use wherry_schema::Value;

use super::Change;
use super::ledger::Account;
use crate::error::Failure;
use crate::object;
use crate::verbs::Cx;

/// The quotas that the change is charged to, as they are then.
pub(super) fn charges<'a>(
    cx: &Cx<'_>,
    resource: &Resource<'_>,
    change: Change<'_>,
    accounts: &'a [Account],
) -> Result<Vec<(&'a Account, Value)>, Failure> {
    let refuse = |why: String| Failure::forbidden(cx.kind, object::name(change.object), &why);
    let mut matching = Vec::new();
    for account in accounts {
        let quota = Quota::of(&account.object);
        if quota.matches(resource, change.object) {
            check_known(&quota, resource, change.object).map_err(refuse)?;
            matching.push((account, quota));
        }
    }
    if matching.is_empty() {
        return Ok(Vec::new());
    }
    let now = cx.state.clock.now();
    let usage = resource.usage(change.object, now);
    let before = change.old.map(|old| (old, resource.usage(old, now)));
    let mut charges = Vec::new();
    for (account, quota) in matching {
        let counted = before.as_ref().filter(|(old, _)| quota.covers(resource, *old));
        let growth =
            counted.map_or_else(|| beyond(&usage, &Amounts::new()), |(_, before)| beyond(&usage, before));
        let requested = only(&growth, &quota.hard);
        if !requested.is_empty() {
            charges.push((account, charged(account, &quota, &requested).map_err(refuse)?));
        }
    }
    Ok(charges)
}

/// Refuses objects that do not say what they take, and quotas of which nobody knows yet what is used.
fn check_known(quota: &Quota, resource: &Resource<'_>, object: &Value) -> Result<(), String> {
    let limited: Vec<&str> =
        quota.hard.keys().map(String::as_str).filter(|name| resource.tracks(name)).collect();
    if let Some(missing) = resource.missing(object, &limited) {
        return Err(format!("failed quota: {}: {missing}", quota.name));
    }
    if limited.iter().all(|name| quota.used.contains_key(*name)) {
        return Ok(());
    }
    Err(format!("status unknown for quota: {}, resources: {}", quota.name, limited.join(",")))
}

/// The quota with what is requested of it.
fn charged(account: &Account, quota: &Quota, requested: &Amounts) -> Result<Value, String> {
    let mut used = only(&quota.used, requested);
    add(&mut used, requested);
    let exceeded: Amounts = used
        .iter()
        .filter(|(name, amount)| quota.hard.get(*name).is_some_and(|hard| *amount > hard))
        .map(|(name, amount)| (name.clone(), *amount))
        .collect();
    if !exceeded.is_empty() {
        return Err(format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            quota.name,
            show(&only(requested, &exceeded)),
            show(&only(&quota.used, &exceeded)),
            show(&only(&quota.hard, &exceeded)),
        ));
    }
    let mut object = account.object.clone();
    for (name, amount) in used {
        object.set(&["status", "used", &name], amount.to_string());
    }
    Ok(object)
}
