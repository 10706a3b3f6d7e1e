//! ResourceQuota: what is written in a namespace is charged to its quotas, or refused.
//!
//! Flow: a write that may take something looks for quotas in its namespace; where there are none it goes its way. Else
//! [`decide`] says what the quotas come to, under the lock of the [`ledger`], and the object and the charged quotas are
//! written by one transaction.
//!
//! Guarantees: at each revision a quota counts everything that was charged to it, so no number of concurrent writers
//! exceeds it. What was freed is counted by the controller that recomputes quotas.

mod decide;
pub(crate) mod ledger;

use wherry_api::quota::Resource;
use wherry_schema::Value;
use wherry_store::{Op, Revision, Txn, TxnError};

use super::kind;
use crate::codec::{self, Encoded};
use crate::error::Failure;
use crate::verbs::update::Part;
use crate::verbs::{Beside, Cx};
use ledger::{Account, Tip};

/// What a write does to an object.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    /// The object to be.
    pub(crate) object: &'a Value,
    /// The object as it was, if it is no new one.
    pub(crate) old: Option<&'a Value>,
}

/// Whether an update of this part of an object may take more than it did.
pub(crate) fn concerns(cx: &Cx<'_>, part: Part) -> bool {
    match (cx.stored.group, cx.stored.plural) {
        ("", "pods") => part == Part::Resize,
        ("", "services") | ("resource.k8s.io", "resourceclaims") => part == Part::Whole,
        ("", "persistentvolumeclaims") => matches!(part, Part::Whole | Part::Status),
        _ => false,
    }
}

fn resource(cx: &Cx<'_>) -> Resource<'static> {
    Resource { group: cx.stored.group, plural: cx.stored.plural }
}

/// The keys of the quotas of a namespace begin so; none where nothing of this kind is counted.
fn prefix(cx: &Cx<'_>) -> Option<String> {
    let counted = cx.kind.namespaced && resource(cx).is_counted();
    counted.then(|| codec::prefix(kind("", "ResourceQuota"), Some(cx.namespace)))
}

/// Refuses what the quotas of the namespace do not allow.
pub(crate) fn check(cx: &Cx<'_>, change: Change<'_>) -> Result<(), Failure> {
    let Some(prefix) = prefix(cx) else { return Ok(()) };
    let snapshot = cx.state.store.snapshot();
    if snapshot.range(&prefix, None).next().is_none() {
        return Ok(());
    }
    let accounts = cx.state.quotas.accounts(&snapshot, &prefix)?;
    decide::charges(cx, &resource(cx), change, &accounts).map(drop)
}

/// Writes an object, and what belongs to it, with what it takes of the quotas of its namespace.
pub(crate) async fn put(
    cx: &Cx<'_>,
    change: Change<'_>,
    key: &str,
    encoded: &Encoded,
    beside: Beside,
) -> Result<Result<Revision, TxnError>, Failure> {
    let mut txn = cx.put_txn(key, encoded, beside.preconditions);
    txn.ops.extend(beside.ops);
    let Some(prefix) = prefix(cx) else { return Ok(cx.state.store.txn(txn).await) };
    if cx.state.store.snapshot().range(&prefix, None).next().is_none() {
        return Ok(cx.state.store.txn(txn).await);
    }
    let (written, in_flight) = {
        let entry = cx.state.quotas.enter(cx.namespace);
        // Read under the lock: what was submitted before is either in the state or a tip.
        let snapshot = cx.state.store.snapshot();
        let accounts = entry.accounts(&snapshot, &prefix)?;
        let charges = decide::charges(cx, &resource(cx), change, &accounts)?;
        let tips = charge(cx, &mut txn, charges)?;
        entry.submit(tips, || cx.state.store.submit(txn))
    };
    let result = written.await;
    in_flight.settle(result.is_ok());
    Ok(result)
}

/// Adds the charged quotas to a transaction.
fn charge(
    cx: &Cx<'_>,
    txn: &mut Txn,
    charges: Vec<(&Account, Value)>,
) -> Result<Vec<(String, Tip)>, Failure> {
    let mut tips = Vec::with_capacity(charges.len());
    let quotas = Cx::new(cx.state, kind("", "ResourceQuota"), cx.namespace);
    for (account, mut object) in charges {
        crate::verbs::owners::updated(
            &quotas,
            Part::Status,
            (&account.object, &mut object),
            "kube-apiserver",
        )?;
        quotas.settle(&mut object)?;
        let encoded = quotas.encode_built_in(&object);
        txn.preconditions.push(account.unchanged());
        txn.ops.push(Op::Put {
            key: account.key.clone(),
            value: encoded.bytes.clone(),
            revision_at: Some(encoded.revision_at),
        });
        tips.push((account.key.clone(), Tip { object, encoded }));
    }
    Ok(tips)
}
