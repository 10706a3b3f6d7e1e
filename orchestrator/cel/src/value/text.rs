//! [`Text`]: a string of the caller's or the program's, or one that was made.

use std::ops::Deref;
use std::rc::Rc;

/// A string, borrowed where it can be.
#[derive(Clone, Debug)]
pub enum Text<'a> {
    /// Of the caller's data or of the program.
    Borrowed(&'a str),
    /// Made by the evaluation.
    Shared(Rc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text<'_> {}

impl std::hash::Hash for Text<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
