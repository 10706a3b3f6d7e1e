//! Which connections policies have a say about, for those who make none: guests of this process that ask each other.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::ruleset::{Direction, Ruleset};

/// See the module; clones are the same.
#[derive(Clone)]
pub(crate) struct Judged(Arc<Known>);

#[derive(Default)]
struct Known {
    ends: RwLock<Option<Ends>>,
    changes: AtomicU64,
}

/// The Pods whose connections are judged.
#[derive(Default)]
struct Ends {
    from: BTreeSet<IpAddr>,
    to: BTreeSet<IpAddr>,
}

impl Judged {
    /// Every connection, until it is known better, if it ever is.
    pub(super) fn unknown() -> Self {
        Self(Arc::default())
    }

    /// None, where no policy has an effect.
    pub(super) fn none() -> Self {
        Self(Arc::new(Known { ends: RwLock::new(Some(Ends::default())), changes: AtomicU64::default() }))
    }

    /// Whether a policy may forbid a connection.
    pub(crate) fn connection(&self, from: IpAddr, to: IpAddr) -> bool {
        let ends = self.0.ends.read();
        ends.as_ref().is_none_or(|ends| ends.from.contains(&from) || ends.to.contains(&to))
    }

    /// These rules are in force. Before they are nobody makes a connection that they would not let in, but that stays.
    pub(super) fn by(&self, rules: &[Ruleset]) {
        let of = |direction| rules.iter().flat_map(move |rules| rules.isolated(direction)).collect();
        *self.0.ends.write() = Some(Ends { from: of(Direction::Egress), to: of(Direction::Ingress) });
        self.0.changes.fetch_add(1, Ordering::Release);
    }

    /// How often other rules came into force.
    pub(crate) fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use wherry_api::ranges::IpFamily;

    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 244, 3, last])
    }

    #[test]
    fn a_connection_is_judged_where_one_of_its_ends_is_isolated_or_nothing_is_known() {
        let judged = Judged::unknown();
        assert!(judged.connection(ip(1), ip(2)));
        let mut rules = Ruleset::of(IpFamily::V4);
        judged.by(std::slice::from_ref(&rules));
        assert!(!judged.connection(ip(1), ip(2)));
        rules.isolate(Direction::Ingress, ip(2), &["pi_one".to_owned()]);
        rules.isolate(Direction::Egress, ip(3), &["pe_one".to_owned()]);
        judged.by(&[rules]);
        let verdicts = [(1, 2), (2, 1), (3, 1), (1, 3)].map(|(from, to)| judged.connection(ip(from), ip(to)));
        assert_eq!((verdicts, judged.changes()), ([true, false, true, false], 2));
        assert!(!Judged::none().connection(ip(1), ip(2)));
    }
}
