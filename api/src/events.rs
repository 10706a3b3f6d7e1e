//! What is made of an event before it is written, so that a loop gone wild fills neither the store nor anybody's screen:
//! the rules of client-go's event correlator (`tools/record/events_cache.go`).
//!
//! - The same event again counts up the first.
//! - Ten events about one object that differ only in their messages within ten minutes: from the tenth on they become one,
//!   whose message begins with `(combined from similar events)`.
//! - Of each object a source tells 25 events at once and then one in five minutes.
//!
//! What is remembered is bounded; what was told longest ago is forgotten first.

mod recent;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use recent::Recent;

/// How many events, groups of similar ones and objects are remembered.
const REMEMBERED: usize = 4096;
/// From how many on similar events become one.
const SIMILAR: usize = 10;
/// How long after the last one an event still counts as similar.
const SIMILAR_FOR: SignedDuration = SignedDuration::from_mins(10);
/// How many events of an object may come at once.
const BURST: i64 = 25;
/// How long an object takes to earn one event more.
const EARNS: SignedDuration = SignedDuration::from_mins(5);
const COMBINED: &str = "(combined from similar events): ";

/// An event, as far as it matters which other ones it is like.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    /// Who tells it.
    pub source: &'a str,
    /// The object's uid, or what else tells it apart from all others.
    pub object: &'a str,
    /// The part of the object; empty for the whole.
    pub field_path: &'a str,
    /// `Normal` or `Warning`.
    pub severity: &'a str,
    /// One word.
    pub reason: &'a str,
    /// A sentence.
    pub message: &'a str,
}

/// What to do with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Nothing: too much was told about its object.
    Nothing,
    /// Write it.
    New(New),
    /// Count up the one that was written under this name.
    Again {
        /// Its name.
        name: String,
        /// How often it was told, this time included.
        count: i32,
        /// What it says now.
        message: String,
        /// What to say once it turns out that nothing has this name any more.
        otherwise: New,
    },
}

/// An event that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct New {
    /// What it says.
    pub message: String,
    /// How often it was told, this time included.
    pub count: i32,
    identity: Identity,
}

/// Source, object, severity, reason; part of the object and message, unless they are many.
type Identity = Vec<String>;

/// Events that differ only in their messages.
struct Similar {
    messages: BTreeSet<String>,
    last: Timestamp,
}

/// An event that was told.
struct Told {
    name: Option<String>,
    count: i32,
}

/// See the module's documentation.
#[derive(Default)]
pub struct Correlator {
    similar: Recent<Identity, Similar>,
    told: Recent<Identity, Told>,
    /// By source and object: when all it spent is earned again.
    spent_until: Recent<(String, String), Timestamp>,
}

impl Correlator {
    /// Says what to do with an event.
    pub fn tell(&mut self, notice: Notice<'_>, now: Timestamp) -> Telling {
        let (identity, message) = self.identify(notice, now);
        let told = self.told.get_or_insert_with(&identity, || Told { name: None, count: 0 });
        told.count = told.count.saturating_add(1);
        let (name, count) = (told.name.clone(), told.count);
        if !self.may_spend(notice, now) {
            return Telling::Nothing;
        }
        let new = New { message: message.clone(), count, identity };
        match name {
            Some(name) => Telling::Again { name, count, message, otherwise: new },
            None => Telling::New(new),
        }
    }

    /// Says under which name an event was written.
    pub fn written(&mut self, event: &New, name: String) {
        let told = self.told.get_or_insert_with(&event.identity, || Told { name: None, count: event.count });
        told.name = Some(name);
    }

    /// What an event counts as, and what it says then.
    fn identify(&mut self, notice: Notice<'_>, now: Timestamp) -> (Identity, String) {
        let mut identity: Identity =
            [notice.source, notice.object, notice.severity, notice.reason].map(str::to_owned).into();
        let new = || Similar { messages: BTreeSet::new(), last: now };
        let similar = self.similar.get_or_insert_with(&identity, new);
        if now.duration_since(similar.last) > SIMILAR_FOR {
            similar.messages.clear();
        }
        similar.last = now;
        similar.messages.insert(notice.message.to_owned());
        if similar.messages.len() < SIMILAR {
            identity.extend([notice.field_path, notice.message].map(str::to_owned));
            return (identity, notice.message.to_owned());
        }
        similar.messages.pop_first();
        (identity, format!("{COMBINED}{}", notice.message))
    }

