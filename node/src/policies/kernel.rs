//! Brings the rules into the kernel.

use ipnet::Ipv4Net;

use super::ruleset::{Ruleset, remove, replace, step};
use crate::network::nft;

/// The rules wanted, and what is known of those in force.
pub(super) struct Kernel {
    local: Ipv4Net,
    wanted: Ruleset,
    /// Those in the kernel; unknown before the first time, and after a script was refused.
    in_force: Option<Ruleset>,
    /// Whether that was told already.
    complained: bool,
}

impl Kernel {
    /// Whatever rules there are stay in force until the first call of `apply`. `local` are the Pods' addresses that are the node's
    /// own.
    pub(super) fn new(local: Ipv4Net) -> Self {
        Self { local, wanted: Ruleset::default(), in_force: None, complained: false }
    }

    /// Wants these rules from now on.
    pub(super) fn want(&mut self, rules: Ruleset) {
        self.wanted = rules;
    }

    /// Whether the rules that are wanted are in force.
    pub(super) fn is_in_sync(&self) -> bool {
        self.in_force.as_ref() == Some(&self.wanted)
    }

    /// Brings the wanted rules into force. What fails is logged, and tried again by the next call.
    pub(super) async fn apply(&mut self) {
        let script = match &self.in_force {
            Some(rules) if *rules == self.wanted => return,
            _ if self.wanted.is_empty() => remove(),
            Some(rules) if !rules.is_empty() => step(rules, &self.wanted),
            _ => replace(self.local, &self.wanted),
        };
        match nft::apply(script).await {
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
