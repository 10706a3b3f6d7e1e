//! The objects a list has brought so far, to find those that are gone.

use std::collections::HashSet;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Listing {
    known: HashSet<String>,
    listed: Option<HashSet<String>>,
    pub(super) is_complete: bool,
}

impl Listing {
    /// A list begins.
    pub(super) fn begin(&mut self) {
        self.listed = Some(HashSet::new());
    }

    pub(super) fn saw(&mut self, id: &str) {
        if !self.known.contains(id) {
            self.known.insert(id.to_owned());
        }
        if let Some(listed) = &mut self.listed {
            listed.insert(id.to_owned());
        }
    }

    pub(super) fn forget(&mut self, id: &str) {
        self.known.remove(id);
    }

    /// Ends a list; returns what was known and was not in it.
    pub(super) fn finish(&mut self) -> Vec<String> {
        self.is_complete = true;
        let listed = self.listed.take().unwrap_or_default();
        self.known.extract_if(|id| !listed.contains(id)).collect()
    }
}