    fn may_spend(&mut self, notice: Notice<'_>, now: Timestamp) -> bool {
        let whose = (notice.source.to_owned(), notice.object.to_owned());
        let until = self.spent_until.get_or_insert_with(&whose, || now);
        let spent = (*until).max(now).checked_add(EARNS).unwrap_or(Timestamp::MAX);
        if spent.duration_since(now) > EARNS * i32::try_from(BURST).unwrap_or(i32::MAX) {
            return false;
        }
        *until = spent;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn notice<'a>(object: &'a str, message: &'a str) -> Notice<'a> {
        let (source, severity, reason) = ("kubelet", "Warning", "BackOff");
        Notice { source, object, field_path: "", severity, reason, message }
    }

    /// Tells it and has it written; answers what was written.
    fn tell(all: &mut Correlator, notice: Notice<'_>, now: Timestamp) -> Option<(String, i32)> {
        match all.tell(notice, now) {
            Telling::Nothing => None,
            Telling::New(new) => {
                let said = (new.message.clone(), new.count);
                all.written(&new, format!("event-{}", said.0));
                Some(said)
            }
            Telling::Again { name, count, message, .. } => {
                assert!(name.starts_with("event-"));
                Some((message, count))
            }
        }
    }

    #[test]
    fn the_same_event_counts_up() {
        let mut all = Correlator::default();
        let counts = [0, 1, 2].map(|second| tell(&mut all, notice("a", "no"), at(second)).unwrap().1);
        assert_eq!(counts, [1, 2, 3]);
        assert_eq!(tell(&mut all, notice("b", "no"), at(3)).unwrap().1, 1);
    }

    #[test]
    fn the_tenth_similar_event_speaks_for_all() {
        let mut all = Correlator::default();
        let mut say =
            |number: i64| tell(&mut all, notice("a", &format!("Created pod: {number}")), at(0)).unwrap();
        for number in 0..9 {
            assert_eq!(say(number), (format!("Created pod: {number}"), 1));
        }
        assert_eq!(say(9), ("(combined from similar events): Created pod: 9".to_owned(), 1));
        assert_eq!(say(10), ("(combined from similar events): Created pod: 10".to_owned(), 2));
    }

    #[test]
    fn after_ten_quiet_minutes_events_are_single_again() {
        let mut all = Correlator::default();
        for number in 0..12 {
            tell(&mut all, notice("a", &number.to_string()), at(0));
        }
        assert_eq!(tell(&mut all, notice("a", "later"), at(601)).unwrap(), ("later".to_owned(), 1));
    }

    #[test]
    fn an_object_has_25_events_and_one_more_in_five_minutes() {
        let mut all = Correlator::default();
        let said = (0..40).filter(|_| tell(&mut all, notice("a", "no"), at(0)).is_some()).count();
        assert_eq!(said, 25);
        assert_eq!(tell(&mut all, notice("a", "no"), at(299)), None);
        let (_, count) = tell(&mut all, notice("a", "no"), at(300)).unwrap();
        assert_eq!(count, 42, "what was not told counts");
        assert_eq!(tell(&mut all, notice("a", "no"), at(301)), None);
        assert!(tell(&mut all, notice("b", "no"), at(301)).is_some());
    }

    #[test]
    fn an_event_that_is_gone_is_written_again_with_its_count() {
        let mut all = Correlator::default();
        tell(&mut all, notice("a", "no"), at(0));
        let Telling::Again { otherwise, .. } = all.tell(notice("a", "no"), at(1)) else { panic!() };
        assert_eq!((otherwise.message.as_str(), otherwise.count), ("no", 2));
        all.written(&otherwise, "another".to_owned());
        let Telling::Again { name, count, .. } = all.tell(notice("a", "no"), at(2)) else { panic!() };
        assert_eq!((name.as_str(), count), ("another", 3));
    }
}
