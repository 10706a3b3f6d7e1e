//! [`Problems`]: what in a value does not fit its schema, with the place of each.

use std::fmt;

/// One thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    /// As messages show paths: `.spec.containers[name="c"]`.
    place: String,
    message: String,
}

/// What in a value does not fit its schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn one(message: impl Into<String>) -> Self {
        Self(vec![Problem { place: String::new(), message: message.into() }])
    }

    pub(super) fn add(&mut self, message: impl Into<String>) {
        self.0.push(Problem { place: String::new(), message: message.into() });
    }

    /// Takes over what was found below an element.
    pub(super) fn below(&mut self, element: &dyn fmt::Display, found: Self) {
        if found.0.is_empty() {
            return;
        }
        let element = element.to_string();
        let placed = found.0.into_iter().map(|p| Problem { place: format!("{element}{}", p.place), ..p });
        self.0.extend(placed);
    }

    /// Nothing wrong is success.
    pub(super) fn finish(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [one] = self.0.as_slice() {
            return one.fmt(f);
        }
        f.write_str("errors:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}
