//! What is said about a request besides its answer: warnings for its client, annotations for the audit log.

use parking_lot::Mutex;

/// What is said about one request, by whoever looks at it.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    warnings: Mutex<Vec<String>>,
    annotations: Mutex<Vec<(String, String)>>,
}

impl Notes {
    /// Tells the client something, whether the request works or not.
    pub(crate) fn warn(&self, warning: impl Into<String>) {
        let warning = warning.into();
        let mut warnings = self.warnings.lock();
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// Remembers something for the audit log; what was said first under a key stays.
    pub(crate) fn annotate(&self, key: String, value: String) {
        let mut annotations = self.annotations.lock();
        if !annotations.iter().any(|(known, _)| *known == key) {
            annotations.push((key, value));
        }
    }

    /// What the client is told.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock())
    }
}
