//! Reinvocation: who may change an object is asked a second time if somebody who was asked later changed it.

use std::collections::HashSet;

use wherry_schema::Value;

/// The rounds in which those who may change an object are asked; there are at most two.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    again: bool,
    wanted: bool,
}

impl Rounds {
    /// Whether this is the second round.
    pub(crate) fn is_again(&self) -> bool {
        self.again
    }

    /// Asks for a second round.
    pub(crate) fn want_another(&mut self) {
        self.wanted = true;
    }

    /// Begins the second round if there is to be one.
    pub(crate) fn next(&mut self) -> bool {
        let next = self.wanted && !self.again;
        self.again |= next;
        next
    }
}

/// Who of one sort (webhooks, policies) was asked, and is to be asked again.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Those who were asked since the last change and want to be asked again after one.
    before: HashSet<String>,
    again: HashSet<String>,
    left: Option<Value>,
}

impl Asked {
    /// Begins a round with an object.
    pub(crate) fn begin(&mut self, rounds: &Rounds, object: Option<&Value>) {
        if rounds.is_again() && self.left.as_ref() != object {
            self.changed();
        }
    }

    /// Ends a round with an object.
    pub(crate) fn end(&mut self, object: Option<&Value>) {
        self.left = object.cloned();
    }

    /// Whether one of them is asked in this round.
    pub(crate) fn is_due(&self, rounds: &Rounds, id: &str) -> bool {
        !rounds.is_again() || self.again.contains(id)
    }

    /// Notes that the object has changed.
    pub(crate) fn changed(&mut self) {
        self.again.extend(self.before.drain());
    }

    /// Notes that one was asked that wants to be asked again after later changes.
    pub(crate) fn reinvocable(&mut self, id: &str) {
        self.before.insert(id.to_owned());
    }
}
