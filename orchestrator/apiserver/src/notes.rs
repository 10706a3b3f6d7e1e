//! What is said about a request besides its answer: warnings for its client, annotations for the audit log.

use std::sync::OnceLock;

use bytes::Bytes;
use parking_lot::Mutex;
use wherry_schema::Format;

use crate::auth::UserInfo;

/// What is said about one request, by whoever looks at it.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    warnings: Mutex<Vec<String>>,
    annotations: Mutex<Vec<(String, String)>>,
    /// What the audit log hears; nothing unless it records the request.
    heard: OnceLock<Heard>,
}

/// What the audit log hears about a request while it is answered.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The request's name.
    pub(crate) id: String,
    /// In whose name it is.
    pub(crate) impersonated: OnceLock<UserInfo>,
    /// What was sent.
    pub(crate) sent: OnceLock<Sent>,
}

/// The body of a request.
#[derive(Debug)]
pub(crate) struct Sent {
    /// The body as text.
    pub(crate) bytes: Bytes,
    /// How it is written.
    pub(crate) format: Format,
    /// Whether it is an object, not a change of one or how to delete one.
    pub(crate) whole: bool,
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

    /// Lets the audit log hear about the request of this name.
    pub(crate) fn listen(&self, id: &str) {
        // A request is recorded once, so nobody listens yet.
        let _ = self.heard.set(Heard { id: id.to_owned(), ..Heard::default() });
    }

    /// What the audit log hears, if it records the request.
    pub(crate) fn heard(&self) -> Option<&Heard> {
        self.heard.get()
    }

    /// What was said for the audit log.
    pub(crate) fn annotations(&self) -> Vec<(String, String)> {
        self.annotations.lock().clone()
    }

    /// Remembers something for the audit log that is of no use to anybody else, if it records the request.
    pub(crate) fn annotate_heard(&self, key: &str, value: impl FnOnce() -> String) {
        if self.heard.get().is_some() {
            self.annotate(key.to_owned(), value());
        }
    }

    /// What the client is told.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock())
    }
}
