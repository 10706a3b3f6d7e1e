//! What must hold: at every change, and when all is settled. One a file.

mod daemon_sets;
mod deployments_converge;
mod deployments_keep_their_limits;
mod disruption_budgets;
mod jobs;
mod ownership;
mod replica_sets_never_exceed;
mod stateful_sets;

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::view::{Change, View};

/// The uids of what users deleted.
pub(crate) type Gone = Arc<Mutex<BTreeSet<String>>>;

/// Something that must hold.
pub(crate) trait Invariant {
    /// What it is called in a violation.
    fn name(&self) -> &'static str;

    /// Looks at a change, with what there was before it.
    fn sees(&mut self, change: &Change, before: &View) -> Result<(), String> {
        let (_, _) = (change, before);
        Ok(())
    }

    /// Looks at what is left when nothing changes any more.
    fn settled(&mut self, view: &View) -> Result<(), String> {
        let _ = view;
        Ok(())
    }
}

/// All of them. In a gentle simulation nobody but the controllers makes a ready Pod go.
pub(crate) fn all(gentle: bool, deleted: Gone) -> Vec<Box<dyn Invariant>> {
    let mut all: Vec<Box<dyn Invariant>> = vec![
        Box::new(daemon_sets::DaemonSets),
        Box::new(jobs::Jobs::default()),
        Box::new(deployments_converge::DeploymentsConverge),
        Box::new(deployments_keep_their_limits::DeploymentsKeepTheirLimits::new(gentle)),
        Box::new(replica_sets_never_exceed::ReplicaSetsNeverExceed::default()),
        Box::new(stateful_sets::StatefulSets { gentle }),
        Box::new(ownership::Ownership::new(deleted, gentle)),
    ];
    if gentle {
        all.push(Box::new(disruption_budgets::DisruptionBudgets));
    }
    all
}
