//! What is being charged and has no revision yet.
//!
//! ```text
//!   enter (lock) -> accounts: the newest charge of each quota, submitted or stored -> submit (unlock) -> settle
//! ```
//!
//! Writers of a namespace do not wait for each other's transactions: each builds on the quotas as the one before it
//! will leave them (its tip), under the precondition that they are left so. When one of them fails, those that build on
//! it fail by that precondition and begin again from what is stored.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use wherry_schema::Value;
use wherry_store::{Precondition, Revision, Snapshot, TxnError};

use crate::codec::{self, Encoded};
use crate::error::Failure;

/// A quota as a submitted transaction will leave it.
#[derive(Debug, Clone)]
pub(super) struct Tip {
    /// The quota.
    pub(super) object: Value,
    /// What is written of it.
    pub(super) encoded: Encoded,
}

/// A quota as it is, or as it will be.
pub(super) struct Account {
    /// Its key.
    pub(super) key: String,
    /// The quota.
    pub(super) object: Value,
    state: Found,
}

enum Found {
    Stored(Revision),
    Submitted(Encoded),
}

impl Account {
    /// The condition that the quota is what was looked at.
    pub(super) fn unchanged(&self) -> Precondition {
        let key = self.key.clone();
        match &self.state {
            Found::Stored(revision) => Precondition::ModRevision { key, revision: *revision },
            Found::Submitted(encoded) => Precondition::Holds {
                key,
                value: encoded.bytes.clone(),
                revision_at: Some(encoded.revision_at),
            },
        }
    }
}

/// The charges of one namespace that are under way.
#[derive(Debug, Default)]
struct Pending {
    tips: HashMap<String, Tip>,
    in_flight: usize,
}

type Namespaces = HashMap<String, Pending>;

/// The charges that are under way, by namespace.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<Namespaces>>);

impl Ledger {
    /// The quotas under a prefix as they will be.
    pub(super) fn accounts(&self, snapshot: &Snapshot, prefix: &str) -> Result<Vec<Account>, Failure> {
        let namespace = prefix.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        self.enter(namespace).accounts(snapshot, prefix)
    }

    /// Takes the turn to charge in a namespace.
    pub(super) fn enter<'l>(&'l self, namespace: &'l str) -> Turn<'l> {
        Turn { ledger: self, namespace, namespaces: self.0.lock() }
    }
}

/// The turn to charge.
pub(super) struct Turn<'l> {
    ledger: &'l Ledger,
    namespace: &'l str,
    namespaces: MutexGuard<'l, Namespaces>,
}

impl Turn<'_> {
    /// The quotas under a prefix as they will be.
    pub(super) fn accounts(&self, snapshot: &Snapshot, prefix: &str) -> Result<Vec<Account>, Failure> {
        let tips = self.namespaces.get(self.namespace).map(|pending| &pending.tips);
        let account = |entry: &Arc<wherry_store::Entry>| {
            let key = entry.key.to_string();
            if let Some(tip) = tips.and_then(|tips| tips.get(&key)) {
                let state = Found::Submitted(tip.encoded.clone());
                return Ok(Account { key, object: tip.object.clone(), state });
            }
            let object = codec::decode(&key, &entry.value)?;
            Ok(Account { key, object, state: Found::Stored(entry.mod_revision) })
        };
        snapshot.range(prefix, None).map(account).collect()
    }

    /// Submits a transaction that leaves quotas so, and ends the turn.
    pub(super) fn submit<F>(mut self, tips: Vec<(String, Tip)>, submit: impl FnOnce() -> F) -> (F, InFlight)
    where
        F: Future<Output = Result<Revision, TxnError>>,
    {
        let charged = !tips.is_empty();
        let written = submit();
        if charged {
            let pending = self.namespaces.entry(self.namespace.to_owned()).or_default();
            pending.tips.extend(tips);
            pending.in_flight += 1;
        }
        let namespaces = Arc::clone(&self.ledger.0);
        (written, InFlight { namespaces, namespace: charged.then(|| self.namespace.to_owned()) })
    }
}

/// A transaction under way. Who forgets it counts as failed: what became of it is not known.
pub(super) struct InFlight {
    namespaces: Arc<Mutex<Namespaces>>,
    namespace: Option<String>,
}

impl InFlight {
    /// Says how it ended.
    pub(super) fn settle(mut self, succeeded: bool) {
        self.end(succeeded);
    }

    fn end(&mut self, succeeded: bool) {
        let Some(namespace) = self.namespace.take() else { return };
        let mut namespaces = self.namespaces.lock();
        let Some(pending) = namespaces.get_mut(&namespace) else { return };
        pending.in_flight -= 1;
        if pending.in_flight == 0 {
            namespaces.remove(&namespace);
        } else if !succeeded {
            pending.tips.clear();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.end(false);
    }
}
