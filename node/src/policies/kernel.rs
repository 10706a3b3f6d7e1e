//! Brings the rules into the kernel.

use super::ruleset::{Ruleset, change};
use crate::network::Layout;
use crate::network::nft::Transactions;

/// The rules wanted, and what is known of those in force.
pub(super) struct Kernel {
    layout: Layout,
    /// Of each family.
    wanted: Vec<Ruleset>,
    /// Those in the kernel; unknown before the first time, and after a script was refused.
    in_force: Option<Vec<Ruleset>>,
    /// Whether that was told already.
    complained: bool,
    transactions: Transactions,
}

impl Kernel {
    /// Whatever rules there are stay in force until the first call of `apply`.
    pub(super) fn new(layout: Layout) -> Self {
        let wanted = layout.families().map(Ruleset::of).collect();
        Self { layout, wanted, in_force: None, complained: false, transactions: Transactions::default() }
    }

    /// Wants these rules from now on.
    pub(super) fn want(&mut self, rules: Vec<Ruleset>) {
        self.wanted = rules;
    }

    /// The rules that are wanted.
    pub(super) fn wanted(&self) -> &[Ruleset] {
        &self.wanted
    }

    /// Whether the rules that are wanted are in force.
    pub(super) fn is_in_sync(&self) -> bool {
        self.in_force.as_ref() == Some(&self.wanted)
    }

    /// Brings the wanted rules into force. What fails is logged, and tried again by the next call.
    pub(super) async fn apply(&mut self) {
        if self.is_in_sync() {
            return;
        }
        let known = |family| self.in_force.iter().flatten().find(|rules| rules.family == family);
        let of_family = |rules: &Ruleset| change(known(rules.family), rules, &self.layout);
        let script: String = self.wanted.iter().map(of_family).collect();
        match self.transactions.apply(script).await {
            Ok(()) => {
                self.in_force = Some(self.wanted.clone());
                self.complained = false;
            }
            Err(error) => {
                self.in_force = None;
                if !std::mem::replace(&mut self.complained, true) {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the rules of network policies were not applied; Pods wait, and they are written anew until that works"
                    );
                }
            }
        }
    }
}
