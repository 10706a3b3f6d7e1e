//! What is noticed while decoding: unknown and duplicate fields, and the first thing that does not fit.
//!
//! Places are added on the way out of the recursion, so that an object without problems pays nothing for them.

use std::collections::HashSet;
use std::fmt::Write;

use super::error::{DecodeError, Mismatch};
use crate::schema::Struct;

/// Reports beyond this many are dropped.
const MOST: usize = 100;

/// A part of the place of a finding.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Name(String),
    Index(usize),
}

struct Finding {
    what: &'static str,
    /// Innermost first.
    place: Vec<Step>,
}

/// All that was noticed.
#[derive(Default)]
pub(super) struct Report {
    messages: Vec<String>,
    findings: Vec<Finding>,
    problem: Option<DecodeError>,
}

/// How much had been noticed at some moment.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    findings: usize,
    problem: bool,
}

impl Report {
    pub(super) fn add_messages(&mut self, messages: impl IntoIterator<Item = String>) {
        self.messages.extend(messages);
    }

    pub(super) fn unknown(&mut self, name: &str) {
        self.find("unknown field", name);
    }

    pub(super) fn duplicate(&mut self, name: &str) {
        self.find("duplicate field", name);
    }

    fn find(&mut self, what: &'static str, name: &str) {
        if self.findings.len() < MOST {
            self.findings.push(Finding { what, place: vec![Step::Name(name.to_owned())] });
        }
    }

    /// Remembers the first problem.
    pub(super) fn problem(&mut self, problem: impl Into<DecodeError>) {
        self.problem.get_or_insert_with(|| problem.into());
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { findings: self.findings.len(), problem: self.problem.is_some() }
    }

    /// Says that what was noticed since the mark is inside a field of a type.
    pub(super) fn in_field(&mut self, mark: Mark, owner: &Struct, field: &'static str) {
        if let (false, Some(DecodeError::Type(mismatch))) = (mark.problem, &mut self.problem) {
            mismatch.within(owner.kind(), field);
        }
        self.in_place(mark, || Step::Name(field.to_owned()));
    }

    /// Says that what was noticed since the mark is inside an entry of a map or list.
    pub(super) fn in_place(&mut self, mark: Mark, step: impl Fn() -> Step) {
        for finding in self.findings.iter_mut().skip(mark.findings) {
            finding.place.push(step());
        }
    }

    /// The messages about fields, each once, unless there was a problem.
    pub(super) fn finish(self) -> Result<Vec<String>, DecodeError> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let mut seen = HashSet::new();
        let found = self.findings.into_iter().map(message);
        Ok(self.messages.into_iter().chain(found).filter(|message| seen.insert(message.clone())).collect())
    }
}

fn message(finding: Finding) -> String {
    let mut text = format!("{} \"", finding.what);
    for (position, step) in finding.place.into_iter().rev().enumerate() {
        match step {
            Step::Name(name) if position == 0 => text.push_str(&name),
            Step::Name(name) => write!(text, ".{name}").expect("a String takes everything"),
            Step::Index(index) => write!(text, "[{index}]").expect("a String takes everything"),
        }
    }
    text.push('"');
    text
}

impl Mismatch {
    /// A value of the wrong kind.
    pub(super) fn of(found: &str, expected: String) -> Self {
        Self::new(found.to_owned(), expected)
    }
}
